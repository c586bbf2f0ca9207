// The surrogate of trust-region methods (Schulman et al. 2015, arXiv:1502.05477, eq. 14) with an entropy term:
//   L = mean(r A) + ent_coef * mean entropy,  r = exp(log pi - old log pi)
// Its gradient, and what a line search asks of a candidate: L, both KL divergences (mean and largest), the largest
// ratio.
#pragma once

#include "fastpg/chunks.hpp"
#include "fastpg/clipped_loss.hpp"
#include "fastpg/divergences.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// Sum of terms[0 .. n); the rest of the last panel is overwritten with zeros.
template <class T>
inline double sum_column(T* terms, Index n) {
    const Index padded = round_up(n, kPanel);
    set_zero(terms + n, padded - n);
    return static_cast<double>(sum_of(terms, padded));
}

// The larger of `largest` and terms[0 .. n); NaN if one is.
template <class T>
inline double largest_of(const T* terms, Index n, double largest) {
    for (Index i = 0; i < n; ++i) {
        const auto term = static_cast<double>(terms[i]);
        largest = term <= largest || largest != largest ? largest : term;
    }
    return largest;
}

// L and its gradient on a part of the rows, tile by tile.
template <class T>
class SurrogateGradient {
public:
    SurrogateGradient(const PolicyShape& shape, const PolicyBatch<T>& batch, double ent_coef, const T* params)
        : batch_(batch),
          ent_coef_(ent_coef),
          network_(shape.policy, n_log_std(shape.head), batch.n_rows),
          head_(shape.head, network_.tile.capacity()),
          old_log_probs_(kTileRows),
          advantages_(kTileRows),
          entropies_(kTileRows),
          terms_(kTileRows),
          weights_(kTileRows) {
        head_.bind(network_.tile.outputs(), network_.tile.output_gradient(), network_.extra_params());
        network_.set_params(params);
    }

    void add_rows(Index first, Index end) {
        for (; first < end; first += kTileRows) add_tile(first, smaller(kTileRows, end - first));
    }

    // Adds what another part has found.
    void add(SurrogateGradient& other) {
        surrogate_ += other.surrogate_;
        entropy_ += other.entropy_;
        for (Index i = 0; i < network_.size; ++i) network_.gradient.data()[i] += other.network_.gradient.data()[i];
    }

    void write(T* gradient, double* stats) const {
        network_.unpack(network_.gradient.data(), gradient);
        const double n = larger(static_cast<double>(batch_.n_rows), 1.0);
        stats[kSurrogateEntropy] = entropy_ / n;
        stats[kSurrogateValue] = surrogate_ / n + ent_coef_ * stats[kSurrogateEntropy];
    }

private:
    void add_tile(Index first, Index n) {
        const Minibatch all{nullptr, batch_.n_rows};
        network_.tile.load_inputs(batch_.observations, nullptr, first, n);
        network_.tile.forward(network_.params.data(), n);
        head_.load_actions(batch_.actions, nullptr, first, n);
        head_.evaluate(n);
        gather(batch_.old_log_probs, all, first, n, old_log_probs_.data());
        gather(batch_.advantages, all, first, n, advantages_.data());
        const double share = 1.0 / static_cast<double>(batch_.n_rows);
        for (Index i = 0; i < n; i += kLanes<T>) {
            const Vec<T> log_ratio = load(head_.log_prob() + i) - load(old_log_probs_.data() + i);
            const Vec<T> term = vec_exp<T>(log_ratio) * load(advantages_.data() + i);
            store(terms_.data() + i, term);
            store(weights_.data() + i, term * static_cast<T>(share));
            store(entropies_.data() + i, load(head_.entropy() + i));
        }
        surrogate_ += sum_column(terms_.data(), n);
        entropy_ += sum_column(entropies_.data(), n);
        head_.differentiate(weights_.data(), static_cast<T>(ent_coef_ * share), n);
        head_.add_log_std_gradient(n, network_.extra_gradient());
        network_.tile.backward(network_.params.data(), n, network_.gradient.data());
    }

    const PolicyBatch<T>& batch_;
    double ent_coef_;
    Network<T> network_;
    HeadTile<T> head_;
    Buffer<T> old_log_probs_;
    Buffer<T> advantages_;
    Buffer<T> entropies_;
    Buffer<T> terms_;
    Buffer<T> weights_;
    double surrogate_ = 0;
    double entropy_ = 0;
};

template <class T>
void surrogate_gradient(const PolicyShape& shape, const PolicyBatch<T>& batch, double ent_coef, const T* params,
                        T* gradient, double* stats, const Host& host) {
    check_actions(shape.head, batch.actions.discrete, batch.n_rows);
    ChunkWorkers<SurrogateGradient<T>> parts(batch.n_rows, shape, batch, ent_coef, params);
    parts.run(host);
    for (Index c = 1; c < parts.count(); ++c) parts[0].add(parts[c]);
    parts[0].write(gradient, stats);
}

// A candidate beside the old policy on a part of the rows: forward passes alone, the activations of one tile at a time.
template <class T>
class SurrogateEvaluation {
public:
    SurrogateEvaluation(const PolicyShape& shape, const PolicyBatch<T>& batch, const HeadArgs<T>& old_policy,
                        const T* params)
        : batch_(batch),
          plan_(shape.policy),
          tile_(plan_, batch.n_rows),
          params_(plan_.packed_size()),
          log_std_(n_log_std(shape.head)),
          probabilities_(shape.head.n_inputs * tile_.capacity()),
          head_(shape.head, tile_.capacity()),
          old_head_(shape.head, old_policy),
          old_log_probs_(kTileRows),
          advantages_(kTileRows) {
        for (Buffer<T>& terms : terms_) terms.reset(kTileRows);
        head_.bind(tile_.outputs(), probabilities_.data(), log_std_.data());
        plan_.pack(params, params_.data());
        copy(params + plan_.dense_size(), n_log_std(shape.head), log_std_.data());
    }

    void add_rows(Index first, Index end) {
        for (; first < end; first += kTileRows) add_tile(first, smaller(kTileRows, end - first));
    }

    // Adds what another part has found.
    void add(const SurrogateEvaluation& other) {
        for (const int i : kSums) stats_[i] += other.stats_[i];
        for (const int i : kMaxima) stats_[i] = largest_of(&other.stats_[i], 1, stats_[i]);
    }

    void write(double ent_coef, double* stats) const {
        const double n = larger(static_cast<double>(batch_.n_rows), 1.0);
        for (const int i : kSums) stats[i] = stats_[i] / n;
        for (const int i : kMaxima) stats[i] = stats_[i];
        stats[kSurrogateValue] += ent_coef * stats[kSurrogateEntropy];
    }

private:
    enum Term { kGain, kEntropy, kOldNew, kNewOld, kApproxKl, kRatio, kNumTerms };
    static constexpr int kSums[] = {kSurrogateValue, kSurrogateEntropy, kKlOldNew, kKlNewOld, kSurrogateApproxKl};
    static constexpr int kMaxima[] = {kKlOldNewMax, kKlNewOldMax, kRatioMax};

    void add_tile(Index first, Index n) {
        const Minibatch all{nullptr, batch_.n_rows};
        tile_.load_inputs(batch_.observations, nullptr, first, n);
        tile_.forward(params_.data(), n);
        head_.load_actions(batch_.actions, nullptr, first, n);
        gather(batch_.old_log_probs, all, first, n, old_log_probs_.data());
        gather(batch_.advantages, all, first, n, advantages_.data());
        const HeadColumns<T>& old_columns = old_head_.load(first, n).columns();
        by_kind(head_.columns().shape.kind, [&](auto kind) {
            for (Index i = 0; i < n; i += kLanes<T>) evaluate(kind, old_columns, i);
        });
        stats_[kSurrogateValue] += sum_column(terms_[kGain].data(), n);
        stats_[kSurrogateEntropy] += sum_column(terms_[kEntropy].data(), n);
        stats_[kKlOldNew] += sum_column(terms_[kOldNew].data(), n);
        stats_[kKlNewOld] += sum_column(terms_[kNewOld].data(), n);
        stats_[kSurrogateApproxKl] += sum_column(terms_[kApproxKl].data(), n);
        stats_[kKlOldNewMax] = largest_of(terms_[kOldNew].data(), n, stats_[kKlOldNewMax]);
        stats_[kKlNewOldMax] = largest_of(terms_[kNewOld].data(), n, stats_[kKlNewOldMax]);
        stats_[kRatioMax] = largest_of(terms_[kRatio].data(), n, stats_[kRatioMax]);
    }

    // Every number of the rows i ... i + kLanes - 1 into terms_.
    template <class Kind>
    FASTPG_INLINE void evaluate(Kind kind, const HeadColumns<T>& old_columns, Index i) {
        Vec<T> log_prob{}, entropy{};
        kind.template evaluate<T>(head_.columns(), i, log_prob, entropy);
        const Divergences<T> kl = divergences<T>(kind, old_columns, head_.columns(), i);
        const Vec<T> log_ratio = log_prob - load(old_log_probs_.data() + i);
        const Vec<T> ratio = vec_exp<T>(log_ratio);
        store(terms_[kGain].data() + i, ratio * load(advantages_.data() + i));
        store(terms_[kEntropy].data() + i, entropy);
        store(terms_[kOldNew].data() + i, kl.old_new);
        store(terms_[kNewOld].data() + i, kl.new_old);
        store(terms_[kApproxKl].data() + i, (ratio - 1) - log_ratio);
        store(terms_[kRatio].data() + i, ratio);
    }

    const PolicyBatch<T>& batch_;
    MlpPlan plan_;
    MlpTile<T> tile_;
    Buffer<T> params_;
    Buffer<T> log_std_;
    Buffer<T> probabilities_;
    HeadTile<T> head_;
    HeadTileOnArray<T> old_head_;
    Buffer<T> old_log_probs_;
    Buffer<T> advantages_;
    Buffer<T> terms_[kNumTerms];
    double stats_[kNumEvaluationStats] = {};
};

template <class T>
void surrogate_evaluate(const PolicyShape& shape, const PolicyBatch<T>& batch, double ent_coef, const T* params,
                        const HeadArgs<T>& old_policy, double* stats, const Host& host) {
    check_actions(shape.head, batch.actions.discrete, batch.n_rows);
    ChunkWorkers<SurrogateEvaluation<T>> parts(batch.n_rows, shape, batch, old_policy, params);
    parts.run(host);
    for (Index c = 1; c < parts.count(); ++c) parts[0].add(parts[c]);
    parts[0].write(ent_coef, stats);
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
