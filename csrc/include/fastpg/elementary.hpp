// exp, log and tanh of vectors. float32 in vector arithmetic, float64 through libm.
//
// tanh(x) = x P(x^2) / Q(x^2), P and Q of degree 4: a relative minimax fit (Lawson's iteration) on |x| <= 8, beyond
// which tanh is 1 to float32 precision. Maximum absolute error 3.1e-7 in float32 arithmetic, |tanh| <= 1.
// exp(x) = 2^n exp(r), |r| <= ln(2)/2, with the Taylor polynomial of degree 7: relative error < 2e-7.
// log(x) = n ln(2) + 2 atanh((m - 1) / (m + 1)), m in [sqrt(1/2), sqrt(2)): relative error < 2e-7 in the atanh term.
// All three pass NaN through.
#pragma once

#include "fastpg/simd.hpp"

namespace fastpg {
namespace FASTPG_ISA {

template <class T, class Function>
FASTPG_INLINE Vec<T> map_lanes(const Vec<T>& x, Function f) {
    Vec<T> y{};
    for (int i = 0; i < kLanes<T>; ++i) y[i] = f(x[i]);
    return y;
}

// Horner's rule, highest coefficient first.
template <class T, int kTerms>
FASTPG_INLINE Vec<T> polynomial(const Vec<T>& x, const T (&coefficients)[kTerms]) {
    Vec<T> sum = splat<T>(coefficients[0]);
#pragma GCC unroll 16
    for (int i = 1; i < kTerms; ++i) sum = sum * x + coefficients[i];
    return sum;
}

template <class T>
FASTPG_INLINE Vec<T> vec_tanh(const Vec<T>& x);

template <>
FASTPG_INLINE Vec<float> vec_tanh<float>(const Vec<float>& x) {
    constexpr float kP[] = {1.52310482e-8F, 2.18951378e-5F, 3.57162780e-3F, 1.34445234e-1F, 9.99999994e-1F};
    constexpr float kQ[] = {8.52271087e-7F, 3.41134010e-4F, 2.61645571e-2F, 4.67778507e-1F, 1.0F};
    constexpr float kLimit = 8.0F;
    const Vec<float> bounded = at_least<float>(at_most<float>(x, splat(kLimit)), splat(-kLimit));
    const Vec<float> square = bounded * bounded;
    return bounded * polynomial<float>(square, kP) / polynomial<float>(square, kQ);
}

template <>
FASTPG_INLINE Vec<double> vec_tanh<double>(const Vec<double>& x) {
    return map_lanes<double>(x, [](double lane) { return __builtin_tanh(lane); });
}

// 2^n for whole numbers n in [-126, 127].
FASTPG_INLINE Vec<float> power_of_two(const IntVec<float>& n) {
    return as_floats<float>((n + 127) << 23);
}

template <class T>
FASTPG_INLINE Vec<T> vec_exp(const Vec<T>& x);

template <>
FASTPG_INLINE Vec<float> vec_exp<float>(const Vec<float>& x) {
    constexpr float kLog2E = 1.44269504F, kLn2High = 0.693359375F, kLn2Low = -2.12194440e-4F;
    constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
    constexpr float kUnderflow = -87.3F, kOverflow = 88.72284F;
    constexpr float kTaylor[] = {1.0F / 5040, 1.0F / 720, 1.0F / 120, 1.0F / 24, 1.0F / 6, 0.5F, 1.0F, 1.0F};
    const Vec<float> bounded = at_least<float>(at_most<float>(x, splat(kOverflow)), splat(kUnderflow));
    const Vec<float> n = (bounded * kLog2E + kRound) - kRound;
    const Vec<float> r = (bounded - n * kLn2High) - n * kLn2Low;
    const IntVec<float> exponent = __builtin_convertvector(n, IntVec<float>);
    const IntVec<float> half = exponent >> 1;  // two factors: 2^128 is no float
    Vec<float> y = polynomial<float>(r, kTaylor) * power_of_two(half) * power_of_two(exponent - half);
    y = select<float>(x < kUnderflow, Vec<float>{}, y);
    return select<float>(x > kOverflow, splat(__builtin_inff()), y);
}

template <>
FASTPG_INLINE Vec<double> vec_exp<double>(const Vec<double>& x) {
    return map_lanes<double>(x, [](double lane) { return __builtin_exp(lane); });
}

// Natural logarithm of positive, normal numbers (0 < x < inf).
template <class T>
FASTPG_INLINE Vec<T> vec_log(const Vec<T>& x);

template <>
FASTPG_INLINE Vec<float> vec_log<float>(const Vec<float>& x) {
    constexpr float kLn2High = 0.693359375F, kLn2Low = -2.12194440e-4F;
    constexpr std::int32_t kSqrtHalfBits = 0x3F3504F3;
    constexpr float kAtanh[] = {2.0F / 9, 2.0F / 7, 2.0F / 5, 2.0F / 3};
    const IntVec<float> bits = as_integers<float>(absolute<float>(x));  // of a garbage lane, too, no overflow
    const IntVec<float> exponent = (bits - kSqrtHalfBits) >> 23;
    const Vec<float> n = __builtin_convertvector(exponent, Vec<float>);
    const Vec<float> m = as_floats<float>(bits - exponent * (1 << 23));
    const Vec<float> s = (m - 1.0F) / (m + 1.0F);
    const Vec<float> square = s * s;
    const Vec<float> tail = s * square * polynomial<float>(square, kAtanh) + n * kLn2Low;
    return select<float>(x == x, n * kLn2High + (2.0F * s + tail), x);
}

template <>
FASTPG_INLINE Vec<double> vec_log<double>(const Vec<double>& x) {
    return map_lanes<double>(x, [](double lane) { return __builtin_log(lane); });
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
