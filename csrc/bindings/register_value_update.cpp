// value_update and rmsprop.
#include "array_args.hpp"
#include "host.hpp"
#include "layout_args.hpp"
#include "register.hpp"
#include "update_args.hpp"

#include <pybind11/stl.h>

#include <optional>

namespace fastpg::bindings {
namespace {

void value_update(const py::array& params, const py::array& first_moment, const py::array& second_moment,
                  const py::array& observations, const py::array& returns, const py::array& old_values,
                  const py::object& layout, Index n_epochs, Index batch_size, std::optional<double> clip_range_vf,
                  double max_grad_norm, double learning_rate, double beta1, double beta2, double epsilon,
                  Index adam_step, std::uint64_t seed, std::uint64_t update_index, const std::array<py::array, 3>& out,
                  const py::array& stats, int n_threads) {
    const MlpLayout network(layout);
    if (network.n_outputs() != 1) throw py::value_error("layout: expected a network with one output.");
    const ValueRule rule{{learning_rate, beta1, beta2, epsilon},
                         n_epochs,
                         batch_size,
                         clip_range_vf.has_value(),
                         clip_range_vf.value_or(0.0),
                         max_grad_norm,
                         adam_step,
                         seed,
                         update_index};
    double* to_stats = output<double>(stats, "stats", {kNumValueStats});
    by_dtype(params, "params", [&](auto tag) {
        using T = decltype(tag);
        const Index n = axis_length(observations, "observations", 2, 0);
        check_counts(rule, n);
        const ValueBatch<T> batch{input<T>(observations, "observations", {n, network.n_inputs()}),
                                  input<T>(returns, "returns", {n}), input<T>(old_values, "old_values", {n}), n};
        const OptimizerArrays<T> state =
            copy_state<T>({&params, &first_moment, &second_moment}, out, network.n_params());
        const auto kernel = surrogate_kernels<T>().value_update;
        bool is_finished = false;
        {
            const py::gil_scoped_release unlocked;
            const KernelHost host(n_threads);
            is_finished = kernel(network.shape(), rule, batch, state, to_stats, host.host());
        }
        if (!is_finished) throw py::error_already_set();
    });
}

void rmsprop_step(const py::array& params, const py::array& gradient, const py::array& square_average,
                  double learning_rate, double alpha, double epsilon, const std::tuple<py::array, py::array>& out) {
    const Index n = axis_length(params, "params", 1, 0);
    by_dtype(params, "params", [&](auto tag) {
        using T = decltype(tag);
        const RmspropArgs<T> args{input<T>(params, "params", {n}),
                                  input<T>(gradient, "gradient", {n}),
                                  input<T>(square_average, "square_average", {n}),
                                  n,
                                  learning_rate,
                                  alpha,
                                  epsilon,
                                  output<T>(std::get<0>(out), "out[0]", {n}),
                                  output<T>(std::get<1>(out), "out[1]", {n})};
        const auto kernel = surrogate_kernels<T>().rmsprop_step;
        const py::gil_scoped_release unlocked;
        kernel(args);
    });
}

}  // namespace

void register_value_update(py::module_& module) {
    using namespace py::literals;
    module.def("value_update", &value_update, "params"_a, "first_moment"_a, "second_moment"_a, "observations"_a,
               "returns"_a, "old_values"_a, py::kw_only(), "layout"_a, "n_epochs"_a, "batch_size"_a, "clip_range_vf"_a,
               "max_grad_norm"_a, "learning_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "adam_step"_a, "seed"_a,
               "update_index"_a, "out"_a, "stats"_a, "n_threads"_a);
    module.def("rmsprop_step", &rmsprop_step, "params"_a, "gradient"_a, "square_average"_a, py::kw_only(),
               "learning_rate"_a, "alpha"_a, "epsilon"_a, "out"_a);
}

}  // namespace fastpg::bindings
