// KL divergence between the old and the new policy over a batch, and its gradient by the new policy's parameters.
#pragma once

#include "fastpg/heads.hpp"
#include "fastpg/network.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// The old policy's distribution at the rows of one tile, out of the dense (B, K) outputs of its network.
template <class T>
class OldPolicyTile {
public:
    explicit OldPolicyTile(const HeadShape& shape)
        : z_(shape.n_inputs * kTileRows),
          g_(shape.n_inputs * kTileRows),
          per_action_(2 * shape.n_actions * kTileRows),
          columns_{shape,
                   kTileRows,
                   z_.data(),
                   g_.data(),
                   per_action_.data(),
                   per_action_.data() + shape.n_actions * kTileRows,
                   nullptr,
                   nullptr} {}

    // Evaluates rows index[0 .. n_rows), or first_row ... if index is null.
    const HeadColumns<T>& load(const T* head_inputs, const T* log_std, const std::int64_t* index, Index first_row,
                               Index n_rows) {
        columns_.log_std = log_std;
        const Index n_inputs = columns_.shape.n_inputs;
        for (Index row = 0; row < n_rows; ++row) {
            const Index from = (index != nullptr ? static_cast<Index>(index[row]) : first_row + row) * n_inputs;
            for (Index k = 0; k < n_inputs; ++k) z_.data()[k * kTileRows + row] = head_inputs[from + k];
        }
        by_kind(columns_.shape.kind, [&](auto kind) {
            for (Index i = 0; i < n_rows; i += kLanes<T>) {
                Vec<T> ignored{};
                kind.template evaluate<T>(columns_, i, ignored, ignored);
            }
        });
        return columns_;
    }

private:
    Buffer<T> z_;
    Buffer<T> g_;
    Buffer<T> per_action_;
    HeadColumns<T> columns_;
};

// What the policy network with the dense parameters `params` puts out for every row: out (B, K).
template <class T>
void policy_outputs(const MlpShape& shape, const T* params, const T* observations, Index n_rows, T* out) {
    Network<T> network(shape, 0, n_rows);
    network.pack(params, network.params.data());
    const Index n_out = shape.sizes[shape.n_sizes - 1];
    for_each_tile(n_rows, [&](Index first, Index n) {
        network.tile.load_inputs(observations, nullptr, first, n);
        network.tile.forward(network.params.data(), n);
        for (Index row = 0; row < n; ++row) {
            for (Index k = 0; k < n_out; ++k) {
                out[(first + row) * n_out + k] = network.tile.outputs()[k * network.tile.capacity() + row];
            }
        }
    });
}

// Gradient (P,) of sum_i weights[i] KL_i.
template <class T>
void kl_gradient(const MlpShape& shape, const HeadShape& head_shape, const KlGradientArgs<T>& a) {
    Network<T> network(shape, n_log_std(head_shape), a.n_rows);
    HeadTile<T> head(head_shape, network.tile.capacity());
    OldPolicyTile<T> old_policy(head_shape);
    Buffer<T> kl(kTileRows), weights(kTileRows);
    head.bind(network.tile.outputs(), network.tile.output_gradient(), network.extra_params());
    network.set_params(a.params);
    for_each_tile(a.n_rows, [&](Index first, Index n) {
        network.tile.load_inputs(a.observations, nullptr, first, n);
        network.tile.forward(network.params.data(), n);
        head.evaluate(n);
        head.clear_gradient();
        copy(a.weights + first, n, weights.data());
        const HeadColumns<T>& old_head = old_policy.load(a.old_head_inputs, a.old_log_std, nullptr, first, n);
        head.add_kl_gradient(old_head, weights.data(), a.is_new_old, n, kl.data());
        head.add_log_std_gradient(n, network.extra_gradient());
        network.tile.backward(network.params.data(), n, network.gradient.data());
    });
    network.unpack(network.gradient.data(), a.out);
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
