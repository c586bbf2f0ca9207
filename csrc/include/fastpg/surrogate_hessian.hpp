// The Hessian of the surrogate times a vector: the R-operator (Pearlmutter, Neural Computation 6, 1994) on
//   dL/dz = (r A d log pi/dz + ent_coef dH/dz) / B,   R r = r R log pi
#pragma once

#include "fastpg/curvature.hpp"
#include "fastpg/surrogate.hpp"
#include "fastpg/tangent.hpp"

namespace fastpg {
namespace FASTPG_ISA {

template <class T>
class SurrogateHessian {
public:
    SurrogateHessian(const PolicyShape& shape, const PolicyBatch<T>& batch, double ent_coef, const T* params,
                     const T* vector)
        : batch_(batch),
          share_(1.0 / larger(static_cast<double>(batch.n_rows), 1.0)),
          ent_coef_(ent_coef),
          tile_(shape.policy, batch.n_rows, params, vector),
          head_(shape.head, tile_.capacity()),
          log_std_(n_log_std(shape.head)),
          log_std_dot_(n_log_std(shape.head)),
          log_std_product_(n_log_std(shape.head)),
          log_std_terms_(shape.head.n_actions * tile_.capacity()),
          old_log_probs_(kTileRows),
          advantages_(kTileRows),
          weights_(kTileRows) {
        const Index n = dense_size(shape.policy);
        copy(params + n, n_log_std(shape.head), log_std_.data());
        copy(vector + n, n_log_std(shape.head), log_std_dot_.data());
        head_.bind(tile_.outputs(), tile_.by_outputs(), log_std_.data());
    }

    void add_rows(Index first, Index end) {
        for (; first < end; first += kTileRows) add_tile(first, smaller(kTileRows, end - first));
    }

    Index n_params() const {
        return n_network_ + n_log_std(head_.columns().shape);
    }

    void write(T* out) const {
        tile_.unpack_product(out);
        copy(log_std_product_.data(), n_log_std(head_.columns().shape), out + n_network_);
    }

private:
    Index dense_size(const MlpShape& shape) {
        for (Index l = 0; l + 1 < shape.n_sizes; ++l) n_network_ += (shape.sizes[l] + 1) * shape.sizes[l + 1];
        return n_network_;
    }

    void add_tile(Index first, Index n) {
        const Minibatch all{nullptr, batch_.n_rows};
        tile_.forward(batch_.observations, first, n);
        head_.load_actions(batch_.actions, nullptr, first, n);
        gather(batch_.old_log_probs, all, first, n, old_log_probs_.data());
        gather(batch_.advantages, all, first, n, advantages_.data());
        head_.evaluate(n);
        const T entropy_weight = static_cast<T>(ent_coef_ * share_);
        by_kind(head_.columns().shape.kind, [&](auto kind) {
            for (Index i = 0; i < n; i += kLanes<T>) add_curvature(kind, i, entropy_weight);
        });
        add_log_std(n);
        head_.differentiate(weights_.data(), entropy_weight, n);
        tile_.backward(n);
    }

    template <class Kind>
    FASTPG_INLINE void add_curvature(Kind kind, Index i, T entropy_weight) {
        const Direction<T> direction{tile_.outputs_dot(), log_std_dot_.data(), tile_.by_outputs_dot(),
                                     log_std_terms_.data()};
        const Vec<T> log_ratio = load(head_.log_prob() + i) - load(old_log_probs_.data() + i);
        CurvatureWeights<T> w;
        w.weight = vec_exp<T>(log_ratio) * load(advantages_.data() + i) * static_cast<T>(share_);
        w.weight_dot = w.weight * change<T>(kind, head_.columns(), direction, i);
        w.entropy_weight = splat(entropy_weight);
        curvature<T>(kind, head_.columns(), direction, i, w);
        store(weights_.data() + i, w.weight);
    }

    void add_log_std(Index n) {
        for (Index d = 0; d < n_log_std(head_.columns().shape); ++d) {
            T* terms = log_std_terms_.data() + d * tile_.capacity();
            log_std_product_.data()[d] += static_cast<T>(sum_column(terms, n));
        }
    }

    const PolicyBatch<T>& batch_;
    double share_;
    double ent_coef_;
    Index n_network_ = 0;
    TangentTile<T> tile_;
    HeadTile<T> head_;
    Buffer<T> log_std_;
    Buffer<T> log_std_dot_;
    Buffer<T> log_std_product_;
    Buffer<T> log_std_terms_;
    Buffer<T> old_log_probs_;
    Buffer<T> advantages_;
    Buffer<T> weights_;
};

template <class T>
void surrogate_hessian_vector_product(const PolicyShape& shape, const PolicyBatch<T>& batch, double ent_coef,
                                      const T* params, const T* vector, T* out, const Host& host) {
    check_actions(shape.head, batch.actions.discrete, batch.n_rows);
    ChunkWorkers<SurrogateHessian<T>> parts(batch.n_rows, shape, batch, ent_coef, params, vector);
    parts.run(host);
    const Index n = parts[0].n_params();
    Buffer<T> term(n);
    parts[0].write(out);
    for (Index c = 1; c < parts.count(); ++c) {
        parts[c].write(term.data());
        for (Index i = 0; i < n; ++i) out[i] += term.data()[i];
    }
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
