// exp, log and tanh of vectors. All three pass NaN through.
//
// float32:
// tanh(x) = x P(x^2) / Q(x^2), P and Q of degree 4: a relative minimax fit (Lawson's iteration) on |x| <= 8, beyond
// which tanh is 1 to float32 precision. Maximum absolute error 3.1e-7 in float32 arithmetic, |tanh| <= 1.
// exp(x) = 2^n exp(r), |r| <= ln(2)/2, with the Taylor polynomial of degree 7: relative error < 2e-7.
// log(x) = n ln(2) + 2 atanh((m - 1) / (m + 1)), m in [sqrt(1/2), sqrt(2)): relative error < 2e-7 in the atanh term.
// float64, each to 4 units in the last place:
// tanh(x) = x P(x^2) / Q(x^2), the eighth convergent of Lambert's continued fraction x / (1 + x^2 / (3 + x^2 / (5 +
// ...))), for |x| < 5/8, else (e - 1) / (e + 1) with e = exp(2 |x|) and the sign of x. exp and log as in float32, with
// the Taylor polynomial of degree 13 and atanh to the term s^21.
#pragma once

#include "fastpg/simd.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// Horner's rule, highest coefficient first.
template <class T, int kTerms>
FASTPG_INLINE Vec<T> polynomial(const Vec<T>& x, const T (&coefficients)[kTerms]) {
    Vec<T> sum = splat<T>(coefficients[0]);
#pragma GCC unroll 16
    for (int i = 1; i < kTerms; ++i) sum = multiply_add<T>(sum, x, splat(coefficients[i]));
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
    return settled<float>(bounded * polynomial<float>(square, kP) / polynomial<float>(square, kQ));
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
    const Vec<float> n = multiply_add<float>(bounded, kLog2E, splat(kRound)) - kRound;
    const Vec<float> r = multiply_add<float>(n, -kLn2Low, multiply_add<float>(n, -kLn2High, bounded));
    const IntVec<float> exponent = __builtin_convertvector(n, IntVec<float>);
    const IntVec<float> half = exponent >> 1;  // two factors: 2^128 is no float
    Vec<float> y = polynomial<float>(r, kTaylor) * power_of_two(half) * power_of_two(exponent - half);
    y = select<float>(x < kUnderflow, Vec<float>{}, y);
    return select<float>(x > kOverflow, splat(__builtin_inff()), y);
}

// Adding it to a double rounds to a whole number, which then stands in the last bits.
constexpr double kRoundDouble = 6755399441055744.0;  // 1.5 * 2^52
constexpr std::int64_t kRoundDoubleBits = 0x4338000000000000;
constexpr double kLn2HighDouble = 0.6931471803691238, kLn2LowDouble = 1.9082149292705877e-10;

// 2^n for whole numbers n + kRoundDouble, n in [-1022, 1023].
FASTPG_INLINE Vec<double> power_of_two(const Vec<double>& rounded) {
    return as_floats<double>((as_integers<double>(rounded) - kRoundDoubleBits + 1023) << 52);
}

template <>
FASTPG_INLINE Vec<double> vec_exp<double>(const Vec<double>& x) {
    constexpr double kLog2E = 1.4426950408889634;
    constexpr double kSmallest = -746.0, kLargest = 710.0;  // 0 and infinity from there on
    constexpr double kTaylor[] = {
        1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
        1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       0.5,          1.0,         1.0};
    const Vec<double> bounded = at_least<double>(at_most<double>(x, splat(kLargest)), splat(kSmallest));
    const Vec<double> n = multiply_add<double>(bounded, kLog2E, splat(kRoundDouble)) - kRoundDouble;
    const Vec<double> r = multiply_add<double>(n, -kLn2LowDouble, multiply_add<double>(n, -kLn2HighDouble, bounded));
    const Vec<double> half = multiply_add<double>(n, 0.5, splat(kRoundDouble));  // two factors: 2^1024 is no double
    const Vec<double> rest = (n - (half - kRoundDouble)) + kRoundDouble;
    return polynomial<double>(r, kTaylor) * power_of_two(half) * power_of_two(rest);
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
    const Vec<float> tail = multiply_add<float>(s * square, polynomial<float>(square, kAtanh), n * kLn2Low);
    return select<float>(x == x, multiply_add<float>(n, kLn2High, multiply_add<float>(s, 2.0F, tail)), x);
}

template <>
FASTPG_INLINE Vec<double> vec_log<double>(const Vec<double>& x) {
    constexpr std::int64_t kSqrtHalfBits = 0x3FE6A09E667F3BCD;
    constexpr double kAtanh[] = {2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13,
                                 2.0 / 11, 2.0 / 9,  2.0 / 7,  2.0 / 5,  2.0 / 3};
    const IntVec<double> bits = as_integers<double>(absolute<double>(x));
    const IntVec<double> exponent = (bits - kSqrtHalfBits) >> 52;
    const Vec<double> n = as_floats<double>(exponent + kRoundDoubleBits) - kRoundDouble;
    const Vec<double> m = as_floats<double>(bits - (exponent << 52));
    const Vec<double> s = (m - 1.0) / (m + 1.0);
    const Vec<double> square = s * s;
    const Vec<double> tail = multiply_add<double>(s * square, polynomial<double>(square, kAtanh), n * kLn2LowDouble);
    return select<double>(x == x, multiply_add<double>(n, kLn2HighDouble, multiply_add<double>(s, 2.0, tail)), x);
}

template <>
FASTPG_INLINE Vec<double> vec_tanh<double>(const Vec<double>& x) {
    constexpr double kP[] = {36.0, 6930.0, 270270.0, 2027025.0};
    constexpr double kQ[] = {1.0, 630.0, 51975.0, 945945.0, 2027025.0};
    constexpr double kSmall = 0.625, kLimit = 20.0;
    constexpr std::int64_t kSign = static_cast<std::int64_t>(std::uint64_t{1} << 63);
    const Vec<double> magnitude = absolute<double>(x);
    const IntVec<double> is_small = magnitude < kSmall;
    const Vec<double> square = x * x;
    const Vec<double> e = vec_exp<double>(2.0 * at_most<double>(magnitude, splat(kLimit)));
    const Vec<double> signed_numerator =
        as_floats<double>(as_integers<double>(e - 1.0) | (as_integers<double>(x) & kSign));
    const Vec<double> numerator = select<double>(is_small, x * polynomial<double>(square, kP), signed_numerator);
    return numerator / select<double>(is_small, polynomial<double>(square, kQ), e + 1.0);
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
