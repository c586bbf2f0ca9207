// Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1) in the form of torch.optim.Adam, and the global norm clip of
// torch.nn.utils.clip_grad_norm_: coefficient = min(1, max_norm / (norm + 1e-6)).
#pragma once

#include "fastpg/buffer.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// base^exponent by squaring, exponent >= 0: off by as little as base is by its own rounding. The pow of the system's
// library may have other last bits than that of another system.
inline double power(double base, Index exponent) {
    double result = 1.0;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1) result *= base;
        base *= base;
    }
    return result;
}

// The step's constants; bias corrections 1 - beta^step are taken in double precision.
template <class T>
struct AdamStep {
    T beta1, beta2, one_minus_beta1, one_minus_beta2, step_size, root_scale, epsilon, gradient_scale;

    AdamStep(const AdamRule& rule, Index step, double scale = 1.0)
        : beta1(static_cast<T>(rule.beta1)),
          beta2(static_cast<T>(rule.beta2)),
          one_minus_beta1(static_cast<T>(1.0 - rule.beta1)),
          one_minus_beta2(static_cast<T>(1.0 - rule.beta2)),
          step_size(static_cast<T>(rule.learning_rate / (1.0 - power(rule.beta1, step)))),
          root_scale(static_cast<T>(1.0 / __builtin_sqrt(1.0 - power(rule.beta2, step)))),
          epsilon(static_cast<T>(rule.epsilon)),
          gradient_scale(static_cast<T>(scale)) {}
};

// 1 / x for x >= 0, to 1 unit in the last place; 1e-30 beyond 1e30. A division would keep the core's divider busy,
// which the square root before it needs as well; this is multiply-adds. The first guess turns the exponent round and
// has 1.5 % of error about a mean that the constants of the first Newton step take out, which leaves 1.2e-4; the
// second 1.3e-8.
FASTPG_INLINE Vec<float> reciprocal(const Vec<float>& x) {
    constexpr std::int32_t kGuess = 0x7EB50000;
    constexpr float kFitted = 2.78675761F, kFittedSlope = 1.94128774F, kLargest = 1e30F;
    const Vec<float> bounded = at_most<float>(x, splat(kLargest));
    const Vec<float> guess = as_floats<float>(kGuess - as_integers<float>(bounded));
    const Vec<float> near = guess * multiply_add<float>(bounded * guess, -kFittedSlope, splat(kFitted));
    return multiply_add<float>(near, multiply_add<float>(-bounded, near, splat(1.0F)), near);
}
FASTPG_INLINE Vec<double> reciprocal(const Vec<double>& x) {
    return 1.0 / x;
}

// Moments in place, and the denominators of the step, of a whole number of registers.
template <class T>
FASTPG_INLINE void adam_moments(const AdamStep<T>& s, const T* gradient, Index n, T* first_moment, T* second_moment,
                                T* denominators) {
    for (Index i = 0; i < n; i += kLanes<T>) {
        const Vec<T> g = load(gradient + i) * s.gradient_scale;
        const Vec<T> v = multiply_add<T>(load(second_moment + i), s.beta2, s.one_minus_beta2 * (g * g));
        store(first_moment + i, multiply_add<T>(load(first_moment + i), s.beta1, s.one_minus_beta1 * g));
        store(second_moment + i, v);
        store(denominators + i, multiply_add<T>(square_root<T>(v), s.root_scale, splat(s.epsilon)));
    }
}

template <class T>
FASTPG_INLINE void adam_params(const AdamStep<T>& s, const T* first_moment, const T* denominators, Index n, T* params) {
    for (Index i = 0; i < n; i += kLanes<T>) {
        const Vec<T> step = s.step_size * load(first_moment + i);
        store(params + i, multiply_add<T>(-step, reciprocal(load(denominators + i)), load(params + i)));
    }
}

// Updates params and moments in place. The gradient is multiplied by gradient_scale first. Two passes over what fits
// into the first cache: one long chain of operations per number would fill the core's waiting list.
template <class T>
inline void adam_apply(const AdamStep<T>& step, const T* gradient, Index n, T* params, T* first_moment,
                       T* second_moment) {
    constexpr Index kChunk = 256;
    const AdamStep<T> s = step;  // the stores cannot change it
    T denominators[kChunk];
    Index i = 0;
    while (n - i >= kLanes<T>) {
        const Index size = smaller<Index>((n - i) / kLanes<T> * kLanes<T>, kChunk);
        adam_moments(s, gradient + i, size, first_moment + i, second_moment + i, denominators);
        adam_params(s, first_moment + i, denominators, size, params + i);
        i += size;
    }
    if (i == n) return;
    T rest[4][kLanes<T>] = {};
    const T* const from[] = {gradient + i, first_moment + i, second_moment + i, params + i};
    T* const to[] = {nullptr, first_moment + i, second_moment + i, params + i};
    for (int k = 0; k < 4; ++k) copy(from[k], n - i, rest[k]);
    adam_moments(s, rest[0], kLanes<T>, rest[1], rest[2], denominators);
    adam_params(s, rest[1], denominators, kLanes<T>, rest[3]);
    for (int k = 1; k < 4; ++k) copy(rest[k], n - i, to[k]);
}

template <class T>
void adam_step(const AdamArgs<T>& a) {
    copy(a.params, a.n_params, a.out_params);
    copy(a.first_moment, a.n_params, a.out_first_moment);
    copy(a.second_moment, a.n_params, a.out_second_moment);
    adam_apply(AdamStep<T>(a.rule, a.step), a.gradient, a.n_params, a.out_params, a.out_first_moment,
               a.out_second_moment);
}

template <class T>
FASTPG_INLINE void add_squares(const Panel<T>& x, Panel<T>& sum) {
#pragma GCC unroll 16
    for (int i = 0; i < kParts<T>; ++i) sum.part[i] = multiply_add<T>(x.part[i], x.part[i], sum.part[i]);
}

// Sum of squares of n numbers: four panels of 16 lanes take turns, so that no addition waits for the one before; then
// what is left of a panel. Single precision that overflows is done again in double.
template <class T>
inline double sum_of_squares(const T* x, Index n) {
    constexpr int kTurns = 4;
    Panel<T> sum[kTurns] = {};
    Index i = 0;
    for (; i + kTurns * kPanel <= n; i += kTurns * kPanel) {
#pragma GCC unroll 16
        for (int t = 0; t < kTurns; ++t) add_squares(load_panel(x + i + t * kPanel), sum[t]);
    }
#pragma GCC unroll 16
    for (int t = 0; t + 1 < kTurns; ++t) {
        if (i + kPanel > n) break;
        add_squares(load_panel(x + i), sum[t]);
        i += kPanel;
    }
    T lanes[kPanel];
    for (int lane = 0; lane < kParts<T>; ++lane) {
        store(lanes + lane * kLanes<T>,
              (sum[0].part[lane] + sum[2].part[lane]) + (sum[1].part[lane] + sum[3].part[lane]));
    }
    T rest = T{0};
    for (Index k = i; k < n; ++k) rest = multiply_add(x[k], x[k], rest);
    const double fast = static_cast<double>(sum16(lanes) + rest);
    if (fast < __builtin_inf()) return fast;
    double exact = 0;
    for (Index k = 0; k < n; ++k) exact += static_cast<double>(x[k]) * static_cast<double>(x[k]);
    return exact;
}

inline double clip_coefficient(double norm, double max_norm) {
    constexpr double kGuard = 1e-6;
    return smaller(1.0, max_norm / (norm + kGuard));
}

// Scales the gradient to at most max_norm; returns the norm before.
template <class T>
double clip_global_norm(const T* gradient, Index n, double max_norm, T* out) {
    const double norm = __builtin_sqrt(sum_of_squares(gradient, n));
    const T coefficient = static_cast<T>(clip_coefficient(norm, max_norm));
    for (Index i = 0; i < n; ++i) out[i] = gradient[i] * coefficient;
    return norm;
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
