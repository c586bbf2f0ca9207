// Explicit vector types: the compiler's vector extensions, no intrinsics, one source for SSE2, AVX2, AVX-512 and NEON.
//
// Vec<T> is one register of kLanes<T> numbers. Sums across lanes go over a *virtual* width of kPanel = 16 lanes, folded
// by halves (16 -> 8 -> 4 -> 2 -> 1), so their bits do not depend on the width of the registers.
//
// Each kernel unit is compiled for one instruction set in a namespace of its own, FASTPG_ISA. No std:: templates in
// here: their instantiations would be shared between the units as weak symbols, and the wrong one could win.
#pragma once

#include "fastpg/api.hpp"

#ifndef FASTPG_VECTOR_BYTES
#if defined(__AVX512F__)
#define FASTPG_VECTOR_BYTES 64
#elif defined(__AVX__)
#define FASTPG_VECTOR_BYTES 32
#else
#define FASTPG_VECTOR_BYTES 16
#endif
#endif

#define FASTPG_INLINE inline __attribute__((always_inline))

namespace fastpg {
namespace FASTPG_ISA {

constexpr int kPanel = 16;
#if defined(__AVX512F__)
constexpr int kRoundAsSet = 4;  // operand of AVX-512's builtins: the rounding mode in force
#endif

template <class T>
constexpr int kLanes = FASTPG_VECTOR_BYTES / static_cast<int>(sizeof(T));

// Registers per panel of 16 numbers.
template <class T>
constexpr int kParts = kPanel / kLanes<T>;

template <class T>
struct SignedInteger;
template <>
struct SignedInteger<float> {
    using type = std::int32_t;
};
template <>
struct SignedInteger<double> {
    using type = std::int64_t;
};

template <class T>
struct VecOf {
    typedef T type __attribute__((vector_size(FASTPG_VECTOR_BYTES)));
    typedef typename SignedInteger<T>::type integer_type __attribute__((vector_size(FASTPG_VECTOR_BYTES)));
};

template <class T>
using Vec = typename VecOf<T>::type;

// Integers as wide as T: the type of comparisons between Vec<T>.
template <class T>
using IntVec = typename VecOf<T>::integer_type;

template <class T>
FASTPG_INLINE Vec<T> load(const T* from) {
    Vec<T> v;
    __builtin_memcpy(&v, from, sizeof(v));
    return v;
}

template <class T>
FASTPG_INLINE void store(T* to, const Vec<T>& v) {
    __builtin_memcpy(to, &v, sizeof(v));
}

template <class T>
FASTPG_INLINE Vec<T> splat(T x) {
    return x - Vec<T>{};  // x - 0 is x for every x, -0 and NaN included
}

template <class T>
FASTPG_INLINE IntVec<T> as_integers(const Vec<T>& v) {
    IntVec<T> bits;
    __builtin_memcpy(&bits, &v, sizeof(bits));
    return bits;
}

template <class T>
FASTPG_INLINE Vec<T> as_floats(const IntVec<T>& bits) {
    Vec<T> v;
    __builtin_memcpy(&v, &bits, sizeof(v));
    return v;
}

// Lane-wise mask ? a : b.
template <class T>
FASTPG_INLINE Vec<T> select(const IntVec<T>& mask, const Vec<T>& a, const Vec<T>& b) {
    return mask ? a : b;
}

// min and max that keep a NaN in x. gcc does not recognise the two instructions that do exactly this.
template <class T>
FASTPG_INLINE Vec<T> at_most(const Vec<T>& x, const Vec<T>& upper) {
#if FASTPG_X86 && defined(__GNUC__) && !defined(__clang__) && FASTPG_VECTOR_BYTES == 32
    if constexpr (sizeof(T) == 4) return __builtin_ia32_minps256(upper, x);
    if constexpr (sizeof(T) == 8) return __builtin_ia32_minpd256(upper, x);
#elif FASTPG_X86 && defined(__GNUC__) && !defined(__clang__) && defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return __builtin_ia32_minps512_mask(upper, x, x, -1, kRoundAsSet);
    if constexpr (sizeof(T) == 8) return __builtin_ia32_minpd512_mask(upper, x, x, -1, kRoundAsSet);
#else
    return select<T>(upper < x, upper, x);
#endif
}

template <class T>
FASTPG_INLINE Vec<T> at_least(const Vec<T>& x, const Vec<T>& lower) {
#if FASTPG_X86 && defined(__GNUC__) && !defined(__clang__) && FASTPG_VECTOR_BYTES == 32
    if constexpr (sizeof(T) == 4) return __builtin_ia32_maxps256(lower, x);
    if constexpr (sizeof(T) == 8) return __builtin_ia32_maxpd256(lower, x);
#elif FASTPG_X86 && defined(__GNUC__) && !defined(__clang__) && defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return __builtin_ia32_maxps512_mask(lower, x, x, -1, kRoundAsSet);
    if constexpr (sizeof(T) == 8) return __builtin_ia32_maxpd512_mask(lower, x, x, -1, kRoundAsSet);
#else
    return select<T>(lower > x, lower, x);
#endif
}

template <class T>
FASTPG_INLINE Vec<T> absolute(const Vec<T>& x) {
    using Int = typename SignedInteger<T>::type;
    constexpr Int kMagnitude = static_cast<Int>(~(Int{1} << (8 * sizeof(Int) - 1)));
    return as_floats<T>(as_integers<T>(x) & kMagnitude);
}

FASTPG_INLINE float square_root(float x) {
    return __builtin_sqrtf(x);
}
FASTPG_INLINE double square_root(double x) {
    return __builtin_sqrt(x);
}

template <class T>
FASTPG_INLINE Vec<T> square_root(const Vec<T>& x) {
    Vec<T> y{};
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i) y[i] = square_root(x[i]);
    return y;
}

// Sixteen numbers as kParts registers.
template <class T>
struct Panel {
    Vec<T> part[kParts<T>];
};

template <class T>
FASTPG_INLINE Panel<T> load_panel(const T* from) {
    Panel<T> p;
#pragma GCC unroll 16
    for (int i = 0; i < kParts<T>; ++i) p.part[i] = load(from + i * kLanes<T>);
    return p;
}

template <class T>
FASTPG_INLINE void store_panel(T* to, const Panel<T>& p) {
#pragma GCC unroll 16
    for (int i = 0; i < kParts<T>; ++i) store(to + i * kLanes<T>, p.part[i]);
}

// Sum of 16 numbers by halves.
template <class T>
FASTPG_INLINE T sum16(const T* x) {
    T a[8];
    for (int i = 0; i < 8; ++i) a[i] = x[i] + x[i + 8];
    for (int i = 0; i < 4; ++i) a[i] += a[i + 4];
    return (a[0] + a[2]) + (a[1] + a[3]);
}

// Sum of f(i) for i < n: lane i mod 16 takes every sixteenth term in order, then the lanes are folded by halves.
// `term(i)` returns the Vec<T> of terms i ... i + kLanes - 1; terms from n on, up to the next multiple of 16, must be
// 0.
template <class T, class Term>
FASTPG_INLINE T sum_terms(Index n, Term term) {
    Panel<T> sum{};
    for (Index i = 0; i < n; i += kPanel) {
#pragma GCC unroll 16
        for (int part = 0; part < kParts<T>; ++part) sum.part[part] += term(i + part * kLanes<T>);
    }
    T lanes[kPanel];
    __builtin_memcpy(lanes, &sum, sizeof(lanes));
    return sum16(lanes);
}

template <int kValue>
struct Constant {
    static constexpr int value = kValue;
};

constexpr Index round_up(Index n, Index multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

template <class I>
constexpr I smaller(I a, I b) {
    return b < a ? b : a;
}

template <class I>
constexpr I larger(I a, I b) {
    return a < b ? b : a;
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
