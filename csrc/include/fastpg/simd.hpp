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

#if defined(__FMA__) || defined(__aarch64__) || (defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF))
#define FASTPG_HAS_FMA 1
#else
#define FASTPG_HAS_FMA 0
#endif
#if defined(__clang__)
#if __has_builtin(__builtin_elementwise_fma)
#define FASTPG_ELEMENTWISE_FMA 1
#endif
#endif

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

// a * b + c with one rounding where the instruction set can (SSE2 cannot, and rounds twice). The compiler contracts
// nothing by itself (-ffp-contract=off): which products of a sum are fused stands here, not in its choice, and the
// bits are the same everywhere.
FASTPG_INLINE float multiply_add(float a, float b, float c) {
#if FASTPG_HAS_FMA
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}
FASTPG_INLINE double multiply_add(double a, double b, double c) {
#if FASTPG_HAS_FMA
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

#if FASTPG_HAS_FMA && FASTPG_ELEMENTWISE_FMA
template <class V>
FASTPG_INLINE V fuse(const V& a, const V& b, const V& c) {
    return __builtin_elementwise_fma(a, b, c);
}
#elif FASTPG_HAS_FMA && defined(__GNUC__) && !defined(__clang__) && defined(__aarch64__)
typedef float FloatQuad __attribute__((vector_size(16)));
typedef double DoublePair __attribute__((vector_size(16)));
FASTPG_INLINE FloatQuad fuse(const FloatQuad& a, const FloatQuad& b, const FloatQuad& c) {
    return __builtin_aarch64_fmav4sf(a, b, c);
}
FASTPG_INLINE DoublePair fuse(const DoublePair& a, const DoublePair& b, const DoublePair& c) {
    return __builtin_aarch64_fmav2df(a, b, c);
}
#elif FASTPG_HAS_FMA && defined(__GNUC__) && !defined(__clang__) && FASTPG_X86
typedef float FloatOctet __attribute__((vector_size(32)));
typedef double DoubleQuad __attribute__((vector_size(32)));
FASTPG_INLINE FloatOctet fuse(const FloatOctet& a, const FloatOctet& b, const FloatOctet& c) {
    return __builtin_ia32_vfmaddps256(a, b, c);
}
FASTPG_INLINE DoubleQuad fuse(const DoubleQuad& a, const DoubleQuad& b, const DoubleQuad& c) {
    return __builtin_ia32_vfmaddpd256(a, b, c);
}
#if FASTPG_VECTOR_BYTES == 64
#if defined(__AVX512F__)
FASTPG_INLINE Vec<float> fuse(const Vec<float>& a, const Vec<float>& b, const Vec<float>& c) {
    return __builtin_ia32_vfmaddps512_mask(a, b, c, -1, kRoundAsSet);
}
FASTPG_INLINE Vec<double> fuse(const Vec<double>& a, const Vec<double>& b, const Vec<double>& c) {
    return __builtin_ia32_vfmaddpd512_mask(a, b, c, -1, kRoundAsSet);
}
#else
// Halves, where AVX2 stands in for AVX-512.
template <class V, class Half>
FASTPG_INLINE V fuse_halves(const V& a, const V& b, const V& c) {
    Half x[2], y[2], z[2];
    __builtin_memcpy(x, &a, sizeof(V));
    __builtin_memcpy(y, &b, sizeof(V));
    __builtin_memcpy(z, &c, sizeof(V));
    for (int i = 0; i < 2; ++i) z[i] = fuse(x[i], y[i], z[i]);
    V sum;
    __builtin_memcpy(&sum, z, sizeof(V));
    return sum;
}
FASTPG_INLINE Vec<float> fuse(const Vec<float>& a, const Vec<float>& b, const Vec<float>& c) {
    return fuse_halves<Vec<float>, FloatOctet>(a, b, c);
}
FASTPG_INLINE Vec<double> fuse(const Vec<double>& a, const Vec<double>& b, const Vec<double>& c) {
    return fuse_halves<Vec<double>, DoubleQuad>(a, b, c);
}
#endif
#endif
#elif FASTPG_HAS_FMA
template <class V>
FASTPG_INLINE V fuse(const V& a, const V& b, const V& c) {
    V sum{};
#pragma GCC unroll 16
    for (unsigned i = 0; i < sizeof(V) / sizeof(a[0]); ++i) sum[i] = multiply_add(a[i], b[i], c[i]);
    return sum;
}
#else
template <class V>
FASTPG_INLINE V fuse(const V& a, const V& b, const V& c) {
    return a * b + c;
}
#endif

template <class T>
FASTPG_INLINE Vec<T> multiply_add(const Vec<T>& a, const Vec<T>& b, const Vec<T>& c) {
    return fuse(a, b, c);
}
template <class T>
FASTPG_INLINE Vec<T> multiply_add(const Vec<T>& a, T b, const Vec<T>& c) {
    return fuse(a, splat<T>(b), c);
}

// x, computed where this stands: gcc keeps the order of the multiply-adds above, but puts off what else a value takes
// until it is stored, with all of its operands waiting in memory.
template <class T>
FASTPG_INLINE Vec<T> settled(Vec<T> x) {
#if defined(__GNUC__) && !defined(__clang__) && defined(__aarch64__)
    asm("" : "+w"(x));
#elif FASTPG_X86 && FASTPG_HAS_FMA && defined(__GNUC__) && !defined(__clang__) && \
    (FASTPG_VECTOR_BYTES == 32 || defined(__AVX512F__))
    asm("" : "+v"(x));
#endif
    return x;
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

// Sum of n numbers: lane i mod 16 takes every sixteenth one in order, then the lanes are folded by halves.
// `add(i, sum)` returns the sum with numbers i ... i + kLanes - 1; those from n on, up to the next multiple of 16, must
// be 0.
template <class T, class Add>
FASTPG_INLINE T sum_lanes(Index n, Add add) {
    Panel<T> sum{};
    for (Index i = 0; i < n; i += kPanel) {
#pragma GCC unroll 16
        for (int part = 0; part < kParts<T>; ++part) sum.part[part] = add(i + part * kLanes<T>, sum.part[part]);
    }
    T lanes[kPanel];
    __builtin_memcpy(lanes, &sum, sizeof(lanes));
    return sum16(lanes);
}

// Sum of x[i] for i < n, and of a[i] b[i].
template <class T>
FASTPG_INLINE T sum_of(const T* x, Index n) {
    return sum_lanes<T>(n, [x](Index i, const Vec<T>& sum) { return sum + load(x + i); });
}
template <class T>
FASTPG_INLINE T sum_of_products(const T* a, const T* b, Index n) {
    return sum_lanes<T>(n, [=](Index i, const Vec<T>& sum) { return multiply_add<T>(load(a + i), load(b + i), sum); });
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
