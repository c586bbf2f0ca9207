// KL divergences between an old and a new head in both directions at once, after `evaluate` of the new one.
#pragma once

#include "fastpg/distributions.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// Per row, summed over action dimensions.
template <class T>
struct Divergences {
    Vec<T> old_new;  // E_old[log p_old - log p_new]
    Vec<T> new_old;  // E_new[log p_new - log p_old]
};

// `new_head` holds log p in z and p in g; `old_head` holds logits, and log p and p afterwards.
template <class T>
FASTPG_INLINE Divergences<T> divergences(Categorical kind, const HeadColumns<T>& old_head,
                                         const HeadColumns<T>& new_head, Index i) {
    Divergences<T> kl{};
    Vec<T> ignored{};
    kind.template evaluate<T>(old_head, i, ignored, ignored);
    for (Index k = 0; k < old_head.shape.n_inputs; ++k) {
        const Vec<T> log_ratio = load(new_head.at(new_head.z, k, i)) - load(old_head.at(old_head.z, k, i));
        kl.old_new = multiply_add<T>(-load(old_head.at(old_head.g, k, i)), log_ratio, kl.old_new);
        kl.new_old = multiply_add<T>(load(new_head.at(new_head.g, k, i)), log_ratio, kl.new_old);
    }
    return kl;
}

// Both hold logits in z, `new_head` also p in g.
template <class T>
FASTPG_INLINE Divergences<T> divergences(Bernoulli kind, const HeadColumns<T>& old_head, const HeadColumns<T>& new_head,
                                         Index i) {
    Divergences<T> kl{};
    for (Index d = 0; d < old_head.shape.n_actions; ++d) {
        const Vec<T> old_z = load(old_head.at(old_head.z, d, i));
        const Vec<T> new_z = load(new_head.at(new_head.z, d, i));
        Vec<T> old_p, new_p;
        const Vec<T> change = kind.template softplus<T>(new_z, new_p) - kind.template softplus<T>(old_z, old_p);
        kl.old_new += multiply_add<T>(old_p, old_z - new_z, change);
        kl.new_old += multiply_add<T>(new_p, new_z - old_z, -change);
    }
    return kl;
}

// Both hold means in z.
template <class T>
FASTPG_INLINE Divergences<T> divergences(Gaussian, const HeadColumns<T>& old_head, const HeadColumns<T>& new_head,
                                         Index i) {
    Divergences<T> kl{};
    for (Index d = 0; d < old_head.shape.n_actions; ++d) {
        const Vec<T> shift = load(old_head.at(old_head.z, d, i)) - load(new_head.at(new_head.z, d, i));
        const Vec<T> by_old = shift / Gaussian::deviation(old_head, d);
        const Vec<T> by_new = shift / Gaussian::deviation(new_head, d);
        const Vec<T> log_ratio = splat(old_head.log_std[d]) - new_head.log_std[d];
        const Vec<T> excess_old_new = multiply_add<T>(by_new, by_new, vec_exp<T>(2 * log_ratio)) - 1;
        const Vec<T> excess_new_old = multiply_add<T>(by_old, by_old, vec_exp<T>(-2 * log_ratio)) - 1;
        kl.old_new += multiply_add<T>(excess_old_new, T{0.5}, -log_ratio);
        kl.new_old += multiply_add<T>(excess_new_old, T{0.5}, log_ratio);
    }
    return kl;
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
