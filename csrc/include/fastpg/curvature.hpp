// Second derivatives of a head, times a direction (R-operator: Pearlmutter, Neural Computation 6, 1994), lanes over the
// batch. R x is the derivative of x along the direction; columns [k][row] of R z and of the results lie like those of
// HeadColumns. After `evaluate` and before `differentiate` of the head:
//   change      R log p, summed over dimensions
//   curvature   to[k] <- R of the derivative by z of  weight * log_prob + entropy_weight * entropy,  given R weight;
//               Gaussian: log_std_terms[d] <- the same by log_std
#pragma once

#include "fastpg/distributions.hpp"

namespace fastpg {
namespace FASTPG_ISA {

template <class T>
struct Direction {
    const T* z_dot;        // [K][row]
    const T* log_std_dot;  // (D,)
    T* to;                 // [K][row]
    T* log_std_terms;      // [D][row]
};

template <class T>
struct CurvatureWeights {
    Vec<T> weight;
    Vec<T> weight_dot;
    Vec<T> entropy_weight;
};

// z holds log p, g holds p, scratch the entropy of each dimension.
template <class T>
FASTPG_INLINE Vec<T> change(Categorical, const HeadColumns<T>& c, const Direction<T>& r, Index i) {
    Vec<T> total{};
    Index first = 0;
    for (Index d = 0; d < c.shape.n_actions; ++d) {
        const Vec<T> action = load(c.at(c.actions, d, i));
        for (Index k = 0; k < c.shape.sizes[d]; ++k) {
            const Index at = (first + k) * c.stride + i;
            const Vec<T> chosen = select<T>(action == static_cast<T>(k), splat<T>(1), Vec<T>{});
            total = multiply_add<T>(chosen - load(c.g + at), load(r.z_dot + at), total);
        }
        first += c.shape.sizes[d];
    }
    return total;
}

template <class T>
FASTPG_INLINE void curvature(Categorical, const HeadColumns<T>& c, const Direction<T>& r, Index i,
                             const CurvatureWeights<T>& w) {
    Index first = 0;
    for (Index d = 0; d < c.shape.n_actions; ++d) {
        const Index end = first + c.shape.sizes[d];
        const Vec<T> entropy = load(c.at(c.scratch, d, i));
        const Vec<T> action = load(c.at(c.actions, d, i));
        Vec<T> mean_dot{}, entropy_dot{};
        for (Index k = first; k < end; ++k) {
            const Index at = k * c.stride + i;
            const Vec<T> term = load(c.g + at) * load(r.z_dot + at);
            mean_dot += term;
            entropy_dot = multiply_add<T>(-term, load(c.z + at) + entropy, entropy_dot);
        }
        for (Index k = first; k < end; ++k) {
            const Index at = k * c.stride + i;
            const Vec<T> log_p_dot = load(r.z_dot + at) - mean_dot;
            const Vec<T> bend = multiply_add<T>(log_p_dot, load(c.z + at) + entropy, log_p_dot) + entropy_dot;
            const Vec<T> chosen = select<T>(action == static_cast<T>(k - first), w.weight_dot, Vec<T>{});
            const Vec<T> by_log_prob = multiply_add<T>(w.weight, log_p_dot, w.weight_dot);
            store(r.to + at,
                  multiply_add<T>(-load(c.g + at), multiply_add<T>(w.entropy_weight, bend, by_log_prob), chosen));
        }
        first = end;
    }
}

// z holds logits, g holds p.
template <class T>
FASTPG_INLINE Vec<T> change(Bernoulli, const HeadColumns<T>& c, const Direction<T>& r, Index i) {
    Vec<T> total{};
    for (Index d = 0; d < c.shape.n_actions; ++d) {
        const Index at = d * c.stride + i;
        total = multiply_add<T>(load(c.at(c.actions, d, i)) - load(c.g + at), load(r.z_dot + at), total);
    }
    return total;
}

template <class T>
FASTPG_INLINE void curvature(Bernoulli, const HeadColumns<T>& c, const Direction<T>& r, Index i,
                             const CurvatureWeights<T>& w) {
    for (Index d = 0; d < c.shape.n_actions; ++d) {
        const Index at = d * c.stride + i;
        const Vec<T> p = load(c.g + at);
        const Vec<T> bend = w.weight + w.entropy_weight * (1 + load(c.z + at) * (1 - 2 * p));
        store(r.to + at, w.weight_dot * (load(c.at(c.actions, d, i)) - p) - p * (1 - p) * bend * load(r.z_dot + at));
    }
}

// g holds (action - mean) / deviation.
template <class T>
FASTPG_INLINE Vec<T> change(Gaussian, const HeadColumns<T>& c, const Direction<T>& r, Index i) {
    Vec<T> total{};
    for (Index d = 0; d < c.shape.n_actions; ++d) {
        const Index at = d * c.stride + i;
        const Vec<T> scaled = load(c.g + at);
        total += scaled * load(r.z_dot + at) / Gaussian::deviation(c, d) + (scaled * scaled - 1) * r.log_std_dot[d];
    }
    return total;
}

template <class T>
FASTPG_INLINE void curvature(Gaussian, const HeadColumns<T>& c, const Direction<T>& r, Index i,
                             const CurvatureWeights<T>& w) {
    for (Index d = 0; d < c.shape.n_actions; ++d) {
        const Index at = d * c.stride + i;
        const Vec<T> deviation = Gaussian::deviation(c, d);
        const Vec<T> scaled = load(c.g + at);
        const Vec<T> shift = load(r.z_dot + at) / deviation + scaled * r.log_std_dot[d];
        store(r.to + at, (w.weight_dot * scaled - w.weight * (shift + scaled * r.log_std_dot[d])) / deviation);
        store(r.log_std_terms + at, w.weight_dot * (scaled * scaled - 1) - 2 * w.weight * scaled * shift);
    }
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
