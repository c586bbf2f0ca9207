// surrogate.
#include "action_args.hpp"
#include "host.hpp"
#include "register.hpp"

namespace fastpg::bindings {
namespace {

// The four arrays of B samples, in the order of every signature.
struct PolicyArrays {
    const py::array& observations;
    const py::array& actions;
    const py::array& old_log_probs;
    const py::array& advantages;

    template <class T>
    PolicyBatch<T> batch(const PolicyLayout& layout) const {
        const Index n = axis_length(observations, "observations", 2, 0);
        return {input<T>(observations, "observations", {n, layout.policy.n_inputs()}),
                input_actions<T>(actions, layout.head, {n, layout.head.n_actions()}),
                input<T>(old_log_probs, "old_log_probs", {n}), input<T>(advantages, "advantages", {n}), n};
    }
};

void surrogate_gradient(const py::array& params, const py::array& observations, const py::array& actions,
                        const py::array& old_log_probs, const py::array& advantages, const py::object& layout,
                        double ent_coef, const py::array& out, const py::array& stats, int n_threads) {
    const PolicyLayout policy(layout);
    const PolicyArrays sample{observations, actions, old_log_probs, advantages};
    double* to_stats = output<double>(stats, "stats", {kNumSurrogateStats});
    by_dtype(params, "params", [&](auto tag) {
        using T = decltype(tag);
        const PolicyBatch<T> batch = sample.batch<T>(policy);
        const T* from = input<T>(params, "params", {policy.n_params()});
        T* to = output<T>(out, "out", {policy.n_params()});
        const auto kernel = surrogate_kernels<T>().surrogate_gradient;
        const py::gil_scoped_release unlocked;
        const KernelHost host(n_threads);
        kernel(policy.shape(), batch, ent_coef, from, to, to_stats, host.host());
    });
}

void surrogate_evaluate(const py::array& params, const py::array& observations, const py::array& actions,
                        const py::array& old_log_probs, const py::array& advantages, const py::array& old_head_inputs,
                        const py::array& old_log_std, const py::object& layout, double ent_coef, const py::array& stats,
                        int n_threads) {
    const PolicyLayout policy(layout);
    const PolicyArrays sample{observations, actions, old_log_probs, advantages};
    double* to_stats = output<double>(stats, "stats", {kNumEvaluationStats});
    by_dtype(params, "params", [&](auto tag) {
        using T = decltype(tag);
        const PolicyBatch<T> batch = sample.batch<T>(policy);
        const HeadArgs<T> old_policy{
            input<T>(old_head_inputs, "old_head_inputs", {batch.n_rows, policy.head.n_inputs()}),
            input<T>(old_log_std, "old_log_std", {policy.head.n_log_std()}), batch.n_rows};
        const T* from = input<T>(params, "params", {policy.n_params()});
        const auto kernel = surrogate_kernels<T>().surrogate_evaluate;
        const py::gil_scoped_release unlocked;
        const KernelHost host(n_threads);
        kernel(policy.shape(), batch, ent_coef, from, old_policy, to_stats, host.host());
    });
}

void surrogate_hessian_vector_product(const py::array& params, const py::array& observations, const py::array& actions,
                                      const py::array& old_log_probs, const py::array& advantages,
                                      const py::array& vector, const py::object& layout, double ent_coef,
                                      const py::array& out, int n_threads) {
    const PolicyLayout policy(layout);
    const PolicyArrays sample{observations, actions, old_log_probs, advantages};
    by_dtype(params, "params", [&](auto tag) {
        using T = decltype(tag);
        const PolicyBatch<T> batch = sample.batch<T>(policy);
        const T* from = input<T>(params, "params", {policy.n_params()});
        const T* direction = input<T>(vector, "vector", {policy.n_params()});
        T* to = output<T>(out, "out", {policy.n_params()});
        const auto kernel = surrogate_kernels<T>().surrogate_hessian_vector_product;
        const py::gil_scoped_release unlocked;
        const KernelHost host(n_threads);
        kernel(policy.shape(), batch, ent_coef, from, direction, to, host.host());
    });
}

}  // namespace

void register_surrogate(py::module_& module) {
    using namespace py::literals;
    module.def("surrogate_gradient", &surrogate_gradient, "params"_a, "observations"_a, "actions"_a, "old_log_probs"_a,
               "advantages"_a, py::kw_only(), "layout"_a, "ent_coef"_a, "out"_a, "stats"_a, "n_threads"_a);
    module.def("surrogate_evaluate", &surrogate_evaluate, "params"_a, "observations"_a, "actions"_a, "old_log_probs"_a,
               "advantages"_a, "old_head_inputs"_a, "old_log_std"_a, py::kw_only(), "layout"_a, "ent_coef"_a, "stats"_a,
               "n_threads"_a);
    module.def("surrogate_hessian_vector_product", &surrogate_hessian_vector_product, "params"_a, "observations"_a,
               "actions"_a, "old_log_probs"_a, "advantages"_a, "vector"_a, py::kw_only(), "layout"_a, "ent_coef"_a,
               "out"_a, "n_threads"_a);
}

}  // namespace fastpg::bindings
