// The measured peak of this CPU, for the benchmarks.
#include <algorithm>
#include <chrono>

#include "array_args.hpp"
#include "register.hpp"

namespace fastpg::bindings {
namespace {

double measure_fma_peak(double seconds) {
    using Clock = std::chrono::steady_clock;
    constexpr Index kRounds = 100000;  // about 0.2 ms: long against the clock's resolution, short against a time slice
    const auto kernel = kernels<float>().fma_chains;
    const py::gil_scoped_release unlocked;
    const auto deadline = Clock::now() + std::chrono::duration<double>(seconds);
    float seed = 1.0F;
    double best = 0.0;
    do {
        const auto start = Clock::now();
        const Index n_operations = kernel(kRounds, &seed);
        const std::chrono::duration<double> elapsed = Clock::now() - start;
        best = std::max(best, static_cast<double>(n_operations) / elapsed.count() * 1e-9);
    } while (Clock::now() < deadline);
    return best;
}

}  // namespace

void register_fma_peak(py::module_& module) {
    using namespace py::literals;
    module.def(
        "measure_fma_peak", &measure_fma_peak, "seconds"_a,
        "GFLOP/s of float32 multiply-adds on one thread with the vectors that the kernels use, best of many runs.");
}

}  // namespace fastpg::bindings
