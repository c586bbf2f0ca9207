// fisher and cholesky: bind_fisher, fisher_factors, cholesky_solve.
#include "action_args.hpp"
#include "host.hpp"
#include "register.hpp"

#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <optional>

namespace fastpg::bindings {
namespace {

constexpr const char* kFisherDoc =
    "The Fisher matrix of a policy on a batch; see fastpg.kernels.fisher.Fisher. Not for use by two threads at once.";

using OptionalArray = std::optional<py::array>;

template <class T>
FisherBatch<T> read_batch(const py::array& observations, const OptionalArray& actions, const PolicyLayout& layout) {
    const Index n = axis_length(observations, "observations", 2, 0);
    const T* rows = input<T>(observations, "observations", {n, layout.policy.n_inputs()});
    if (!actions) return {rows, {nullptr, nullptr}, n};
    return {rows, input_actions<T>(*actions, layout.head, {n, layout.head.n_actions()}), n};
}

class BoundFisher {
public:
    virtual ~BoundFisher() = default;
    virtual void product(const py::array& vector, double damping, const OptionalArray& damping_scale,
                         const py::array& out) = 0;
    virtual void diagonal(const py::array& out) = 0;
    virtual void solve(const py::array& gradient, double damping, const OptionalArray& damping_scale,
                       Index max_iterations, double relative_tolerance, double absolute_tolerance,
                       const OptionalArray& start, const py::array& schedule, const std::array<py::array, 2>& out,
                       const py::array& stats) = 0;
};

template <class T>
class BoundFisherOf final : public BoundFisher {
public:
    BoundFisherOf(const py::array& params, const py::array& observations, const OptionalArray& actions,
                  PolicyLayout layout, int n_threads)
        : layout_(std::move(layout)), n_threads_(n_threads), table_(fisher_kernels<T>()) {
        const FisherBatch<T> batch = read_batch<T>(observations, actions, layout_);
        const T* from = input<T>(params, "params", {layout_.n_params()});
        const py::gil_scoped_release unlocked;
        const KernelHost host(n_threads_);
        fisher_ = {table_.create(layout_.shape(), batch, from, n_threads_, host.host()), table_.destroy};
    }

    void product(const py::array& vector, double damping, const OptionalArray& damping_scale,
                 const py::array& out) override {
        const T* from = input<T>(vector, "vector", {layout_.n_params()});
        const Damping<T> damped{damping, optional_input(damping_scale, "damping_scale")};
        T* to = output<T>(out, "out", {layout_.n_params()});
        const py::gil_scoped_release unlocked;
        const KernelHost host(n_threads_);
        table_.product(fisher_.get(), from, damped, to, host.host());
    }

    void diagonal(const py::array& out) override {
        T* to = output<T>(out, "out", {layout_.n_params()});
        const py::gil_scoped_release unlocked;
        const KernelHost host(n_threads_);
        table_.diagonal(fisher_.get(), to, host.host());
    }

    void solve(const py::array& gradient, double damping, const OptionalArray& damping_scale, Index max_iterations,
               double relative_tolerance, double absolute_tolerance, const OptionalArray& start,
               const py::array& schedule, const std::array<py::array, 2>& out, const py::array& stats) override {
        const Index n = layout_.n_params(), n_kept = axis_length(schedule, "schedule", 1, 0);
        const CgArgs<T> args{input<T>(gradient, "gradient", {n}),
                             optional_input(start, "start"),
                             input<std::int64_t>(schedule, "schedule", {n_kept}),
                             n_kept,
                             output<T>(out[0], "out[0]", {n}),
                             output<T>(out[1], "out[1]", {n_kept, n}),
                             output<double>(stats, "stats", {kNumCgStats})};
        const CgRule rule{max_iterations, relative_tolerance, absolute_tolerance};
        const Damping<T> damped{damping, optional_input(damping_scale, "damping_scale")};
        bool is_finished = false;
        {
            const py::gil_scoped_release unlocked;
            const KernelHost host(n_threads_);
            is_finished = table_.solve(fisher_.get(), rule, args, damped, host.host());
        }
        if (!is_finished) throw py::error_already_set();
    }

private:
    const T* optional_input(const OptionalArray& array, const char* name) const {
        return array ? input<T>(*array, name, {layout_.n_params()}) : nullptr;
    }

    PolicyLayout layout_;  // the operator points to its sizes
    int n_threads_;
    const FisherTable<T>& table_;
    std::unique_ptr<FisherHandle, void (*)(FisherHandle*)> fisher_{nullptr, nullptr};
};

std::unique_ptr<BoundFisher> bind_fisher(const py::array& params, const py::array& observations,
                                         const py::object& layout, const OptionalArray& actions, int n_threads) {
    const PolicyLayout policy(layout);
    std::unique_ptr<BoundFisher> fisher;
    by_dtype(params, "params", [&](auto tag) {
        using T = decltype(tag);
        fisher = std::make_unique<BoundFisherOf<T>>(params, observations, actions, policy, n_threads);
    });
    return fisher;
}

void fisher_factors(const py::array& params, const py::array& observations, const py::object& layout,
                    const OptionalArray& actions, const py::array& out) {
    const PolicyLayout policy(layout);
    by_dtype(params, "params", [&](auto tag) {
        using T = decltype(tag);
        const FisherBatch<T> batch = read_batch<T>(observations, actions, policy);
        const Index n_factors =
            actions ? batch.n_rows : batch.n_rows * policy.head.n_inputs() + policy.head.n_log_std();
        const T* from = input<T>(params, "params", {policy.n_params()});
        T* to = output<T>(out, "out", {n_factors, policy.n_params()});
        const auto kernel = fisher_kernels<T>().factors;
        const py::gil_scoped_release unlocked;
        kernel(policy.shape(), batch, from, to);
    });
}

void cholesky_solve(const py::array& matrix, const py::array& rhs, double damping, const py::array& out,
                    const py::array& stats) {
    const Index n = axis_length(rhs, "rhs", 1, 0);
    double* is_positive_definite = output<double>(stats, "stats", {1});
    by_dtype(matrix, "matrix", [&](auto tag) {
        using T = decltype(tag);
        const T* from = input<T>(matrix, "matrix", {n, n});
        const T* right = input<T>(rhs, "rhs", {n});
        T* to = output<T>(out, "out", {n});
        const auto kernel = fisher_kernels<T>().cholesky_solve;
        const py::gil_scoped_release unlocked;
        *is_positive_definite = kernel(from, right, n, damping, to) ? 1.0 : 0.0;
    });
}

}  // namespace

void register_fisher(py::module_& module) {
    using namespace py::literals;
    py::class_<BoundFisher>(module, "Fisher", kFisherDoc)
        .def("product", &BoundFisher::product, "vector"_a, py::kw_only(), "damping"_a, "damping_scale"_a, "out"_a)
        .def("diagonal", &BoundFisher::diagonal, py::kw_only(), "out"_a)
        .def("solve", &BoundFisher::solve, "gradient"_a, py::kw_only(), "damping"_a, "damping_scale"_a,
             "max_iterations"_a, "relative_tolerance"_a, "absolute_tolerance"_a, "start"_a, "schedule"_a, "out"_a,
             "stats"_a);
    module.def("bind_fisher", &bind_fisher, "params"_a, "observations"_a, py::kw_only(), "layout"_a, "actions"_a,
               "n_threads"_a);
    module.def("fisher_factors", &fisher_factors, "params"_a, "observations"_a, py::kw_only(), "layout"_a, "actions"_a,
               "out"_a);
    module.def("cholesky_solve", &cholesky_solve, "matrix"_a, "rhs"_a, py::kw_only(), "damping"_a, "out"_a, "stats"_a);
}

}  // namespace fastpg::bindings
