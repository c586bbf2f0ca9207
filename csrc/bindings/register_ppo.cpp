// clipped_loss, ppo_update and kl_gradient.
#include "action_args.hpp"
#include "host.hpp"
#include "register.hpp"
#include "update_args.hpp"

#include <pybind11/stl.h>

#include <limits>
#include <optional>
#include <string>

namespace fastpg::bindings {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The six arrays of B samples, in the order of every signature.
struct PpoArrays {
    const py::array& observations;
    const py::array& actions;
    const py::array& old_log_probs;
    const py::array& advantages;
    const py::array& returns;
    const py::array& old_values;

    template <class T>
    PpoBatch<T> batch(const ActorCriticLayout& layout) const {
        const Index n = axis_length(observations, "observations", 2, 0);
        return {input<T>(observations, "observations", {n, layout.policy.n_inputs()}),
                input_actions<T>(actions, layout.head, {n, layout.head.n_actions()}),
                input<T>(old_log_probs, "old_log_probs", {n}),
                input<T>(advantages, "advantages", {n}),
                input<T>(returns, "returns", {n}),
                input<T>(old_values, "old_values", {n}),
                n,
                nullptr,
                nullptr};
    }
};

SurrogateKind read_surrogate(const std::string& name) {
    if (name == "clip") return SurrogateKind::kClip;
    if (name == "ratio") return SurrogateKind::kRatio;
    if (name == "barrier") return SurrogateKind::kBarrier;
    if (name == "penalty") return SurrogateKind::kPenalty;
    if (name == "tsallis") return SurrogateKind::kTsallis;
    throw py::value_error("surrogate: expected 'clip', 'ratio', 'barrier', 'penalty' or 'tsallis', got '" + name +
                          "'.");
}

bool is_new_old(const std::string& direction) {
    if (direction == "new_old") return true;
    if (direction == "old_new") return false;
    throw py::value_error("direction: expected 'old_new' or 'new_old', got '" + direction + "'.");
}

// What both functions are told about the loss.
struct LossArguments {
    double clip_range;
    std::optional<double> clip_range_vf;
    double vf_coef;
    double ent_coef;
    bool normalize_advantage;
    const std::string& surrogate;
    double constraint_coef;
    std::optional<double> dual_clip;
    std::optional<double> tsallis_q;
    double kl_coef;
    const std::string& kl_direction;

    ClippedLossRule rule() const {
        return {clip_range,
                clip_range_vf.value_or(kInfinity),
                vf_coef,
                ent_coef,
                normalize_advantage,
                read_surrogate(surrogate),
                constraint_coef,
                dual_clip.value_or(kInfinity),
                tsallis_q.value_or(2.0),
                kl_coef,
                is_new_old(kl_direction)};
    }
};

void clipped_loss_gradient(const py::array& params, const py::array& observations, const py::array& actions,
                           const py::array& old_log_probs, const py::array& advantages, const py::array& returns,
                           const py::array& old_values, const py::object& layout, double clip_range,
                           std::optional<double> clip_range_vf, double vf_coef, double ent_coef,
                           bool normalize_advantage, const std::string& surrogate, double constraint_coef,
                           std::optional<double> dual_clip, std::optional<double> tsallis_q, double kl_coef,
                           const std::string& kl_direction, const std::optional<py::array>& old_head_inputs,
                           const std::optional<py::array>& old_log_std, const py::array& out, const py::array& stats,
                           int n_threads) {
    const ActorCriticLayout networks(layout);
    const PpoArrays sample{observations, actions, old_log_probs, advantages, returns, old_values};
    const ClippedLossRule rule =
        LossArguments{clip_range,      clip_range_vf, vf_coef,   ent_coef, normalize_advantage, surrogate,
                      constraint_coef, dual_clip,     tsallis_q, kl_coef,  kl_direction}
            .rule();
    double* to_stats = output<double>(stats, "stats", {kNumLossStats});
    if (kl_coef != 0 && !(old_head_inputs && old_log_std)) {
        throw py::value_error("old_head_inputs, old_log_std: expected arrays with a KL penalty.");
    }
    by_dtype(params, "params", [&](auto tag) {
        using T = decltype(tag);
        PpoBatch<T> batch = sample.batch<T>(networks);
        if (kl_coef != 0) {
            batch.old_head_inputs =
                input<T>(*old_head_inputs, "old_head_inputs", {batch.n_rows, networks.head.n_inputs()});
            batch.old_log_std = input<T>(*old_log_std, "old_log_std", {networks.head.n_log_std()});
        }
        const T* from = input<T>(params, "params", {networks.n_params()});
        T* to = output<T>(out, "out", {networks.n_params()});
        const auto kernel = kernels<T>().clipped_loss_gradient;
        const py::gil_scoped_release unlocked;
        const KernelHost host(n_threads);
        kernel(networks.shape(), rule, batch, from, to, to_stats, host.host());
    });
}

void kl_gradient(const py::array& params, const py::array& observations, const py::array& old_head_inputs,
                 const py::array& old_log_std, const py::array& weights, const py::object& layout,
                 const std::string& direction, const py::array& out, int) {
    const PolicyLayout networks(layout);
    const MlpLayout& policy = networks.policy;
    const HeadLayout& head = networks.head;
    const Index n_rows = axis_length(observations, "observations", 2, 0);
    by_dtype(params, "params", [&](auto tag) {
        using T = decltype(tag);
        const KlGradientArgs<T> args{input<T>(params, "params", {networks.n_params()}),
                                     input<T>(observations, "observations", {n_rows, policy.n_inputs()}),
                                     input<T>(old_head_inputs, "old_head_inputs", {n_rows, head.n_inputs()}),
                                     input<T>(old_log_std, "old_log_std", {head.n_log_std()}),
                                     input<T>(weights, "weights", {n_rows}),
                                     n_rows,
                                     is_new_old(direction),
                                     output<T>(out, "out", {networks.n_params()})};
        const auto kernel = kernels<T>().kl_gradient;
        const py::gil_scoped_release unlocked;
        kernel(policy.shape(), head.shape(), args);
    });
}

void ppo_update(const py::array& params, const py::array& first_moment, const py::array& second_moment,
                const py::array& observations, const py::array& actions, const py::array& old_log_probs,
                const py::array& advantages, const py::array& returns, const py::array& old_values,
                const py::object& layout, Index n_epochs, Index batch_size, double clip_range,
                std::optional<double> clip_range_vf, double vf_coef, double ent_coef, double max_grad_norm,
                bool normalize_advantage, const std::string& surrogate, double constraint_coef,
                std::optional<double> dual_clip, std::optional<double> tsallis_q, double kl_coef,
                const std::string& kl_direction, const std::optional<py::array>& old_params,
                std::optional<double> target_kl, double learning_rate, double beta1, double beta2, double epsilon,
                Index adam_step, std::uint64_t seed, std::uint64_t update_index, Index first_epoch,
                const std::array<py::array, 3>& out, const py::array& stats, int n_threads) {
    const ActorCriticLayout networks(layout);
    const PpoArrays sample{observations, actions, old_log_probs, advantages, returns, old_values};
    const PpoRule rule{LossArguments{clip_range, clip_range_vf, vf_coef, ent_coef, normalize_advantage, surrogate,
                                     constraint_coef, dual_clip, tsallis_q, kl_coef, kl_direction}
                           .rule(),
                       {learning_rate, beta1, beta2, epsilon},
                       n_epochs,
                       batch_size,
                       max_grad_norm,
                       target_kl.value_or(kInfinity),
                       adam_step,
                       seed,
                       update_index,
                       first_epoch};
    double* to_stats = output<double>(stats, "stats", {kNumPpoStats});
    by_dtype(params, "params", [&](auto tag) {
        using T = decltype(tag);
        const PpoBatch<T> batch = sample.batch<T>(networks);
        check_counts(rule, batch.n_rows);
        require(rule.first_epoch >= 0 && rule.first_epoch < (1 << 16) - rule.n_epochs,
                "first_epoch: expected first_epoch + n_epochs less than 2^16.");
        const T* old_policy = old_params ? input<T>(*old_params, "old_params", {networks.n_params()}) : nullptr;
        if (kl_coef != 0 && old_policy == nullptr) {
            throw py::value_error("old_params: expected an array with a KL penalty.");
        }
        const OptimizerArrays<T> state =
            copy_state<T>({&params, &first_moment, &second_moment}, out, networks.n_params());
        const auto kernel = kernels<T>().ppo_update;
        bool is_finished = false;
        {
            const py::gil_scoped_release unlocked;
            const KernelHost host(n_threads);
            is_finished = kernel(networks.shape(), rule, batch, old_policy, state, to_stats, host.host());
        }
        if (!is_finished) throw py::error_already_set();
    });
}

}  // namespace

void register_ppo(py::module_& module) {
    using namespace py::literals;
    module.def("clipped_loss_gradient", &clipped_loss_gradient, "params"_a, "observations"_a, "actions"_a,
               "old_log_probs"_a, "advantages"_a, "returns"_a, "old_values"_a, py::kw_only(), "layout"_a,
               "clip_range"_a, "clip_range_vf"_a, "vf_coef"_a, "ent_coef"_a, "normalize_advantage"_a, "surrogate"_a,
               "constraint_coef"_a, "dual_clip"_a, "tsallis_q"_a, "kl_coef"_a, "kl_direction"_a, "old_head_inputs"_a,
               "old_log_std"_a, "out"_a, "stats"_a, "n_threads"_a);
    module.def("kl_gradient", &kl_gradient, "params"_a, "observations"_a, "old_head_inputs"_a, "old_log_std"_a,
               "weights"_a, py::kw_only(), "layout"_a, "direction"_a, "out"_a, "n_threads"_a);
    module.def("ppo_update", &ppo_update, "params"_a, "first_moment"_a, "second_moment"_a, "observations"_a,
               "actions"_a, "old_log_probs"_a, "advantages"_a, "returns"_a, "old_values"_a, py::kw_only(), "layout"_a,
               "n_epochs"_a, "batch_size"_a, "clip_range"_a, "clip_range_vf"_a, "vf_coef"_a, "ent_coef"_a,
               "max_grad_norm"_a, "normalize_advantage"_a, "surrogate"_a, "constraint_coef"_a, "dual_clip"_a,
               "tsallis_q"_a, "kl_coef"_a, "kl_direction"_a, "old_params"_a, "target_kl"_a, "learning_rate"_a,
               "beta1"_a, "beta2"_a, "epsilon"_a, "adam_step"_a, "seed"_a, "update_index"_a, "first_epoch"_a, "out"_a,
               "stats"_a, "n_threads"_a);
}

}  // namespace fastpg::bindings
