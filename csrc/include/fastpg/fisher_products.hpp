// The matrix products of the Fisher matrix on one tile that have something of their own: a sum over outputs as dot
// products, the derivative of an activation at the end, a fetch of memory meanwhile.
#pragma once

#include "fastpg/mlp.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// Outputs whose last layer is a sum of dot products, lanes over its inputs; with more of them lanes over the outputs
// are better. Also the most outputs whose derivatives are kept, so that they take about as much memory as the
// activations.
constexpr Index kMaxDotOutputs = 8;

// Rows x (in panels) and the weights of every output that they are multiplied with: number 16 p + j of output k for one
// row lies at weight[row * row_stride + k * output_stride + p * panel_stride + j].
template <class T>
struct OutputWeights {
    Panels<const T> x;
    const T* weight;
    Index row_stride;
    Index output_stride;
    Index panel_stride;
    Index n_panels;
};

// Outputs k ... k + kOutputs - 1 of the rows row ... row + kLanes - 1, those from n_rows on being 0: the sum over terms
// of dot products, one fold across lanes for all terms. to: outputs `to_stride` apart.
template <class T, int kOutputs>
__attribute__((noinline)) void add_output_dots(const OutputWeights<T>* terms, int n_terms, Index row, Index n_rows,
                                               Index k, T* to, Index to_stride) {
    T partial[kOutputs * kLanes<T> * kLanes<T>];
    const Index n = smaller<Index>(kLanes<T>, n_rows - row);
    if (n < kLanes<T>) __builtin_memset(partial, 0, sizeof(partial));
    for (Index i = 0; i < n; ++i) {
        Panel<T> sum[kOutputs]{};
        for (int term = 0; term < n_terms; ++term) {
            const OutputWeights<T>& t = terms[term];
            const T* x = t.x.data + (row + i) * kPanel;
            const T* w = t.weight + (row + i) * t.row_stride + k * t.output_stride;
            for (Index p = 0; p < t.n_panels; ++p) {
                const Panel<T> factor = load_panel(x + p * t.x.stride);
#pragma GCC unroll 4
                for (int o = 0; o < kOutputs; ++o) {
                    const T* from = w + o * t.output_stride + p * t.panel_stride;
#pragma GCC unroll 16
                    for (int part = 0; part < kParts<T>; ++part) {
                        const Vec<T> weight = load(from + part * kLanes<T>);
                        sum[o].part[part] = multiply_add<T>(factor.part[part], weight, sum[o].part[part]);
                    }
                }
            }
        }
#pragma GCC unroll 4
        for (int o = 0; o < kOutputs; ++o) {
            fold_parts<T, kParts<T>>(sum[o].part);
            store(partial + (o * kLanes<T> + i) * kLanes<T>, sum[o].part[0]);
        }
    }
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
        Vec<T> rows[kLanes<T>];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes<T>; ++i) rows[i] = load(partial + (o * kLanes<T> + i) * kLanes<T>);
        T* column = to + o * to_stride;
        store(column, load(column) + fold_rows<T, kLanes<T>>(rows));
    }
}

// C = (init + A1 B1 + A2 B2) activation'(Y): what a layer puts out along a direction. The second product has depth 0 in
// the first layer, whose inputs do not move.
template <class T, bool kIsTanh>
struct TangentProduct {
    Panels<const T> a1;
    Panels<const T> b1;
    Panels<const T> a2;
    Panels<const T> b2;
    Panels<const T> init;
    Panels<const T> y;
    Panels<T> c;
    Index depth1;
    Index depth2;
    Index n_panels;

    template <int kRows, int kPanels>
    FASTPG_INLINE void block(Index row, Index panel) const {
        using Sum = Block<T, kRows, kPanels>;
        Sum sum;
        sum.read(init.data + panel * init.stride, init.stride, 0);
        add_product(sum, a1.data + row * kPanel, a1.stride, b1.data + panel * b1.stride, b1.stride, depth1);
        if (depth2 > 0) {
            add_product(sum, a2.data + row * kPanel, a2.stride, b2.data + panel * b2.stride, b2.stride, depth2);
        }
        const T* from = y.data + panel * y.stride + row * kPanel;
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
            for (int i = 0; i < Sum::kColumns; ++i) {
                const Vec<T> x = sum.at[r][i], t = load(from + r * kPanel + Sum::offset(i, y.stride));
                sum.at[r][i] = kIsTanh ? Tanh<T>::chain(x, t) : Relu<T>::chain(x, t);
            }
        }
        sum.write(c.data + panel * c.stride + row * kPanel, c.stride);
    }
};

// A product that fetches the numbers from `ahead` to `end` into the second level of cache meanwhile: `share` cache
// lines for each panel of results and sixteen steps along the depth.
template <class T>
struct FetchingProduct {
    static constexpr Index kLine = 64 / static_cast<Index>(sizeof(T));

    Product<T> product;
    Index n_panels;
    Index share;
    const T** ahead;
    const T* end;

    template <int kRows, int kPanels>
    FASTPG_INLINE void block(Index row, Index panel) const {
        Block<T, kRows, kPanels> sum;
        sum.read(product.init.data + panel * product.init.stride, product.init.stride, 0);
        const T* a = product.a.data + row * kPanel;
        const T* b = product.b.data + panel * product.b.stride;
        const T* from = *ahead;
        for (Index left = product.depth; left > 0; left -= kPanel) {
            for (Index i = 0; i < kPanels * share && from < end; ++i, from += kLine) __builtin_prefetch(from, 0, 2);
            add_product(sum, a, product.a.stride, b, product.b.stride, smaller<Index>(left, kPanel));
            a += product.a.stride;
            b += kPanel * kPanel;
        }
        *ahead = from;
        sum.write(product.c.data + panel * product.c.stride + row * kPanel, product.c.stride);
    }
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
