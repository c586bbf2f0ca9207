// One network with everything that training it needs.
#pragma once

#include "fastpg/buffer.hpp"
#include "fastpg/mlp.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// One network in packed form with everything that training it needs. `n_extra` parameters (log_std) follow the network.
template <class T>
struct Network {
    Network(const MlpShape& shape, Index n_extra_params, Index max_rows)
        : plan(shape),
          tile(plan, max_rows),
          n_extra(n_extra_params),
          size(plan.packed_size() + round_up(n_extra_params, kPanel)),
          params(size),
          gradient(size) {}

    Index dense_size() const {
        return plan.dense_size() + n_extra;
    }
    T* extra_params() {
        return params.data() + plan.packed_size();
    }
    T* extra_gradient() {
        return gradient.data() + plan.packed_size();
    }

    void pack(const T* dense, T* packed) const {
        plan.pack(dense, packed);
        copy(dense + plan.dense_size(), n_extra, packed + plan.packed_size());
    }

    void unpack(const T* packed, T* dense) const {
        plan.unpack(packed, dense);
        copy(packed + plan.packed_size(), n_extra, dense + plan.dense_size());
    }

    void set_params(const T* dense) {
        pack(dense, params.data());
        tile.prepare_backward(params.data());
    }

    MlpPlan plan;
    MlpTile<T> tile;
    Index n_extra;
    Index size;  // of the packed parameters
    Buffer<T> params;
    Buffer<T> gradient;
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
