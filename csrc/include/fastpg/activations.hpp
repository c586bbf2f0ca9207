// Activations and their derivatives as the last act of a matrix product, while its block is in registers.
#pragma once

#include "fastpg/elementary.hpp"
#include "fastpg/gemm.hpp"

namespace fastpg {
namespace FASTPG_ISA {

template <class T>
struct Tanh {
    static FASTPG_INLINE Vec<T> value(const Vec<T>& x) {
        return vec_tanh<T>(x);
    }
    // The derivative by what went in, given what came out, times `x`.
    static FASTPG_INLINE Vec<T> chain(const Vec<T>& x, const Vec<T>& y) {
        return multiply_add<T>(-x, y * y, x);
    }
};

template <class T>
struct Relu {
    static FASTPG_INLINE Vec<T> value(const Vec<T>& x) {
        return at_least<T>(x, Vec<T>{});
    }
    static FASTPG_INLINE Vec<T> chain(const Vec<T>& x, const Vec<T>& y) {
        return select<T>(y > 0, x, Vec<T>{});
    }
};

// y <- activation(y)
template <class T, class Function>
struct Activate {
    template <int kRows, int kPanels>
    FASTPG_INLINE void apply(Block<T, kRows, kPanels>& block, Index, Index) const {
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
            for (int c = 0; c < block.kColumns; ++c) block.at[r][c] = Function::value(block.at[r][c]);
        }
    }
};

// Rows of the largest block that ends with an activation. tanh needs registers of its own: of AVX2's sixteen, a block
// of 5 x 2 leaves it six, one of 6 x 2 only four.
template <class T, class Function>
constexpr int kActivatedRows = kMaxRows<T>;
template <>
constexpr int kActivatedRows<float, Tanh<float>> = kAccumulators < 16 ? smaller(kMaxRows<float>, 5) : kMaxRows<float>;

// dy <- dy * activation'(y), and its sum over rows is added to the gradient of the bias, or takes its place.
template <class T, class Function>
struct Deactivate {
    Panels<const T> y;
    Panels<T> bias;
    bool is_first;

    template <int kRows, int kPanels>
    FASTPG_INLINE void apply(Block<T, kRows, kPanels>& block, Index row, Index panel) const {
        const T* from = y.data + panel * y.stride + row * kPanel;
        T* to = bias.data + panel * bias.stride;
        const bool is_start = is_first && row == 0;
#pragma GCC unroll 16
        for (int c = 0; c < block.kColumns; ++c) {
            T* sum_at = to + block.offset(c, bias.stride);
            Vec<T> sum = load(is_start ? kZeros<T> : sum_at);
#pragma GCC unroll 16
            for (int r = 0; r < kRows; ++r) {
                block.at[r][c] = Function::chain(block.at[r][c], load(from + r * kPanel + block.offset(c, y.stride)));
                sum += block.at[r][c];
            }
            store(sum_at, sum);
        }
    }
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
