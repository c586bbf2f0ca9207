// The surrogates that take the place of the clipped ratio: per-sample value and derivative by log pi. With the ratio r,
// s = sign(A), eps = clip_range, c = constraint_coef, these are maximised:
//   clip      min(r A, clip(r, 1 - eps, 1 + eps) A), for A < 0 at least dual_clip A (Ye et al. 2020, eq. 5)
//   ratio     r A
//   barrier   r A - c b(1 - s (r - 1) / eps), b = -log, continued below kBarrierJoin by a parabola
//   penalty   r A - c max(s (r - 1) - eps, 0)
//   tsallis   r A - c (r^q - 1 - q (r - 1)) / (q (q - 1))
#pragma once

#include "fastpg/elementary.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// BARRIER_JOIN of fastpg/kernels/clipped_loss.py.
constexpr double kBarrierJoin = 0.1;

inline bool is_plain_clip(const ClippedLossRule& rule) {
    return rule.surrogate == SurrogateKind::kClip && rule.dual_clip > __DBL_MAX__;
}

template <class T>
class SurrogateTerms {
public:
    explicit SurrogateTerms(const ClippedLossRule& rule)
        : kind_(rule.surrogate),
          clip_range_(static_cast<T>(rule.clip_range)),
          coefficient_(static_cast<T>(rule.constraint_coef)),
          dual_clip_(static_cast<T>(rule.dual_clip)),
          q_(static_cast<T>(rule.tsallis_q)) {}

    // slope <- derivative by log pi.
    FASTPG_INLINE Vec<T> evaluate(const Vec<T>& log_ratio, const Vec<T>& ratio, const Vec<T>& advantage,
                                  Vec<T>& slope) const {
        slope = ratio * advantage;
        const Vec<T> sign = select<T>(advantage > 0, splat<T>(1), select<T>(advantage < 0, splat<T>(-1), Vec<T>{}));
        if (kind_ == SurrogateKind::kClip) return clip(ratio, advantage, slope);
        if (kind_ == SurrogateKind::kBarrier) return barrier(ratio, sign, slope);
        if (kind_ == SurrogateKind::kPenalty) return penalty(ratio, sign, slope);
        if (kind_ == SurrogateKind::kTsallis) return tsallis(log_ratio, ratio, slope);
        return slope;
    }

private:
    // On entry slope is r A, in all of these.
    FASTPG_INLINE Vec<T> clip(const Vec<T>& ratio, const Vec<T>& advantage, Vec<T>& slope) const {
        const Vec<T> lowest = splat(1 - clip_range_), highest = splat(1 + clip_range_), dual = splat(dual_clip_);
        const Vec<T> clipped = at_least<T>(at_most<T>(ratio, highest), lowest);
        const IntVec<T> is_dual = (advantage < 0) & (ratio > dual);
        const IntVec<T> is_flat =
            ((advantage > 0) & (ratio > highest)) | ((advantage < 0) & (ratio < lowest)) | is_dual;
        const Vec<T> term = at_most<T>(slope, clipped * advantage);
        slope = select<T>(is_flat, Vec<T>{}, slope);
        return select<T>(is_dual, dual * advantage, term);
    }

    FASTPG_INLINE Vec<T> barrier(const Vec<T>& ratio, const Vec<T>& sign, Vec<T>& slope) const {
        constexpr T kJoin = static_cast<T>(kBarrierJoin);
        const T at_join = static_cast<T>(-__builtin_log(kBarrierJoin));
        const Vec<T> slack = 1 - sign * (ratio - 1) / clip_range_;  // 1 at the old policy, 0 at the bound
        const IntVec<T> is_inside = slack > kJoin;
        const Vec<T> u = (slack - 2 * kJoin) / kJoin;
        const Vec<T> safe = select<T>(is_inside, slack, splat<T>(1));
        const Vec<T> value = select<T>(is_inside, -vec_log<T>(safe),
                                       multiply_add<T>(multiply_add<T>(u, u, splat<T>(-1)), T{0.5}, splat(at_join)));
        const Vec<T> by_slack = select<T>(is_inside, -1 / safe, u / kJoin);
        const Vec<T> term = slope - coefficient_ * value;
        slope += coefficient_ * by_slack * sign * ratio / clip_range_;
        return term;
    }

    FASTPG_INLINE Vec<T> penalty(const Vec<T>& ratio, const Vec<T>& sign, Vec<T>& slope) const {
        const Vec<T> violation = sign * (ratio - 1) - clip_range_;
        const Vec<T> term = slope - coefficient_ * at_least<T>(violation, Vec<T>{});
        slope -= select<T>(violation > 0, coefficient_ * sign * ratio, Vec<T>{});
        return term;
    }

    FASTPG_INLINE Vec<T> tsallis(const Vec<T>& log_ratio, const Vec<T>& ratio, Vec<T>& slope) const {
        const Vec<T> power = vec_exp<T>(q_ * log_ratio);
        const Vec<T> term = slope - coefficient_ * (((power - 1) - q_ * (ratio - 1)) / (q_ * (q_ - 1)));
        slope -= coefficient_ * ((power - ratio) / (q_ - 1));
        return term;
    }

    SurrogateKind kind_;
    T clip_range_, coefficient_, dual_clip_, q_;
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
