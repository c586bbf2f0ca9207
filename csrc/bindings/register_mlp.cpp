// mlp: mlp_forward, mlp_backward.
#include "array_args.hpp"
#include "layout_args.hpp"
#include "register.hpp"

namespace fastpg::bindings {
namespace {

void mlp_forward(const py::array& params, const py::array& inputs, const py::object& layout, const py::array& out,
                 int /*n_threads*/) {
    const MlpLayout mlp(layout);
    const Index n_rows = axis_length(inputs, "inputs", 2, 0);
    by_dtype(params, "params", [&](auto tag) {
        using T = decltype(tag);
        const MlpArgs<T> args{input<T>(params, "params", {mlp.n_params()}),
                              input<T>(inputs, "inputs", {n_rows, mlp.n_inputs()}), n_rows, nullptr,
                              output<T>(out, "out", {n_rows, mlp.n_outputs()})};
        const auto kernel = kernels<T>().mlp_forward;
        const py::gil_scoped_release unlocked;
        kernel(mlp.shape(), args);
    });
}

void mlp_backward(const py::array& params, const py::array& inputs, const py::array& output_gradient,
                  const py::object& layout, const py::array& out, int /*n_threads*/) {
    const MlpLayout mlp(layout);
    const Index n_rows = axis_length(inputs, "inputs", 2, 0);
    by_dtype(params, "params", [&](auto tag) {
        using T = decltype(tag);
        const MlpArgs<T> args{input<T>(params, "params", {mlp.n_params()}),
                              input<T>(inputs, "inputs", {n_rows, mlp.n_inputs()}), n_rows,
                              input<T>(output_gradient, "output_gradient", {n_rows, mlp.n_outputs()}),
                              output<T>(out, "out", {mlp.n_params()})};
        const auto kernel = kernels<T>().mlp_backward;
        const py::gil_scoped_release unlocked;
        kernel(mlp.shape(), args);
    });
}

}  // namespace

void register_mlp(py::module_& module) {
    using namespace py::literals;
    module.def("mlp_forward", &mlp_forward, "params"_a, "inputs"_a, py::kw_only(), "layout"_a, "out"_a, "n_threads"_a);
    module.def("mlp_backward", &mlp_backward, "params"_a, "inputs"_a, "output_gradient"_a, py::kw_only(), "layout"_a,
               "out"_a, "n_threads"_a);
}

}  // namespace fastpg::bindings
