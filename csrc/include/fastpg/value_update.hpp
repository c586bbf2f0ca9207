// A whole update of the critic: epochs of shuffled minibatches of Adam on the value network alone. The loss is
//   mean((R - V)^2),  with value clipping (OpenAI baselines)  mean(max((R - V)^2, (R - old - clip(V - old, -c, c))^2)).
#pragma once

#include "fastpg/ppo_update.hpp"

namespace fastpg {
namespace FASTPG_ISA {

template <class T>
class ValueUpdate {
public:
    ValueUpdate(const MlpShape& shape, const ValueRule& rule, const ValueBatch<T>& batch,
                const OptimizerArrays<T>& state)
        : rule_(rule),
          batch_(batch),
          minibatches_{batch.n_rows, smaller(rule.batch_size, batch.n_rows)},
          network_(shape, 0, minibatches_.largest()),
          optimizer_(network_, state),
          order_(batch.n_rows),
          returns_(kTileRows),
          old_values_(kTileRows),
          terms_(kTileRows) {}

    // False if the host asked to stop; `state` is then unchanged.
    bool run(const OptimizerArrays<T>& state, double* stats, const Host& host) {
        double losses = 0, norms = 0;
        Index n_steps = 0;
        for (Index epoch = 0; epoch < rule_.n_epochs; ++epoch) {
            const std::uint64_t step = (rule_.update_index << 16) | static_cast<std::uint64_t>(epoch);
            permutation({rule_.seed, kStreamShuffle, step}, batch_.n_rows, order_.data());
            for (Index j = 0; j < minibatches_.count(); ++j) {
                if (host.poll()) return false;
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
    // The loss of a minibatch, its gradient into network_.gradient.
    double compute(const Minibatch& rows) {
        double sum = 0;
        set_zero(network_.gradient.data(), network_.size);
        for_each_tile(rows.n_rows, [&](Index first, Index n) {
            network_.tile.load_inputs(batch_.observations, rows.rows_from(first), first, n);
            network_.tile.forward(network_.params.data(), n);
            gather(batch_.returns, rows, first, n, returns_.data());
            if (rule_.is_clipping) gather(batch_.old_values, rows, first, n, old_values_.data());
            square_errors(static_cast<T>(2.0 / static_cast<double>(rows.n_rows)), n);
            sum += add_terms(n);
            network_.tile.backward(network_.params.data(), n, network_.gradient.data());
        });
        return sum / static_cast<double>(rows.n_rows);
    }

    void square_errors(T scale, Index n) {
        const T limit = static_cast<T>(rule_.clip_range_vf);
        for (Index i = 0; i < n; i += kLanes<T>) {
            const Vec<T> value = load(network_.tile.outputs() + i);
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
            store(network_.tile.output_gradient() + i, by_value);
        }
    }

    double add_terms(Index n) {
        T* terms = terms_.data();
        const Index padded = round_up(n, kPanel);
        set_zero(terms + n, padded - n);
        set_zero(network_.tile.output_gradient() + n, padded - n);
        return static_cast<double>(sum_terms<T>(padded, [terms](Index i) { return load(terms + i); }));
    }

    const ValueRule& rule_;
    const ValueBatch<T>& batch_;
    MinibatchPlan minibatches_;
    Network<T> network_;
    NetworkOptimizer<T> optimizer_;
    Buffer<std::int64_t> order_;
    Buffer<T> returns_;
    Buffer<T> old_values_;
    Buffer<T> terms_;
};

// Updates `state` in place; leaves it unchanged and returns false if the host asked to stop. batch.n_rows >= 1.
template <class T>
bool value_update(const MlpShape& shape, const ValueRule& rule, const ValueBatch<T>& batch,
                  const OptimizerArrays<T>& state, double* stats, const Host& host) {
    ValueUpdate<T> update(shape, rule, batch, state);
    return update.run(state, stats, host);
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
