#include "host.hpp"

#include <pthread.h>
#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>

namespace fastpg::bindings {
namespace {

namespace py = pybind11;

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPollInterval{50};
thread_local Clock::time_point next_poll;

// Python runs signal handlers on its main thread only: the others need not wait for the GIL to ask.
std::atomic<unsigned long> main_thread{0};

void warn_of_fewer_threads(int n_threads) {
    const py::gil_scoped_acquire locked;
    py::module_::import("fastpg.errors")
        .attr("warn_user")("n_threads: expected to start the threads for " + std::to_string(n_threads) +
                           ", but the system refused one (a limit on threads or memory): fewer are used, with the same "
                           "results. Fix: raise the limit (ulimit -u, ulimit -v), or ask for fewer threads.");
}

}  // namespace

KernelHost::KernelHost(int n_threads) : lease_(n_threads) {
    if (n_threads > 1 && take_creation_failure()) warn_of_fewer_threads(n_threads);
    next_poll = Clock::now() + kPollInterval;
}

void KernelHost::remember_main_thread() {
    main_thread = py::module_::import("threading").attr("main_thread")().attr("ident").cast<unsigned long>();
    pthread_atfork(nullptr, nullptr, [] { main_thread = PyThread_get_thread_ident(); });
}

bool KernelHost::is_interrupted() {
    const Clock::time_point now = Clock::now();
    if (now < next_poll) return false;
    next_poll = now + kPollInterval;
    if (PyThread_get_thread_ident() != main_thread.load(std::memory_order_relaxed)) return false;
    const py::gil_scoped_acquire locked;
    return PyErr_CheckSignals() != 0;
}

}  // namespace fastpg::bindings
