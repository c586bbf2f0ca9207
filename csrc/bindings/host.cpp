#include "host.hpp"

#include <pybind11/pybind11.h>

#include <chrono>

namespace fastpg::bindings {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPollInterval{50};
thread_local Clock::time_point next_poll;

}  // namespace

KernelHost::KernelHost(int n_threads) : lease_(n_threads) {
    next_poll = Clock::now() + kPollInterval;
}

bool KernelHost::is_interrupted() {
    const Clock::time_point now = Clock::now();
    if (now < next_poll) return false;
    next_poll = now + kPollInterval;
    const pybind11::gil_scoped_acquire locked;
    return PyErr_CheckSignals() != 0;
}

}  // namespace fastpg::bindings
