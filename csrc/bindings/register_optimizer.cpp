// adam and gradient_norm: what turns a gradient into a step.
#include "array_args.hpp"
#include "register.hpp"

namespace fastpg::bindings {
namespace {

using ArrayTriple = std::tuple<py::array, py::array, py::array>;

void adam_step(const py::array& params, const py::array& gradient, const py::array& first_moment,
               const py::array& second_moment, Index step, double learning_rate, double beta1, double beta2,
               double epsilon, const ArrayTriple& out) {
    if (step < 1) throw py::value_error("step: expected at least 1.");
    const Index n = axis_length(params, "params", 1, 0);
    by_dtype(params, "params", [&](auto tag) {
        using T = decltype(tag);
        const AdamArgs<T> args{input<T>(params, "params", {n}),
                               input<T>(gradient, "gradient", {n}),
                               input<T>(first_moment, "first_moment", {n}),
                               input<T>(second_moment, "second_moment", {n}),
                               n,
                               step,
                               {learning_rate, beta1, beta2, epsilon},
                               output<T>(std::get<0>(out), "out[0]", {n}),
                               output<T>(std::get<1>(out), "out[1]", {n}),
                               output<T>(std::get<2>(out), "out[2]", {n})};
        const auto kernel = kernels<T>().adam_step;
        const py::gil_scoped_release unlocked;
        kernel(args);
    });
}

void clip_global_norm(const py::array& gradient, double max_norm, const py::array& out, const py::array& stats) {
    const Index n = axis_length(gradient, "gradient", 1, 0);
    double* norm = output<double>(stats, "stats", {1});
    by_dtype(gradient, "gradient", [&](auto tag) {
        using T = decltype(tag);
        const T* from = input<T>(gradient, "gradient", {n});
        T* to = output<T>(out, "out", {n});
        const auto kernel = kernels<T>().clip_global_norm;
        const py::gil_scoped_release unlocked;
        *norm = kernel(from, n, max_norm, to);
    });
}

}  // namespace

void register_optimizer(py::module_& module) {
    using namespace py::literals;
    module.def("adam_step", &adam_step, "params"_a, "gradient"_a, "first_moment"_a, "second_moment"_a, py::kw_only(),
               "step"_a, "learning_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "out"_a);
    module.def("clip_global_norm", &clip_global_norm, "gradient"_a, py::kw_only(), "max_norm"_a, "out"_a, "stats"_a);
}

}  // namespace fastpg::bindings
