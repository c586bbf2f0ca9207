// running_moments: update_moments, normalize.
#include "array_args.hpp"
#include "register.hpp"

namespace fastpg::bindings {
namespace {

void update_moments(const py::array& mean, const py::array& variance, double count, const py::array& batch,
                    const std::tuple<py::array, py::array>& out) {
    const Index n_rows = axis_length(batch, "batch", 2, 0);
    const Index n_columns = axis_length(batch, "batch", 2, 1);
    by_dtype(batch, "batch", [&](auto tag) {
        using T = decltype(tag);
        const MomentsArgs<T> args{input<T>(batch, "batch", {n_rows, n_columns}), n_rows, n_columns,
                                  input<double>(mean, "mean", {n_columns}),
                                  input<double>(variance, "variance", {n_columns})};
        double* new_mean = output<double>(std::get<0>(out), "out[0]", {n_columns});
        double* new_variance = output<double>(std::get<1>(out), "out[1]", {n_columns});
        const auto kernel = kernels<T>().update_moments;
        const py::gil_scoped_release unlocked;
        kernel(args, count, new_mean, new_variance);
    });
}

void normalize(const py::array& inputs, const py::array& mean, const py::array& variance, double epsilon, double clip,
               const py::array& out) {
    const Index n_rows = axis_length(inputs, "inputs", 2, 0);
    const Index n_columns = axis_length(inputs, "inputs", 2, 1);
    by_dtype(inputs, "inputs", [&](auto tag) {
        using T = decltype(tag);
        const MomentsArgs<T> args{input<T>(inputs, "inputs", {n_rows, n_columns}), n_rows, n_columns,
                                  input<double>(mean, "mean", {n_columns}),
                                  input<double>(variance, "variance", {n_columns})};
        T* to = output<T>(out, "out", {n_rows, n_columns});
        const auto kernel = kernels<T>().normalize;
        const py::gil_scoped_release unlocked;
        kernel(args, epsilon, clip, to);
    });
}

}  // namespace

void register_running_moments(py::module_& module) {
    using namespace py::literals;
    module.def("update_moments", &update_moments, "mean"_a, "variance"_a, "count"_a, "batch"_a, "out"_a);
    module.def("normalize", &normalize, "inputs"_a, "mean"_a, "variance"_a, "epsilon"_a, "clip"_a, "out"_a);
}

}  // namespace fastpg::bindings
