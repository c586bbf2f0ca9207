// gae: advantages of T steps of N environments.
#include "array_args.hpp"
#include "host.hpp"
#include "register.hpp"

namespace fastpg::bindings {
namespace {

void gae(const py::array& rewards, const py::array& values, const py::array& next_values, const py::array& terminated,
         const py::array& truncated, double gamma, double gae_lambda, const py::array& out, int n_threads) {
    constexpr Index kManyNumbers = Index{1} << 16;  // some fifty microseconds of work: what waking a thread up takes

    const Index n_steps = axis_length(rewards, "rewards", 2, 0);
    const Index n_envs = axis_length(rewards, "rewards", 2, 1);
    const Shape shape{n_steps, n_envs};
    by_dtype(rewards, "rewards", [&](auto tag) {
        using T = decltype(tag);
        const GaeArgs<T> args{input<T>(rewards, "rewards", shape),
                              input<T>(values, "values", shape),
                              input<T>(next_values, "next_values", shape),
                              input<bool>(terminated, "terminated", shape),
                              input<bool>(truncated, "truncated", shape),
                              n_steps,
                              n_envs,
                              gamma,
                              gae_lambda,
                              output<T>(out, "out", shape)};
        const auto kernel = kernels<T>().gae;
        const py::gil_scoped_release unlocked;
        const KernelHost host(n_steps * n_envs < kManyNumbers ? 1 : n_threads);
        kernel(args, host.host());
    });
}

}  // namespace

void register_gae(py::module_& module) {
    using namespace py::literals;
    module.def("gae", &gae, "rewards"_a, "values"_a, "next_values"_a, "terminated"_a, "truncated"_a, "gamma"_a,
               "gae_lambda"_a, "out"_a, "n_threads"_a);
}

}  // namespace fastpg::bindings
