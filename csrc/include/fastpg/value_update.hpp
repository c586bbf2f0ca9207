// A whole update of the critic: epochs of shuffled minibatches of Adam on the value network alone. The loss is
//   mean((R - V)^2),  with value clipping (OpenAI baselines)  mean(max((R - V)^2, (R - old - clip(V - old, -c, c))^2)).
// Minibatches are taken in chunks, which threads share out among them.
#pragma once

#include "fastpg/chunks.hpp"
#include "fastpg/ppo_update.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// What one thread needs for the gradient of the loss on a chunk of a minibatch, tile by tile.
template <class T>
class ValueGradient {
public:
    // Parameters are those of `network`, which has prepared for backward passes.
    ValueGradient(const Network<T>& network, const ValueRule& rule, const ValueBatch<T>& batch, Index max_rows)
        : network_(network),
          rule_(rule),
          batch_(batch),
          tile_(network.plan, max_rows),
          returns_(kTileRows),
          old_values_(kTileRows),
          terms_(kTileRows) {
        tile_.share_weights(network.tile);
    }

    // Overwrites `gradient` with that of the rows first ... end; returns the sum of their terms of the loss.
    double compute(const Minibatch& rows, Index first, Index end, T* gradient) {
        double sum = 0;
        for (Index at = first; at < end; at += kTileRows) {
            const Index n = smaller(kTileRows, end - at);
            tile_.load_inputs(batch_.observations, rows.rows_from(at), at, n);
            tile_.forward(network_.params.data(), n);
            gather(batch_.returns, rows, at, n, returns_.data());
            if (rule_.is_clipping) gather(batch_.old_values, rows, at, n, old_values_.data());
            square_errors(static_cast<T>(2.0 / static_cast<double>(rows.n_rows)), n);
            sum += add_terms(n);
            tile_.backward(network_.params.data(), n, gradient, at == first);
        }
        return sum;
    }

private:
    void square_errors(T scale, Index n) {
        const T limit = static_cast<T>(rule_.clip_range_vf);
        for (Index i = 0; i < n; i += kLanes<T>) {
            const Vec<T> value = load(tile_.outputs() + i);
            const Vec<T> target = load(returns_.data() + i);
            const Vec<T> error = value - target;
            Vec<T> square = error * error, by_value = scale * error;
            if (rule_.is_clipping) {
                const Vec<T> old_value = load(old_values_.data() + i);
                const Vec<T> change = value - old_value;
                const Vec<T> bounded = at_least<T>(at_most<T>(change, splat(limit)), splat(-limit));
                const Vec<T> clipped = (old_value + bounded) - target;
                const IntVec<T> is_free = (absolute<T>(change) <= limit) | (clipped * clipped <= square);
                square = select<T>(is_free, square, clipped * clipped);
                by_value = select<T>(is_free, by_value, clipped * T{0});  // 0, or NaN
            }
            store(terms_.data() + i, square);
            store(tile_.output_gradient() + i, by_value);
        }
    }

    double add_terms(Index n) {
        T* terms = terms_.data();
        const Index padded = round_up(n, kPanel);
        set_zero(terms + n, padded - n);
        set_zero(tile_.output_gradient() + n, padded - n);
        return static_cast<double>(sum_of(terms, padded));
    }

    const Network<T>& network_;
    const ValueRule& rule_;
    const ValueBatch<T>& batch_;
    MlpTile<T> tile_;
    Buffer<T> returns_;
    Buffer<T> old_values_;
    Buffer<T> terms_;
};

template <class T>
class ValueUpdate {
public:
    ValueUpdate(const MlpShape& shape, const ValueRule& rule, const ValueBatch<T>& batch,
                const OptimizerArrays<T>& state, const Host& host)
        : rule_(rule),
          n_rows_(batch.n_rows),
          host_(host),
          minibatches_{batch.n_rows, smaller(rule.batch_size, batch.n_rows)},
          network_(shape, 0, 1),
          optimizer_(network_, state),
          order_(batch.n_rows),
          workers_(smaller<Index>(host.n_threads, Parts(minibatches_.largest()).count())),
          gradients_((Parts(minibatches_.largest()).count() - 1) * network_.size) {
        while (workers_.size() < workers_.capacity()) {
            workers_.add(new ValueGradient<T>(network_, rule, batch, minibatches_.largest()));
        }
    }

    // False if the host asked to stop; `state` is then unchanged.
    bool run(const OptimizerArrays<T>& state, double* stats) {
        double losses = 0, norms = 0;
        Index n_steps = 0;
        for (Index epoch = 0; epoch < rule_.n_epochs; ++epoch) {
            const std::uint64_t step = (rule_.update_index << 16) | static_cast<std::uint64_t>(epoch);
            permutation({rule_.seed, kStreamShuffle, step}, n_rows_, order_.data());
            for (Index j = 0; j < minibatches_.count(); ++j) {
                if (host_.poll()) return false;
                losses += compute({order_.data() + j * minibatches_.batch_size, minibatches_.size(j)});
                const double norm = __builtin_sqrt(optimizer_.squared_norm());
                norms += norm;
                ++n_steps;
                const double scale = clip_coefficient(norm, rule_.max_grad_norm);
                optimizer_.step(AdamStep<T>(rule_.adam, rule_.adam_step + n_steps, scale));
            }
        }
        optimizer_.write(state);
        stats[kValueUpdateLoss] = losses / static_cast<double>(n_steps);
        stats[kValueUpdateGradientNorm] = norms / static_cast<double>(n_steps);
        stats[kValueUpdateSteps] = static_cast<double>(n_steps);
        return true;
    }

private:
    // From two tiles on threads gain: they meet after some ten microseconds, and spin until then.
    using Parts = Chunks<kTileRows>;
    static constexpr double kWindow = 2e-3;   // seconds: a whole update may take no longer than a few of them
    static constexpr Index kOftenMet = 1024;  // minibatches of fewer rows; threads that share a processor lose there

    // The loss of a minibatch, its gradient into network_.gradient.
    double compute(const Minibatch& rows) {
        const Parts parts(rows.n_rows);
        share_out(host_, parts.count(), [&](int thread, Index c) {
            squares_[c] = workers_[thread].compute(rows, parts.first_row(c), parts.first_row(c + 1), gradient_of(c));
        });
        T* const sum = network_.gradient.data();
        double squares = squares_[0];
        for (Index c = 1; c < parts.count(); ++c) {
            const T* const gradient = gradient_of(c);
            for (Index i = 0; i < network_.size; ++i) sum[i] += gradient[i];
            squares += squares_[c];
        }
        fall_back(rows.n_rows);
        return squares / static_cast<double>(rows.n_rows);
    }

    // Where the gradient of a chunk goes; that of the first one becomes the sum.
    T* gradient_of(Index chunk) {
        return chunk == 0 ? network_.gradient.data() : gradients_.data() + (chunk - 1) * network_.size;
    }

    // To one thread, where others want the processors.
    void fall_back(Index n_rows) {
        if (host_.n_threads < 2 || n_rows >= kOftenMet) return;
        const bool is_contended = load_.is_contended();
        if (!is_contended && !host_.is_crowded()) return;
        host_.n_threads = 1;
        if (is_contended) host_.report_contention();
    }

    const ValueRule& rule_;
    Index n_rows_;
    Host host_;
    LoadMeter load_{kWindow};
    MinibatchPlan minibatches_;
    Network<T> network_;
    NetworkOptimizer<T> optimizer_;
    Buffer<std::int64_t> order_;
    Owners<ValueGradient<T>> workers_;  // one for each thread
    Buffer<T> gradients_;               // of each chunk but the first
    double squares_[Parts::kMaxChunks] = {};
};

// Updates `state` in place; leaves it unchanged and returns false if the host asked to stop. batch.n_rows >= 1.
template <class T>
bool value_update(const MlpShape& shape, const ValueRule& rule, const ValueBatch<T>& batch,
                  const OptimizerArrays<T>& state, double* stats, const Host& host) {
    ValueUpdate<T> update(shape, rule, batch, state, host);
    return update.run(state, stats);
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
