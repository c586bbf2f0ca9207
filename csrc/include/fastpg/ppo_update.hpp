// One whole PPO update: all epochs and minibatches (Schulman et al. 2017, arXiv:1707.06347, algorithm 1).
//
// Policy and value network touch only at three numbers per minibatch: both squared gradient norms, for the clip, and
// the KL estimate that may stop the update. So each network has a thread (or both share one), and the threads exchange
// these numbers at one barrier per minibatch. Both then take the same decisions; the bits do not depend on the number
// of threads. Large minibatches are taken in chunks instead, by any number of threads; see ppo_chunks.hpp.
#pragma once

#include "fastpg/barrier.hpp"
#include "fastpg/load_meter.hpp"
#include "fastpg/ppo_chunks.hpp"

namespace fastpg {
namespace FASTPG_ISA {

constexpr std::uint32_t kStreamShuffle = 2;  // STREAM_SHUFFLE of fastpg/kernels/philox.py
constexpr double kKlStopFactor = 1.5;

// Adam on one network in packed form.
template <class T>
class NetworkOptimizer {
public:
    NetworkOptimizer(Network<T>& network, const OptimizerArrays<T>& state)
        : network_(network), first_moment_(network.size), second_moment_(network.size) {
        network.set_params(state.params);
        network.pack(state.first_moment, first_moment_.data());
        network.pack(state.second_moment, second_moment_.data());
    }

    double squared_norm() const {
        return sum_of_squares(network_.gradient.data(), network_.size);
    }

    void step(const AdamStep<T>& step) {
        adam_apply(step, network_.gradient.data(), network_.size, network_.params.data(), first_moment_.data(),
                   second_moment_.data());
        network_.tile.prepare_backward(network_.params.data());
    }

    void write(const OptimizerArrays<T>& state) const {
        network_.unpack(network_.params.data(), state.params);
        network_.unpack(first_moment_.data(), state.first_moment);
        network_.unpack(second_moment_.data(), state.second_moment);
    }

private:
    Network<T>& network_;
    Buffer<T> first_moment_;
    Buffer<T> second_moment_;
};

template <class T>
OptimizerArrays<T> advance(const OptimizerArrays<T>& state, Index n) {
    return {state.params + n, state.first_moment + n, state.second_moment + n};
}

// Minibatches of one epoch: the last one may be shorter; a last one of a single row joins the one before.
struct MinibatchPlan {
    Index n_rows;
    Index batch_size;

    Index count() const {
        const Index whole = n_rows / batch_size;
        const Index rest = n_rows - whole * batch_size;
        return whole + (rest > 1 || (rest == 1 && whole == 0) ? 1 : 0);
    }
    Index size(Index j) const {
        return (j + 1 < count() ? (j + 1) * batch_size : n_rows) - j * batch_size;
    }
    Index largest() const {
        const Index last = size(count() - 1);
        return count() > 1 ? larger(last, batch_size) : last;
    }
};

// Sums over the minibatches of an update, in the order of the statistics.
class PpoRecord {
public:
    void begin_epoch() {
        ++n_epochs_;
        kl_of_epoch_ = 0;
        n_in_epoch_ = 0;
    }

    void add_loss(const double* loss) {
        for (int i = 0; i < kNumLossStats; ++i) sums_[i] += loss[i];
        kl_of_epoch_ += loss[kApproxKl];
        last_loss_ = loss[kLoss];
        ++n_in_epoch_;
        ++n_losses_;
    }

    void add_step(double norm) {
        norms_ += norm;
        ++n_steps_;
    }

    void stop() {
        is_stopped_ = true;
    }

    void write(double* stats) const {
        stats[kPpoPolicyGradientLoss] = sums_[kPolicyGradientLoss] / n_losses_;
        stats[kPpoValueLoss] = sums_[kValueLoss] / n_losses_;
        stats[kPpoEntropyLoss] = sums_[kEntropyLoss] / n_losses_;
        stats[kPpoClipFraction] = sums_[kClipFraction] / n_losses_;
        stats[kPpoApproxKl] = kl_of_epoch_ / n_in_epoch_;
        stats[kPpoLoss] = last_loss_;
        stats[kPpoGradientNorm] = n_steps_ > 0 ? norms_ / n_steps_ : 0;
        stats[kPpoEpochsRun] = n_epochs_;
        stats[kPpoOptimizerSteps] = n_steps_;
        stats[kPpoStoppedByKl] = is_stopped_ ? 1 : 0;
    }

private:
    double sums_[kNumLossStats] = {};
    double kl_of_epoch_ = 0, last_loss_ = 0, norms_ = 0;
    double n_epochs_ = 0, n_in_epoch_ = 0, n_losses_ = 0, n_steps_ = 0;
    bool is_stopped_ = false;
};

template <class T>
class PpoUpdate {
public:
    PpoUpdate(const ActorCriticShape& shape, const PpoRule& rule, const PpoBatch<T>& batch, const T* old_params,
              const OptimizerArrays<T>& state, const Host& host)
        : rule_(rule),
          batch_(batch),
          state_(state),
          host_(host),
          memory_(workspace(shape, batch.n_rows)),
          minibatches_{batch.n_rows, smaller(rule.batch_size, batch.n_rows)},
          policy_(shape, minibatches_.largest()),
          value_(shape, minibatches_.largest()),
          policy_optimizer_(policy_.network(), state),
          value_optimizer_(value_.network(), advance(state, policy_.network().dense_size())),
          chunked_(1),
          barrier_(2) {
        if (const Index largest = minibatches_.largest(); largest >= ChunkedLoss<T>::kMinRows) {
            chunked_.add(new ChunkedLoss<T>(shape.head, policy_, value_, largest, host.n_threads));
        }
        for (Buffer<std::int64_t>& order : orders_) order.reset(batch.n_rows + kTileRows);
        if (rule.loss.kl_coef != 0) remember_old_policy(shape, old_params);
    }

    // False if the host asked to stop; `state` is then unchanged.
    bool run(double* stats) {
        const auto thread = [](void* self, int index) { static_cast<PpoUpdate*>(self)->train(index); };
        if (host_.n_threads > 1 && !is_chunked()) {
            host_.run(2, thread, this);
        } else {
            train(kBoth);
        }
        if (is_interrupted_) return false;
        policy_optimizer_.write(state_);
        value_optimizer_.write(advance(state_, policy_.network().dense_size()));
        record_.write(stats);
        return true;
    }

private:
    enum Role { kPolicy, kValue, kBoth };

    // What the threads tell each other about one minibatch. Two of them take turns: a thread can be at most one ahead.
    struct Exchange {
        PolicySums policy_sums;
        double squared_error;
        double policy_squared_norm;
        double value_squared_norm;
        bool is_policy_contended;
        bool is_value_contended;
        bool is_crowded;
        bool stop;
    };

    bool is_chunked() const {
        return chunked_.size() > 0;
    }

    // Bytes, roughly: parameters, both moments, gradient and transposed weights of the networks, order of the samples.
    static std::size_t workspace(const ActorCriticShape& shape, Index n_rows) {
        constexpr Index kCopies = 5;
        const Index n_params = MlpPlan(shape.policy).packed_size() + MlpPlan(shape.value).packed_size();
        return static_cast<std::size_t>(kCopies * n_params) * sizeof(T) +
               static_cast<std::size_t>(2 * n_rows) * sizeof(std::int64_t);
    }

    void remember_old_policy(const ActorCriticShape& shape, const T* old_params) {
        const Index n_network = policy_.network().plan.dense_size();
        old_head_inputs_.reset(batch_.n_rows * shape.head.n_inputs);
        old_log_std_.reset(n_log_std(shape.head));
        policy_outputs(shape.policy, old_params, batch_.observations, batch_.n_rows, old_head_inputs_.data());
        copy(old_params + n_network, n_log_std(shape.head), old_log_std_.data());
        batch_.old_head_inputs = old_head_inputs_.data();
        batch_.old_log_std = old_log_std_.data();
    }

    // All minibatches, on one thread, for the networks of this role.
    void train(int role) {
        LoadMeter load;
        Index taken = rule_.adam_step;
        std::uint64_t turn = 0;
        for (Index epoch = 0; epoch < rule_.n_epochs; ++epoch) {
            const std::int64_t* order = shuffle(role, epoch);
            if (role != kValue) record_.begin_epoch();
            for (Index j = 0; j < minibatches_.count(); ++j) {
                const Minibatch rows{order + j * minibatches_.batch_size, minibatches_.size(j), true};
                Exchange& exchange = exchanges_[turn++ % 2];
                compute(role, rows, exchange);
                if (role == kPolicy) {
                    exchange.is_policy_contended = load.is_contended();
                    exchange.is_crowded = host_.is_crowded();
                }
                if (role == kValue) exchange.is_value_contended = load.is_contended();
                if (role != kBoth) barrier_.wait();
                if (exchange.stop || !step(role, rows, exchange, ++taken)) return;
                const bool is_contended = exchange.is_policy_contended || exchange.is_value_contended;
                if (role == kBoth || !(is_contended || exchange.is_crowded)) continue;
                barrier_.wait();  // both have taken the step
                if (role == kValue) return;
                role = kBoth;
                if (is_contended) host_.report_contention();
            }
        }
    }

    // Each thread makes its own copy: cheaper than to wait for the other.
    const std::int64_t* shuffle(int role, Index epoch) {
        std::int64_t* order = orders_[role == kValue ? 1 : 0].data();
        const std::uint64_t step = (rule_.update_index << 16) | static_cast<std::uint64_t>(rule_.first_epoch + epoch);
        permutation({rule_.seed, kStreamShuffle, step}, batch_.n_rows, order);
        return order;
    }

    void compute(int role, const Minibatch& rows, Exchange& exchange) {
        if (role != kValue) {
            exchange.stop = is_interrupted_ = host_.poll();
            if (is_chunked()) {
                const auto sums = chunked_[0].compute(batch_, rows, rule_.loss, host_);
                exchange.policy_sums = sums.policy;
                exchange.squared_error = sums.squared_error;
            } else {
                exchange.policy_sums = policy_.compute(batch_, rows, rule_.loss);
            }
            exchange.policy_squared_norm = policy_optimizer_.squared_norm();
        }
        if (role != kPolicy) {
            if (!is_chunked()) exchange.squared_error = value_.compute(batch_, rows, rule_.loss);
            exchange.value_squared_norm = value_optimizer_.squared_norm();
        }
    }

    // Optimiser step number `number`; false if the KL estimate ends the update before it.
    bool step(int role, const Minibatch& rows, const Exchange& exchange, Index number) {
        double loss[kNumLossStats];
        loss_stats(exchange.policy_sums, exchange.squared_error, rule_.loss, rows.n_rows, loss);
        const bool is_kl_exceeded = loss[kApproxKl] > kKlStopFactor * rule_.target_kl;
        const double norm = __builtin_sqrt(exchange.policy_squared_norm + exchange.value_squared_norm);
        if (role != kValue) {
            record_.add_loss(loss);
            is_kl_exceeded ? record_.stop() : record_.add_step(norm);
        }
        if (is_kl_exceeded) return false;
        const AdamStep<T> adam(rule_.adam, number, clip_coefficient(norm, rule_.max_grad_norm));
        if (role != kValue) policy_optimizer_.step(adam);
        if (role != kPolicy) value_optimizer_.step(adam);
        return true;
    }

    const PpoRule& rule_;
    PpoBatch<T> batch_;
    const OptimizerArrays<T> state_;
    const Host& host_;
    MemoryHint memory_;
    MinibatchPlan minibatches_;
    PolicyLoss<T> policy_;
    ValueLoss<T> value_;
    NetworkOptimizer<T> policy_optimizer_;
    NetworkOptimizer<T> value_optimizer_;
    Owners<ChunkedLoss<T>> chunked_;  // none for small minibatches
    Buffer<std::int64_t> orders_[2];
    Buffer<T> old_head_inputs_;  // both with a KL penalty only
    Buffer<T> old_log_std_;
    Exchange exchanges_[2] = {};
    PpoRecord record_;
    Barrier barrier_;
    bool is_interrupted_ = false;
};

// Updates `state` in place; leaves it unchanged and returns false if the host asked to stop. batch.n_rows >= 1.
// `old_params` (P,) is what a KL penalty is relative to; may be null without one.
template <class T>
bool ppo_update(const ActorCriticShape& shape, const PpoRule& rule, const PpoBatch<T>& batch, const T* old_params,
                const OptimizerArrays<T>& state, double* stats, const Host& host) {
    check_actions(shape.head, batch.actions.discrete, batch.n_rows);
    PpoUpdate<T> update(shape, rule, batch, old_params, state, host);
    return update.run(stats);
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
