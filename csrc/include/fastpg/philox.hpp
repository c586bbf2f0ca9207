// Philox4x32-10: random numbers as a function of (seed, stream, step, row, column), with no state.
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The key is the seed; the
// counter is (row, column / 4, low word of step, stream << 24 | high 24 bits of step); column % 4 picks the output
// word. Normal numbers: M. Giles, "Approximating the erfinv function", GPU Computing Gems 2 (2012), single precision
// form.
#pragma once

#include "fastpg/elementary.hpp"

namespace fastpg {
namespace FASTPG_ISA {

struct PhiloxWords {
    std::uint32_t word[4];
};

constexpr std::uint32_t kPhiloxMultiplier0 = 0xD2511F53, kPhiloxMultiplier1 = 0xCD9E8D57;
constexpr std::uint32_t kPhiloxWeyl0 = 0x9E3779B9, kPhiloxWeyl1 = 0xBB67AE85;
constexpr int kPhiloxRounds = 10;

FASTPG_INLINE PhiloxWords philox(const PhiloxKey& key, std::uint32_t row, std::uint32_t block) {
    auto key0 = static_cast<std::uint32_t>(key.seed);
    auto key1 = static_cast<std::uint32_t>(key.seed >> 32);
    std::uint32_t c0 = row, c1 = block, c2 = static_cast<std::uint32_t>(key.step);
    std::uint32_t c3 = (key.stream << 24) | (static_cast<std::uint32_t>(key.step >> 32) & 0xFFFFFF);
    for (int round = 0; round < kPhiloxRounds; ++round) {
        const std::uint64_t product0 = std::uint64_t{kPhiloxMultiplier0} * c0;
        const std::uint64_t product1 = std::uint64_t{kPhiloxMultiplier1} * c2;
        c0 = static_cast<std::uint32_t>(product1 >> 32) ^ c1 ^ key0;
        c1 = static_cast<std::uint32_t>(product1);
        c2 = static_cast<std::uint32_t>(product0 >> 32) ^ c3 ^ key1;
        c3 = static_cast<std::uint32_t>(product0);
        key0 += kPhiloxWeyl0;
        key1 += kPhiloxWeyl1;
    }
    return {{c0, c1, c2, c3}};
}

typedef std::uint32_t Words __attribute__((vector_size(FASTPG_VECTOR_BYTES)));
typedef std::uint64_t Products __attribute__((vector_size(FASTPG_VECTOR_BYTES)));

template <class To, class From>
FASTPG_INLINE To same_bits(const From& from) {
    To to;
    static_assert(sizeof(to) == sizeof(from));
    __builtin_memcpy(&to, &from, sizeof(to));
    return to;
}

// The products of the lower halves of x's 64-bit lanes with m. gcc does not recognise the instruction that does this.
FASTPG_INLINE Products multiply_lower(const Products& x, std::uint32_t m) {
#if FASTPG_X86 && defined(__GNUC__) && !defined(__clang__)
    typedef int Operand __attribute__((vector_size(FASTPG_VECTOR_BYTES)));
    [[maybe_unused]] const auto a = same_bits<Operand>(x), b = same_bits<Operand>(Words{} + m);
#if FASTPG_VECTOR_BYTES == 16
    return same_bits<Products>(__builtin_ia32_pmuludq128(a, b));
#elif FASTPG_VECTOR_BYTES == 32 && defined(__AVX2__)
    return same_bits<Products>(__builtin_ia32_pmuludq256(a, b));
#elif FASTPG_VECTOR_BYTES == 64 && defined(__AVX512F__)
    typedef long long Result __attribute__((vector_size(FASTPG_VECTOR_BYTES)));
    return same_bits<Products>(__builtin_ia32_pmuludq512_mask(a, b, Result{}, -1));
#endif
#endif
    return (x & 0xFFFFFFFF) * (Products{} + m);
}

// The upper halves of the products of x with m.
FASTPG_INLINE Words multiply_high(const Words& x, std::uint32_t m) {
    constexpr std::uint64_t kUpper = 0xFFFFFFFF00000000;
    const auto lanes = same_bits<Products>(x);
    return same_bits<Words>((multiply_lower(lanes, m) >> 32) | (multiply_lower(lanes >> 32, m) & kUpper));
}

// `philox` of the rows row ... row + kLanes<float> - 1, one in each lane.
struct PhiloxLanes {
    Words word[4];

    FASTPG_INLINE PhiloxLanes(const PhiloxKey& key, std::uint32_t row, std::uint32_t block) {
        Words c0 = Words{} + row, c1 = Words{} + block, c2 = Words{} + static_cast<std::uint32_t>(key.step);
        Words c3 = Words{} + ((key.stream << 24) | (static_cast<std::uint32_t>(key.step >> 32) & 0xFFFFFF));
#pragma GCC unroll 16
        for (int i = 0; i < kLanes<float>; ++i) c0[i] += static_cast<std::uint32_t>(i);
        auto key0 = static_cast<std::uint32_t>(key.seed);
        auto key1 = static_cast<std::uint32_t>(key.seed >> 32);
        for (int round = 0; round < kPhiloxRounds; ++round) {
            const Words high0 = multiply_high(c0, kPhiloxMultiplier0), high1 = multiply_high(c2, kPhiloxMultiplier1);
            const Words low0 = c0 * kPhiloxMultiplier0, low1 = c2 * kPhiloxMultiplier1;
            c0 = high1 ^ c1 ^ key0;
            c1 = low1;
            c2 = high0 ^ c3 ^ key1;
            c3 = low0;
            key0 += kPhiloxWeyl0;
            key1 += kPhiloxWeyl1;
        }
        word[0] = c0;
        word[1] = c1;
        word[2] = c2;
        word[3] = c3;
    }
};

// The 24 upper bits as a number in [0, 1).
FASTPG_INLINE float unit_interval(std::uint32_t word) {
    return static_cast<float>(word >> 8) * 0x1p-24F;
}

FASTPG_INLINE Vec<float> unit_interval(const Words& words) {
    return __builtin_convertvector(same_bits<IntVec<float>>(words >> 8), Vec<float>) * 0x1p-24F;
}

// An odd multiple of 2^-24 in (-1, 1), exact in float32.
FASTPG_INLINE float symmetric_interval(std::uint32_t word) {
    return static_cast<float>(2 * static_cast<std::int32_t>(word >> 8) + 1 - (1 << 24)) * 0x1p-24F;
}

FASTPG_INLINE Vec<float> symmetric_interval(const Words& words) {
    const IntVec<float> odd = 2 * same_bits<IntVec<float>>(words >> 8) + (1 - (1 << 24));
    return __builtin_convertvector(odd, Vec<float>) * 0x1p-24F;
}

// sqrt(2) erfinv(x) for -1 < x < 1.
FASTPG_INLINE Vec<float> normal_quantile(const Vec<float>& x) {
    constexpr float kCentral[] = {2.81022636e-08F, 3.43273939e-07F, -3.5233877e-06F, -4.39150654e-06F, 0.00021858087F,
                                  -0.00125372503F, -0.00417768164F, 0.246640727F,    1.50140941F};
    constexpr float kTail[] = {-0.000200214257F, 0.000100950558F, 0.00134934322F, -0.00367342844F, 0.00573950773F,
                               -0.0076224613F,   0.00943887047F,  1.00167406F,    2.83297682F};
    constexpr float kSqrt2 = 1.41421356F;
    const Vec<float> w = -vec_log<float>((1.0F - x) * (1.0F + x));
    const Vec<float> central = polynomial<float>(w - 2.5F, kCentral);
    const Vec<float> tail = polynomial<float>(square_root<float>(w) - 3.0F, kTail);
    return kSqrt2 * x * select<float>(w < 5.0F, central, tail);
}

// Columns 4 * block ... of one row: out[0 .. n), n <= 4.
template <class T, class Convert>
FASTPG_INLINE void fill_random(const PhiloxKey& key, Index n_rows, Index n_columns, T* out, Convert convert) {
    for (Index row = 0; row < n_rows; ++row) {
        for (Index column = 0; column < n_columns; column += 4) {
            const PhiloxWords words =
                philox(key, static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(column / 4));
            const Index n = smaller<Index>(4, n_columns - column);
            for (Index i = 0; i < n; ++i) out[row * n_columns + column + i] = convert(words.word[i]);
        }
    }
}

template <class T>
void uniform(const PhiloxKey& key, Index n_rows, Index n_columns, T* out) {
    fill_random<T>(key, n_rows, n_columns, out, [](std::uint32_t word) { return static_cast<T>(unit_interval(word)); });
}

template <class T>
void normal(const PhiloxKey& key, Index n_rows, Index n_columns, T* out) {
    fill_random<T>(key, n_rows, n_columns, out,
                   [](std::uint32_t word) { return static_cast<T>(symmetric_interval(word)); });
    const Index n = n_rows * n_columns;
    for (Index start = 0; start < n; start += kLanes<float>) {
        const Index n_lanes = smaller<Index>(kLanes<float>, n - start);
        Vec<float> x{};
        for (Index i = 0; i < n_lanes; ++i) x[i] = static_cast<float>(out[start + i]);
        x = normal_quantile(x);
        for (Index i = 0; i < n_lanes; ++i) out[start + i] = static_cast<T>(x[i]);
    }
}

// Fisher-Yates shuffle of 0 .. n-1, n < 2^32. Number k takes word k % 4 of row k / 4: a register of rows at a time.
inline void permutation(const PhiloxKey& key, Index n, std::int64_t* out) {
    constexpr Index kRows = kLanes<float>;
    std::uint32_t words[4][kRows];
    for (Index i = 0; i < n; ++i) out[i] = i;
    for (Index k = 0; k < n - 1; ++k) {
        if (k % (4 * kRows) == 0) {
            const PhiloxLanes lanes(key, static_cast<std::uint32_t>(k / 4), 0);
            __builtin_memcpy(words, lanes.word, sizeof(words));
        }
        const Index i = n - 1 - k;
        const std::uint64_t bound = static_cast<std::uint64_t>(i) + 1;
        const auto j = static_cast<Index>((words[k % 4][k / 4 % kRows] * bound) >> 32);
        const std::int64_t kept = out[i];
        out[i] = out[j];
        out[j] = kept;
    }
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
