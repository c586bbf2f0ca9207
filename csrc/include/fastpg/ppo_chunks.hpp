// The gradient of PPO's loss on a large minibatch. Its rows are in chunks, for each network, which threads share out
// among them; the gradients of the chunks are added in order. Chunks depend on the number of rows alone, so bits do not
// depend on the threads.
#pragma once

#include "fastpg/chunks.hpp"
#include "fastpg/clipped_loss.hpp"

namespace fastpg {
namespace FASTPG_ISA {

template <class T>
class ChunkedLoss {
public:
    // Minibatches of fewer rows are better off with one thread for each network, which meet once.
    static constexpr Index kMinRows = 1024;

    struct Sums {
        PolicySums policy;
        double squared_error;
    };

    // Parameters are those of `policy` and `value`, and the gradients are theirs in the end.
    ChunkedLoss(const HeadShape& head, PolicyLoss<T>& policy, ValueLoss<T>& value, Index max_rows, int n_threads)
        : policy_(policy),
          value_(value),
          policy_gradients_((Parts(max_rows).count() - 1) * policy.network().size),
          value_gradients_((Parts(max_rows).count() - 1) * value.network().size),
          workers_(smaller<Index>(n_threads, 2 * Parts(max_rows).count())) {
        while (workers_.size() < workers_.capacity()) {
            workers_.add(new Worker(head, policy.network(), value.network(), max_rows));
        }
    }

    // Both gradients; returns the sums over the minibatch.
    Sums compute(const PpoBatch<T>& batch, const Minibatch& rows, const ClippedLossRule& rule, const Host& host) {
        const Parts parts(rows.n_rows);
        const Index n = parts.count();
        policy_.load_advantages(batch, rows, rule);
        share_out(host, 2 * n, [&](int thread, Index part) {
            Worker& worker = workers_[thread];
            const Index c = part < n ? part : part - n;
            const RowRange range{parts.first_row(c), parts.first_row(c + 1)};
            if (part < n) {
                T* gradient = gradient_of(policy_.network(), policy_gradients_, c);
                policy_sums_[c] = worker.policy.compute(batch, rows, rule, policy_.advantages(), range, gradient);
            } else {
                T* gradient = gradient_of(value_.network(), value_gradients_, c);
                squared_errors_[c] = worker.value.compute(batch, rows, rule, range, gradient);
            }
        });
        Sums sums{policy_sums_[0], squared_errors_[0]};
        for (Index c = 1; c < n; ++c) {
            add(policy_sums_[c], sums.policy);
            sums.squared_error += squared_errors_[c];
            add_gradient(policy_.network(), policy_gradients_, c);
            add_gradient(value_.network(), value_gradients_, c);
        }
        return sums;
    }

private:
    using Parts = Chunks<8 * kTileRows>;

    // What one thread needs.
    struct Worker {
        Worker(const HeadShape& head, Network<T>& policy_network, const Network<T>& value_network, Index max_rows)
            : policy_tile(policy_network.plan, max_rows),
              value_tile(value_network.plan, max_rows),
              policy(head, policy_network, policy_tile),
              value(value_network, value_tile) {
            policy_tile.share_weights(policy_network.tile);
            value_tile.share_weights(value_network.tile);
        }

        MlpTile<T> policy_tile;
        MlpTile<T> value_tile;
        PolicyRows<T> policy;
        ValueRows<T> value;
    };

    // Where the gradient of a chunk goes; that of the first one becomes the sum.
    static T* gradient_of(Network<T>& network, Buffer<T>& others, Index chunk) {
        return chunk == 0 ? network.gradient.data() : others.data() + (chunk - 1) * network.size;
    }

    static void add_gradient(Network<T>& network, Buffer<T>& others, Index chunk) {
        const T* from = gradient_of(network, others, chunk);
        T* to = network.gradient.data();
        for (Index i = 0; i < network.size; ++i) to[i] += from[i];
    }

    static void add(const PolicySums& from, PolicySums& to) {
        to.surrogate += from.surrogate;
        to.entropy += from.entropy;
        to.kl += from.kl;
        to.clipped += from.clipped;
        to.exact_kl += from.exact_kl;
    }

    PolicyLoss<T>& policy_;
    ValueLoss<T>& value_;
    Buffer<T> policy_gradients_;  // of each chunk but the first
    Buffer<T> value_gradients_;
    PolicySums policy_sums_[Parts::kMaxChunks];
    double squared_errors_[Parts::kMaxChunks] = {};
    Owners<Worker> workers_;  // one for each thread
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
