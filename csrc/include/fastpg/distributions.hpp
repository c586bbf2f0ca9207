// Action distributions, lanes over the batch: log-probability, entropy, KL divergence, their derivatives, sampling,
// mode.
//
// A head turns K numbers per row (logits or means) into D independent action dimensions. Columns [k][row] lie `stride`
// apart; every function works on the lanes of rows i ... i + kLanes - 1. The three kinds have the same functions:
//   evaluate       log-probability of the actions and entropy, summed over dimensions; keeps in `z` and `g` what
//                  `differentiate` needs
//   differentiate  g <- derivative by the head inputs of  weight * log_prob + entropy_weight * entropy
//   kl_old_new     sum over dimensions of E_old[log p_old - log p_new]
//   add_kl_gradient  g += weight * derivative of KL(old || new), or of KL(new || old), by the new head inputs; returns
//                  that KL. After `evaluate` of both, and `differentiate` of the new one.
//   sample, mode   actions
// Categorical: p = softmax(z) per dimension. Bernoulli: P(1) = sigmoid(z). Gaussian: mean z, deviation exp(log_std).
#pragma once

#include "fastpg/elementary.hpp"

namespace fastpg {
namespace FASTPG_ISA {

template <class T>
struct HeadColumns {
    HeadShape shape;
    Index stride;
    T* z;                 // [K][row] head inputs
    T* g;                 // [K][row] scratch, then gradient
    T* actions;           // [D][row] actions as numbers of type T
    T* scratch;           // [D][row]
    const float* random;  // [D][row] uniform or normal numbers
    const T* log_std;     // (D,)

    FASTPG_INLINE T* at(T* columns, Index k, Index i) const {
        return columns + k * stride + i;
    }
};

constexpr double kHalfLog2Pi = 0.91893853320467274178;

template <class T>
FASTPG_INLINE Vec<T> load_random(const float* from) {
    Vec<T> v{};
    for (int i = 0; i < kLanes<T>; ++i) v[i] = static_cast<T>(from[i]);
    return v;
}

template <>
FASTPG_INLINE Vec<float> load_random<float>(const float* from) {
    return load(from);
}

struct Categorical {
    template <class T>
    static FASTPG_INLINE Vec<T> largest(const HeadColumns<T>& c, Index first, Index size, Index i) {
        Vec<T> top = load(c.at(c.z, first, i));
        for (Index k = 1; k < size; ++k) top = at_least<T>(top, load(c.at(c.z, first + k, i)));
        return top;
    }

    // g <- exp(z - max z) for one dimension; returns the sum.
    template <class T>
    static FASTPG_INLINE Vec<T> exponentials(const HeadColumns<T>& c, Index first, Index size, Index i,
                                             const Vec<T>& top) {
        Vec<T> sum{};
        for (Index k = first; k < first + size; ++k) {
            const Vec<T> e = vec_exp<T>(load(c.at(c.z, k, i)) - top);
            store(c.at(c.g, k, i), e);
            sum += e;
        }
        return sum;
    }

    // z <- log p, g <- p, scratch <- entropy of each dimension.
    template <class T>
    static FASTPG_INLINE void evaluate(const HeadColumns<T>& c, Index i, Vec<T>& log_prob, Vec<T>& entropy) {
        Index first = 0;
        for (Index d = 0; d < c.shape.n_actions; ++d) {
            const Index size = c.shape.sizes[d];
            const Vec<T> top = largest(c, first, size, i);
            const Vec<T> sum = exponentials<T>(c, first, size, i, top);
            const Vec<T> log_sum = vec_log<T>(sum);
            const Vec<T> action = load(c.at(c.actions, d, i));
            Vec<T> dimension_entropy{};
            for (Index k = 0; k < size; ++k) {
                const Vec<T> log_p = (load(c.at(c.z, first + k, i)) - top) - log_sum;
                const Vec<T> p = load(c.at(c.g, first + k, i)) / sum;
                store(c.at(c.z, first + k, i), log_p);
                store(c.at(c.g, first + k, i), p);
                log_prob += select<T>(action == static_cast<T>(k), log_p, Vec<T>{});
                dimension_entropy = multiply_add<T>(-p, log_p, dimension_entropy);
            }
            store(c.at(c.scratch, d, i), dimension_entropy);
            entropy += dimension_entropy;
            first += size;
        }
    }

    template <class T>
    static FASTPG_INLINE void differentiate(const HeadColumns<T>& c, Index i, const Vec<T>& weight,
                                            const Vec<T>& entropy_weight) {
        Index first = 0;
        for (Index d = 0; d < c.shape.n_actions; ++d) {
            const Vec<T> action = load(c.at(c.actions, d, i));
            const Vec<T> dimension_entropy = load(c.at(c.scratch, d, i));
            for (Index k = 0; k < c.shape.sizes[d]; ++k) {
                const Vec<T> log_p = load(c.at(c.z, first + k, i));
                const Vec<T> p = load(c.at(c.g, first + k, i));
                const Vec<T> chosen = select<T>(action == static_cast<T>(k), splat<T>(1), Vec<T>{});
                store(c.at(c.g, first + k, i),
                      multiply_add<T>(-entropy_weight, p * (log_p + dimension_entropy), weight * (chosen - p)));
            }
            first += c.shape.sizes[d];
        }
    }

    template <class T>
    static FASTPG_INLINE Vec<T> kl_old_new(const HeadColumns<T>& old_head, const HeadColumns<T>& new_head, Index i) {
        Vec<T> ignored{}, kl{};
        evaluate<T>(old_head, i, ignored, ignored);
        evaluate<T>(new_head, i, ignored, ignored);
        for (Index k = 0; k < old_head.shape.n_inputs; ++k) {
            const Vec<T> log_ratio = load(old_head.at(old_head.z, k, i)) - load(new_head.at(new_head.z, k, i));
            kl = multiply_add<T>(load(old_head.at(old_head.g, k, i)), log_ratio, kl);
        }
        return kl;
    }

    // By the logits: p_new - p_old, or p_new (log p_new - log p_old - KL of the dimension).
    template <class T>
    static FASTPG_INLINE Vec<T> add_kl_gradient(const HeadColumns<T>& old_head, const HeadColumns<T>& new_head, Index i,
                                                const Vec<T>& weight, bool is_new_old) {
        Vec<T> kl{};
        Index first = 0;
        for (Index d = 0; d < new_head.shape.n_actions; ++d) {
            const Index end = first + new_head.shape.sizes[d];
            Vec<T> kl_of_dimension{};
            for (Index k = first; k < end; ++k) {
                const Vec<T> old_log_p = load(old_head.at(old_head.z, k, i));
                const Vec<T> new_log_p = load(new_head.at(new_head.z, k, i));
                const Vec<T> log_ratio = is_new_old ? new_log_p - old_log_p : old_log_p - new_log_p;
                kl_of_dimension =
                    multiply_add<T>(vec_exp<T>(is_new_old ? new_log_p : old_log_p), log_ratio, kl_of_dimension);
            }
            for (Index k = first; k < end; ++k) {
                const Vec<T> old_log_p = load(old_head.at(old_head.z, k, i));
                const Vec<T> new_log_p = load(new_head.at(new_head.z, k, i));
                const Vec<T> p = vec_exp<T>(new_log_p);
                const Vec<T> slope =
                    is_new_old ? p * (new_log_p - old_log_p - kl_of_dimension) : p - vec_exp<T>(old_log_p);
                T* to = new_head.at(new_head.g, k, i);
                store(to, multiply_add<T>(weight, slope, load(to)));
            }
            kl += kl_of_dimension;
            first = end;
        }
        return kl;
    }

    // Smallest k with u * sum < cumulative sum, the last k as a guard.
    template <class T>
    static FASTPG_INLINE void sample(const HeadColumns<T>& c, Index i) {
        Index first = 0;
        for (Index d = 0; d < c.shape.n_actions; ++d) {
            const Index size = c.shape.sizes[d];
            const Vec<T> sum = exponentials<T>(c, first, size, i, largest(c, first, size, i));
            const Vec<T> threshold = load_random<T>(c.random + d * c.stride + i) * sum;
            Vec<T> cumulative{}, choice{};
            for (Index k = 0; k + 1 < size; ++k) {
                cumulative += load(c.at(c.g, first + k, i));
                choice += select<T>(threshold < cumulative, Vec<T>{}, splat<T>(1));
            }
            store(c.at(c.actions, d, i), choice);
            first += size;
        }
    }

    template <class T>
    static FASTPG_INLINE void mode(const HeadColumns<T>& c, Index i) {
        Index first = 0;
        for (Index d = 0; d < c.shape.n_actions; ++d) {
            Vec<T> top = load(c.at(c.z, first, i)), choice{};
            for (Index k = 1; k < c.shape.sizes[d]; ++k) {
                const Vec<T> z = load(c.at(c.z, first + k, i));
                choice = select<T>(z > top, splat(static_cast<T>(k)), choice);
                top = select<T>(z > top, z, top);
            }
            store(c.at(c.actions, d, i), choice);
            first += c.shape.sizes[d];
        }
    }
};

struct Bernoulli {
    // p = sigmoid(z); returns softplus(z) = log(1 + exp z).
    template <class T>
    static FASTPG_INLINE Vec<T> softplus(const Vec<T>& z, Vec<T>& p) {
        const Vec<T> e = vec_exp<T>(-absolute<T>(z));
        p = select<T>(z < 0, e, splat<T>(1)) / (1 + e);
        return at_least<T>(z, Vec<T>{}) + vec_log<T>(1 + e);
    }

    // g <- p.
    template <class T>
    static FASTPG_INLINE void evaluate(const HeadColumns<T>& c, Index i, Vec<T>& log_prob, Vec<T>& entropy) {
        for (Index d = 0; d < c.shape.n_actions; ++d) {
            const Vec<T> z = load(c.at(c.z, d, i));
            Vec<T> p;
            const Vec<T> log_sum = softplus<T>(z, p);
            store(c.at(c.g, d, i), p);
            log_prob += multiply_add<T>(load(c.at(c.actions, d, i)), z, -log_sum);
            entropy += multiply_add<T>(-p, z, log_sum);
        }
    }

    template <class T>
    static FASTPG_INLINE void differentiate(const HeadColumns<T>& c, Index i, const Vec<T>& weight,
                                            const Vec<T>& entropy_weight) {
        for (Index d = 0; d < c.shape.n_actions; ++d) {
            const Vec<T> z = load(c.at(c.z, d, i));
            const Vec<T> p = load(c.at(c.g, d, i));
            const Vec<T> by_log_prob = weight * (load(c.at(c.actions, d, i)) - p);
            store(c.at(c.g, d, i), multiply_add<T>(-entropy_weight, z * (p * (1 - p)), by_log_prob));
        }
    }

    template <class T>
    static FASTPG_INLINE Vec<T> kl_old_new(const HeadColumns<T>& old_head, const HeadColumns<T>& new_head, Index i) {
        Vec<T> kl{};
        for (Index d = 0; d < old_head.shape.n_actions; ++d) {
            const Vec<T> old_z = load(old_head.at(old_head.z, d, i));
            const Vec<T> new_z = load(new_head.at(new_head.z, d, i));
            Vec<T> old_p, new_p;
            const Vec<T> old_log_sum = softplus<T>(old_z, old_p);
            const Vec<T> new_log_sum = softplus<T>(new_z, new_p);
            kl += multiply_add<T>(old_p, old_z - new_z, new_log_sum - old_log_sum);
        }
        return kl;
    }

    // By the logits: p_new - p_old, or p_new (1 - p_new) (z_new - z_old).
    template <class T>
    static FASTPG_INLINE Vec<T> add_kl_gradient(const HeadColumns<T>& old_head, const HeadColumns<T>& new_head, Index i,
                                                const Vec<T>& weight, bool is_new_old) {
        Vec<T> kl{};
        for (Index d = 0; d < new_head.shape.n_actions; ++d) {
            const Vec<T> old_z = load(old_head.at(old_head.z, d, i));
            const Vec<T> new_z = load(new_head.at(new_head.z, d, i));
            Vec<T> old_p, new_p;
            const Vec<T> old_log_sum = softplus<T>(old_z, old_p);
            const Vec<T> new_log_sum = softplus<T>(new_z, new_p);
            const Vec<T> change = new_z - old_z, change_of_sum = new_log_sum - old_log_sum;
            kl += is_new_old ? multiply_add<T>(new_p, change, -change_of_sum)
                             : multiply_add<T>(-old_p, change, change_of_sum);
            const Vec<T> slope = is_new_old ? new_p * (1 - new_p) * change : new_p - old_p;
            T* to = new_head.at(new_head.g, d, i);
            store(to, multiply_add<T>(weight, slope, load(to)));
        }
        return kl;
    }

    template <class T>
    static FASTPG_INLINE void sample(const HeadColumns<T>& c, Index i) {
        for (Index d = 0; d < c.shape.n_actions; ++d) {
            Vec<T> p;
            softplus<T>(load(c.at(c.z, d, i)), p);
            const Vec<T> u = load_random<T>(c.random + d * c.stride + i);
            store(c.at(c.actions, d, i), select<T>(u < p, splat<T>(1), Vec<T>{}));
        }
    }

    template <class T>
    static FASTPG_INLINE void mode(const HeadColumns<T>& c, Index i) {
        for (Index d = 0; d < c.shape.n_actions; ++d) {
            store(c.at(c.actions, d, i), select<T>(load(c.at(c.z, d, i)) > 0, splat<T>(1), Vec<T>{}));
        }
    }
};

struct Gaussian {
    template <class T>
    static FASTPG_INLINE Vec<T> deviation(const HeadColumns<T>& c, Index d) {
        return vec_exp<T>(splat(c.log_std[d]));
    }

    // g <- (action - mean) / deviation.
    template <class T>
    static FASTPG_INLINE void evaluate(const HeadColumns<T>& c, Index i, Vec<T>& log_prob, Vec<T>& entropy) {
        constexpr T kEntropy = static_cast<T>(0.5 + kHalfLog2Pi);
        constexpr T kHalfLog = static_cast<T>(kHalfLog2Pi);
        for (Index d = 0; d < c.shape.n_actions; ++d) {
            const Vec<T> distance = load(c.at(c.actions, d, i)) - load(c.at(c.z, d, i));
            const Vec<T> standardized = distance / deviation(c, d);
            store(c.at(c.g, d, i), standardized);
            const T offset = c.log_std[d] + kHalfLog;
            log_prob -= multiply_add<T>(T{0.5} * standardized, standardized, splat(offset));
            entropy += c.log_std[d] + kEntropy;
        }
    }

    // scratch <- derivative by log_std, one term per row.
    template <class T>
    static FASTPG_INLINE void differentiate(const HeadColumns<T>& c, Index i, const Vec<T>& weight,
                                            const Vec<T>& entropy_weight) {
        for (Index d = 0; d < c.shape.n_actions; ++d) {
            const Vec<T> standardized = load(c.at(c.g, d, i));
            const Vec<T> excess = multiply_add<T>(standardized, standardized, splat<T>(-1));
            store(c.at(c.scratch, d, i), multiply_add<T>(weight, excess, entropy_weight));
            store(c.at(c.g, d, i), weight * standardized / deviation(c, d));
        }
    }

    // log(s_new / s_old) + (s_old^2 + (m_old - m_new)^2) / (2 s_new^2) - 1/2
    template <class T>
    static FASTPG_INLINE Vec<T> kl_old_new(const HeadColumns<T>& old_head, const HeadColumns<T>& new_head, Index i) {
        Vec<T> kl{};
        for (Index d = 0; d < old_head.shape.n_actions; ++d) {
            const Vec<T> shift = load(old_head.at(old_head.z, d, i)) - load(new_head.at(new_head.z, d, i));
            const Vec<T> scaled_shift = shift / deviation(new_head, d);
            const Vec<T> log_ratio = splat(old_head.log_std[d]) - new_head.log_std[d];
            const Vec<T> variance_ratio = vec_exp<T>(2 * log_ratio);
            kl += multiply_add<T>(multiply_add<T>(scaled_shift, scaled_shift, variance_ratio) - 1, T{0.5}, -log_ratio);
        }
        return kl;
    }

    // By the mean (m_new - m_old) / s^2 with s of the second distribution; by log_std 1 - (s_old^2 + (m_old - m_new)^2)
    // / s_new^2, or s_new^2 / s_old^2 - 1.
    template <class T>
    static FASTPG_INLINE Vec<T> add_kl_gradient(const HeadColumns<T>& old_head, const HeadColumns<T>& new_head, Index i,
                                                const Vec<T>& weight, bool is_new_old) {
        Vec<T> kl{};
        for (Index d = 0; d < new_head.shape.n_actions; ++d) {
            const Vec<T> deviation_of_second = deviation(is_new_old ? old_head : new_head, d);
            const Vec<T> shift = load(new_head.at(new_head.z, d, i)) - load(old_head.at(old_head.z, d, i));
            const Vec<T> scaled_shift = shift / deviation_of_second;
            const Vec<T> change = splat(new_head.log_std[d]) - old_head.log_std[d];
            const Vec<T> log_ratio = is_new_old ? change : -change;
            const Vec<T> variance_ratio = vec_exp<T>(2 * log_ratio);
            kl += multiply_add<T>(multiply_add<T>(scaled_shift, scaled_shift, variance_ratio) - 1, T{0.5}, -log_ratio);
            const Vec<T> by_log_std =
                is_new_old ? variance_ratio - 1 : 1 - multiply_add<T>(scaled_shift, scaled_shift, variance_ratio);
            T* by_mean = new_head.at(new_head.g, d, i);
            T* terms = new_head.at(new_head.scratch, d, i);
            store(by_mean, load(by_mean) + weight * scaled_shift / deviation_of_second);
            store(terms, multiply_add<T>(weight, by_log_std, load(terms)));
        }
        return kl;
    }

    template <class T>
    static FASTPG_INLINE void sample(const HeadColumns<T>& c, Index i) {
        for (Index d = 0; d < c.shape.n_actions; ++d) {
            const Vec<T> noise = load_random<T>(c.random + d * c.stride + i);
            store(c.at(c.actions, d, i), multiply_add<T>(deviation(c, d), noise, load(c.at(c.z, d, i))));
        }
    }

    template <class T>
    static FASTPG_INLINE void mode(const HeadColumns<T>& c, Index i) {
        for (Index d = 0; d < c.shape.n_actions; ++d) store(c.at(c.actions, d, i), load(c.at(c.z, d, i)));
    }
};

// Calls f with an object of the kind's class: one branch per tile, none per row.
template <class Function>
FASTPG_INLINE void by_kind(HeadKind kind, Function f) {
    if (kind == HeadKind::kCategorical) {
        f(Categorical{});
    } else if (kind == HeadKind::kBernoulli) {
        f(Bernoulli{});
    } else {
        f(Gaussian{});
    }
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
