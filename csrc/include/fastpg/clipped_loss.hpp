// PPO's clipped loss and its gradient (Schulman et al. 2017, arXiv:1707.06347, eqs. 7 and 9):
//   loss = -mean(min(r A, clip(r, 1 - c, 1 + c) A)) + ent_coef * (-mean entropy) + vf_coef * mean((returns - v)^2)
// with r = exp(log pi - old log pi); with value clipping v = old_v + clip(V - old_v, -c_v, c_v), without a maximum.
// A min with equal sides has one derivative: both sides are equal only where both have the same.
// Other surrogates (surrogate_terms.hpp) can take the place of the first term, and kl_coef * mean KL can be added.
//
// Policy and value network share nothing: each half can run on a thread of its own.
#pragma once

#include "fastpg/adam.hpp"
#include "fastpg/kl_gradient.hpp"
#include "fastpg/surrogate_terms.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// A minibatch: rows index[0 .. n) of the batch, or all of it if index is null. Where it is followed, index goes on for
// at least a tile: with rows that are needed next, or any others.
struct Minibatch {
    const std::int64_t* index;
    Index n_rows;
    bool is_followed = false;

    Index row(Index i) const {
        return index != nullptr ? static_cast<Index>(index[i]) : i;
    }
    const std::int64_t* rows_from(Index first) const {
        return index != nullptr ? index + first : nullptr;
    }
};

// out[i] = values[row i] for the rows first ... first + n, and 0 up to the next multiple of 16.
template <class T>
inline void gather(const T* values, const Minibatch& batch, Index first, Index n, T* out) {
    for (Index i = 0; i < n; ++i) out[i] = values[batch.row(first + i)];
    set_zero(out + n, round_up(n, kPanel) - n);
}

// (A - mean) / (std + 1e-8) in place, std with divisor n - 1; n > 1. `x` is padded with zeros to a multiple of 16.
template <class T>
inline void standardize(T* x, Index n) {
    constexpr T kGuard = static_cast<T>(1e-8);
    const Index padded = round_up(n, kPanel);
    const T mean = sum_of(x, padded) / static_cast<T>(n);
    for (Index i = 0; i < n; ++i) x[i] -= mean;
    const T squares = sum_of_products(x, x, padded);
    const T scale = square_root(squares / static_cast<T>(n - 1)) + kGuard;
    for (Index i = 0; i < n; ++i) x[i] /= scale;
}

struct PolicySums {
    double surrogate = 0;  // of min(r A, clip(r) A)
    double entropy = 0;
    double kl = 0;  // of (r - 1) - log r
    double clipped = 0;
    double exact_kl = 0;  // in the direction of the penalty
};

// Rows first ... end of a minibatch.
struct RowRange {
    Index first;
    Index end;
};

// What one thread needs for the policy's part of the loss on rows of a minibatch, tile by tile.
template <class T>
class PolicyRows {
public:
    // Parameters are those of `network`; `tile` has its transposed weights.
    PolicyRows(const HeadShape& head, Network<T>& network, MlpTile<T>& tile)
        : network_(network),
          tile_(tile),
          head_(head, tile.capacity()),
          old_policy_(head),
          old_log_probs_(kTileRows),
          weights_(kTileRows) {
        for (Buffer<T>& terms : terms_) terms.reset(kTileRows);
        head_.bind(tile.outputs(), tile.output_gradient(), network.extra_params());
    }

    // Gradient of the policy and entropy terms of the loss of these rows into `gradient` (packed); returns their sums.
    // `advantages` are those of the whole minibatch, in its order.
    PolicySums compute(const PpoBatch<T>& batch, const Minibatch& rows, const ClippedLossRule& rule,
                       const T* advantages, RowRange range, T* gradient) {
        PolicySums sums;
        set_zero(extra(gradient), network_.n_extra);
        for (Index at = range.first; at < range.end; at += kTileRows) {
            const Index n = smaller(kTileRows, range.end - at);
            add_tile(batch, rows, rule, advantages + at, at, n, gradient, sums);
            tile_.backward(network_.params.data(), n, gradient, at == range.first);
        }
        return sums;
    }

private:
    enum Term { kSurrogate, kEntropy, kKl, kClipped, kNumTerms };

    T* extra(T* gradient) const {
        return gradient + network_.plan.packed_size();
    }

    // Up to the gradient by the outputs of the network.
    void add_tile(const PpoBatch<T>& batch, const Minibatch& rows, const ClippedLossRule& rule, const T* advantages,
                  Index first, Index n, T* gradient, PolicySums& sums) {
        tile_.load_inputs(batch.observations, rows.rows_from(first), first, n, rows.is_followed);
        tile_.forward(network_.params.data(), n);
        head_.load_actions(batch.actions, rows.rows_from(first), first, n, rows.is_followed);
        head_.evaluate(n);
        gather(batch.old_log_probs, rows, first, n, old_log_probs_.data());
        const double scale = -1.0 / static_cast<double>(rows.n_rows);
        if (is_plain_clip(rule)) {
            clip_ratios(advantages, static_cast<T>(rule.clip_range), static_cast<T>(scale), n);
        } else {
            evaluate_surrogate(advantages, rule, static_cast<T>(scale), n);
        }
        add_terms(n, sums);
        head_.differentiate(weights_.data(), static_cast<T>(rule.ent_coef * scale), n);
        if (rule.kl_coef != 0) add_kl_penalty(batch, rows.rows_from(first), first, rule, scale, n, sums);
        head_.add_log_std_gradient(n, extra(gradient));
    }

    // weights <- derivative of the loss by the log-probability; terms <- what the statistics sum.
    void clip_ratios(const T* advantages, T clip_range, T scale, Index n) {
        const Vec<T> lowest = splat(1 - clip_range), highest = splat(1 + clip_range);
        for (Index i = 0; i < n; i += kLanes<T>) {
            const Vec<T> log_ratio = load(head_.log_prob() + i) - load(old_log_probs_.data() + i);
            const Vec<T> ratio = vec_exp<T>(log_ratio);
            const Vec<T> advantage = load(advantages + i);
            const Vec<T> clipped = at_least<T>(at_most<T>(ratio, highest), lowest);
            const Vec<T> plain_term = ratio * advantage;
            const IntVec<T> is_flat = ((advantage > 0) & (ratio > highest)) | ((advantage < 0) & (ratio < lowest));
            store(weights_.data() + i, select<T>(is_flat, Vec<T>{}, scale * plain_term));
            store(terms_[kSurrogate].data() + i, at_most<T>(plain_term, clipped * advantage));
            store(terms_[kEntropy].data() + i, load(head_.entropy() + i));
            store(terms_[kKl].data() + i, (ratio - 1) - log_ratio);
            const IntVec<T> is_clipped = absolute<T>(ratio - 1) > clip_range;
            store(terms_[kClipped].data() + i, select<T>(is_clipped, splat<T>(1), Vec<T>{}));
        }
    }

    // As `clip_ratios`, for any surrogate.
    void evaluate_surrogate(const T* advantages, const ClippedLossRule& rule, T scale, Index n) {
        const SurrogateTerms<T> surrogate(rule);
        for (Index i = 0; i < n; i += kLanes<T>) {
            const Vec<T> log_ratio = load(head_.log_prob() + i) - load(old_log_probs_.data() + i);
            const Vec<T> ratio = vec_exp<T>(log_ratio);
            Vec<T> slope{};
            store(terms_[kSurrogate].data() + i, surrogate.evaluate(log_ratio, ratio, load(advantages + i), slope));
            store(weights_.data() + i, scale * slope);
            store(terms_[kEntropy].data() + i, load(head_.entropy() + i));
            store(terms_[kKl].data() + i, (ratio - 1) - log_ratio);
            const IntVec<T> is_clipped = absolute<T>(ratio - 1) > static_cast<T>(rule.clip_range);
            store(terms_[kClipped].data() + i, select<T>(is_clipped, splat<T>(1), Vec<T>{}));
        }
    }

    // After `differentiate`: the derivative of kl_coef * mean KL.
    void add_kl_penalty(const PpoBatch<T>& batch, const std::int64_t* index, Index first, const ClippedLossRule& rule,
                        double scale, Index n, PolicySums& sums) {
        const HeadColumns<T>& old_head = old_policy_.load(batch.old_head_inputs, batch.old_log_std, index, first, n);
        const T weight = static_cast<T>(-rule.kl_coef * scale);
        for (Index i = 0; i < n; ++i) weights_.data()[i] = weight;
        T* kl = terms_[kKl].data();
        head_.add_kl_gradient(old_head, weights_.data(), rule.is_kl_new_old, n, kl);
        sums.exact_kl += static_cast<double>(sum_of(kl, round_up(n, kPanel)));
    }

    void add_terms(Index n, PolicySums& sums) {
        T totals[kNumTerms];
        for (int t = 0; t < kNumTerms; ++t) {
            T* terms = terms_[t].data();
            set_zero(terms + n, round_up(n, kPanel) - n);
            totals[t] = sum_of(terms, round_up(n, kPanel));
        }
        sums.surrogate += static_cast<double>(totals[kSurrogate]);
        sums.entropy += static_cast<double>(totals[kEntropy]);
        sums.kl += static_cast<double>(totals[kKl]);
        sums.clipped += static_cast<double>(totals[kClipped]);
    }

    Network<T>& network_;
    MlpTile<T>& tile_;
    HeadTile<T> head_;
    OldPolicyTile<T> old_policy_;
    Buffer<T> old_log_probs_;
    Buffer<T> weights_;
    Buffer<T> terms_[kNumTerms];
};

template <class T>
class PolicyLoss {
public:
    PolicyLoss(const ActorCriticShape& shape, Index max_rows)
        : network_(shape.policy, n_log_std(shape.head), max_rows),
          rows_(shape.head, network_, network_.tile),
          advantages_(max_rows) {}

    Network<T>& network() {
        return network_;
    }
    const T* advantages() const {
        return advantages_.data();
    }

    // The advantages of a minibatch, as the loss weighs them.
    void load_advantages(const PpoBatch<T>& batch, const Minibatch& rows, const ClippedLossRule& rule) {
        gather(batch.advantages, rows, 0, rows.n_rows, advantages_.data());
        if (rule.normalize_advantage && rows.n_rows > 1) standardize(advantages_.data(), rows.n_rows);
    }

    // Gradient of the policy and entropy terms of the loss into network().gradient; returns the sums over the
    // minibatch.
    PolicySums compute(const PpoBatch<T>& batch, const Minibatch& rows, const ClippedLossRule& rule) {
        load_advantages(batch, rows, rule);
        return rows_.compute(batch, rows, rule, advantages_.data(), {0, rows.n_rows}, network_.gradient.data());
    }

private:
    Network<T> network_;
    PolicyRows<T> rows_;
    Buffer<T> advantages_;
};

// As PolicyRows, for the value network.
template <class T>
class ValueRows {
public:
    ValueRows(const Network<T>& network, MlpTile<T>& tile)
        : network_(network), tile_(tile), old_values_(kTileRows), returns_(kTileRows), terms_(kTileRows) {}

    // Gradient of vf_coef * mean squared error of these rows into `gradient`; returns the sum of their squared errors.
    double compute(const PpoBatch<T>& batch, const Minibatch& rows, const ClippedLossRule& rule, RowRange range,
                   T* gradient) {
        double sum = 0;
        const bool is_clipping = rule.clip_range_vf <= __DBL_MAX__;
        const double scale = 2.0 * rule.vf_coef / static_cast<double>(rows.n_rows);
        for (Index at = range.first; at < range.end; at += kTileRows) {
            const Index n = smaller(kTileRows, range.end - at);
            tile_.load_inputs(batch.observations, rows.rows_from(at), at, n, rows.is_followed);
            tile_.forward(network_.params.data(), n);
            gather(batch.returns, rows, at, n, returns_.data());
            if (is_clipping) gather(batch.old_values, rows, at, n, old_values_.data());
            square_errors(static_cast<T>(rule.clip_range_vf), static_cast<T>(scale), n);
            sum += static_cast<double>(add_terms(n));
            if (rule.vf_coef != 0) tile_.backward(network_.params.data(), n, gradient, at == range.first);
        }
        if (rule.vf_coef == 0) set_zero(gradient, network_.size);
        return sum;
    }

private:
    void square_errors(T clip_range, T scale, Index n) {
        const bool is_clipping = clip_range <= __DBL_MAX__;
        for (Index i = 0; i < n; i += kLanes<T>) {
            Vec<T> value = load(tile_.outputs() + i);
            IntVec<T> is_flat{};
            if (is_clipping) {
                const Vec<T> old_value = load(old_values_.data() + i);
                const Vec<T> change = value - old_value;
                is_flat = absolute<T>(change) > clip_range;
                value = old_value + at_least<T>(at_most<T>(change, splat(clip_range)), splat(-clip_range));
            }
            const Vec<T> error = value - load(returns_.data() + i);
            store(terms_.data() + i, error * error);
            store(tile_.output_gradient() + i, select<T>(is_flat, Vec<T>{}, scale * error));
        }
    }

    T add_terms(Index n) {
        T* terms = terms_.data();
        const Index padded = round_up(n, kPanel);
        set_zero(terms + n, padded - n);
        set_zero(tile_.output_gradient() + n, padded - n);
        return sum_of(terms, padded);
    }

    const Network<T>& network_;
    MlpTile<T>& tile_;
    Buffer<T> old_values_;
    Buffer<T> returns_;
    Buffer<T> terms_;
};

template <class T>
class ValueLoss {
public:
    ValueLoss(const ActorCriticShape& shape, Index max_rows)
        : network_(shape.value, 0, max_rows), rows_(network_, network_.tile) {}

    Network<T>& network() {
        return network_;
    }

    // Gradient of vf_coef * mean squared error into network().gradient; returns the sum of squared errors.
    double compute(const PpoBatch<T>& batch, const Minibatch& rows, const ClippedLossRule& rule) {
        return rows_.compute(batch, rows, rule, {0, rows.n_rows}, network_.gradient.data());
    }

private:
    Network<T> network_;
    ValueRows<T> rows_;
};

// The statistics of one minibatch out of its sums.
inline void loss_stats(const PolicySums& policy, double squared_error, const ClippedLossRule& rule, Index n_rows,
                       double* stats) {
    const double n = static_cast<double>(n_rows);
    stats[kPolicyGradientLoss] = -policy.surrogate / n;
    stats[kValueLoss] = squared_error / n;
    stats[kEntropyLoss] = -policy.entropy / n;
    stats[kApproxKl] = policy.kl / n;
    stats[kClipFraction] = policy.clipped / n;
    stats[kExactKl] = policy.exact_kl / n;
    stats[kLoss] = stats[kPolicyGradientLoss] + rule.ent_coef * stats[kEntropyLoss] + rule.vf_coef * stats[kValueLoss];
    if (rule.kl_coef != 0) stats[kLoss] += rule.kl_coef * stats[kExactKl];
}

template <class T>
void clipped_loss_gradient(const ActorCriticShape& shape, const ClippedLossRule& rule, const PpoBatch<T>& batch,
                           const T* params, T* gradient, double* stats, const Host& host) {
    check_actions(shape.head, batch.actions.discrete, batch.n_rows);
    struct Work {
        PolicyLoss<T> policy;
        ValueLoss<T> value;
        const PpoBatch<T>& batch;
        const ClippedLossRule& rule;
        PolicySums policy_sums;
        double squared_error;
    };
    Work work{PolicyLoss<T>(shape, batch.n_rows), ValueLoss<T>(shape, batch.n_rows), batch, rule, {}, 0.0};
    const Index value_at = work.policy.network().dense_size();
    work.policy.network().set_params(params);
    work.value.network().set_params(params + value_at);
    host.run(
        2,
        [](void* context, int index) {
            Work& w = *static_cast<Work*>(context);
            const Minibatch all{nullptr, w.batch.n_rows, false};
            if (index == 0) {
                w.policy_sums = w.policy.compute(w.batch, all, w.rule);
            } else {
                w.squared_error = w.value.compute(w.batch, all, w.rule);
            }
        },
        &work);
    work.policy.network().unpack(work.policy.network().gradient.data(), gradient);
    work.value.network().unpack(work.value.network().gradient.data(), gradient + value_at);
    for (int i = 0; i < kNumLossStats; ++i) stats[i] = 0.0;
    if (batch.n_rows > 0) loss_stats(work.policy_sums, work.squared_error, rule, batch.n_rows, stats);
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
