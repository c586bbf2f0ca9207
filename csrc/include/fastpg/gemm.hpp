// Matrix products on panels of 16 columns.
//
// A matrix is stored as panels: panel p holds columns 16 p ... 16 p + 15 of all rows, row after row, so that the
// distance between rows is 16 at compile time whatever the size of the matrix. Lanes run over output columns. A block
// of rows and panels is kept in registers; every element of a product is *one* chain of multiply-adds along the depth,
// in order, so its bits depend neither on the width of the registers nor on the shape of the block.
#pragma once

#include "fastpg/simd.hpp"

namespace fastpg {
namespace FASTPG_ISA {

template <class T>
struct Panels {
    T* data;
    Index stride;  // numbers from panel to panel
};

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kAccumulators = 24;  // of 32 registers
#else
constexpr int kAccumulators = 12;  // of 16 registers
#endif

template <class T>
constexpr T kZeros[kPanel] = {};

// Rows of the largest block, and panels of a block of `rows` rows.
template <class T>
constexpr int kMaxRows = kAccumulators / kParts<T> < 6 ? kAccumulators / kParts<T> : 6;

template <class T>
constexpr int panels_at_once(int rows) {
    return rows * 4 * kParts<T> <= kAccumulators ? 4 : rows * 2 * kParts<T> <= kAccumulators ? 2 : 1;
}

// kRows x kPanels accumulators.
template <class T, int kRows, int kPanels>
struct Block {
    static constexpr int kColumns = kPanels * kParts<T>;  // in registers
    Vec<T> at[kRows][kColumns];

    static FASTPG_INLINE Index offset(int column, Index panel_stride) {
        return column / kParts<T> * panel_stride + column % kParts<T> * kLanes<T>;
    }

    // Loads row r from `from` + r * row_stride.
    FASTPG_INLINE void read(const T* from, Index panel_stride, int row_stride) {
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
            for (int c = 0; c < kColumns; ++c) at[r][c] = load(from + r * row_stride + offset(c, panel_stride));
        }
    }

    FASTPG_INLINE void write(T* to, Index panel_stride) const {
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
            for (int c = 0; c < kColumns; ++c) store(to + r * kPanel + offset(c, panel_stride), at[r][c]);
        }
    }

    // at[r] += a[r] * b, b being one row of each panel. The shorter side waits in registers while the other passes by.
    template <int kRowStride>
    FASTPG_INLINE void add_product(const T* a, const T* b, Index panel_stride) {
        if constexpr (kColumns <= kRows) {
            Vec<T> row[kColumns];
#pragma GCC unroll 16
            for (int c = 0; c < kColumns; ++c) row[c] = load(b + offset(c, panel_stride));
#pragma GCC unroll 16
            for (int r = 0; r < kRows; ++r) {
                const Vec<T> factor = splat(a[r * kRowStride]);
#pragma GCC unroll 16
                for (int c = 0; c < kColumns; ++c) at[r][c] = multiply_add<T>(factor, row[c], at[r][c]);
            }
        } else {
            Vec<T> factor[kRows];
#pragma GCC unroll 16
            for (int r = 0; r < kRows; ++r) factor[r] = splat(a[r * kRowStride]);
#pragma GCC unroll 16
            for (int c = 0; c < kColumns; ++c) {
                const Vec<T> row = load(b + offset(c, panel_stride));
#pragma GCC unroll 16
                for (int r = 0; r < kRows; ++r) at[r][c] = multiply_add<T>(factor[r], row, at[r][c]);
            }
        }
    }
};

// sum += A B for one block: A in panels from `from_a`, B in panels from `from_b`.
template <class T, int kRows, int kPanels>
FASTPG_INLINE void add_product(Block<T, kRows, kPanels>& sum, const T* from_a, Index a_stride, const T* from_b,
                               Index b_stride, Index depth) {
    Index left = depth;
    for (; left >= kPanel; left -= kPanel) {
#pragma GCC unroll 4
        for (int k = 0; k < kPanel; ++k) sum.template add_product<kPanel>(from_a + k, from_b + k * kPanel, b_stride);
        from_a += a_stride;
        from_b += kPanel * kPanel;
    }
    for (Index k = 0; k < left; ++k) sum.template add_product<kPanel>(from_a + k, from_b + k * kPanel, b_stride);
}

// What becomes of a block of a product before it is written: nothing.
struct AsItIs {
    template <class T, int kRows, int kPanels>
    FASTPG_INLINE void apply(Block<T, kRows, kPanels>&, Index, Index) const {}
};

// C = init + A B for n_rows rows: A (n_rows, depth), B (depth, 16 n_panels), both in panels; init is one row. The
// epilogue's apply(block, row, panel) sees every block once, those of a panel in the order of their rows.
template <class T, class Epilogue = AsItIs>
struct Product {
    Panels<const T> a;
    Panels<const T> b;
    Panels<const T> init;
    Panels<T> c;
    Index depth;
    Index n_panels;
    Epilogue epilogue = {};

    template <int kRows, int kPanels>
    FASTPG_INLINE void block(Index row, Index panel) const {
        Block<T, kRows, kPanels> sum;
        sum.read(init.data + panel * init.stride, init.stride, 0);
        add_product(sum, a.data + row * kPanel, a.stride, b.data + panel * b.stride, b.stride, depth);
        epilogue.apply(sum, row, panel);
        sum.write(c.data + panel * c.stride + row * kPanel, c.stride);
    }
};

// C = init + A1 B1 + A2 B2, both of the same depth.
template <class T>
struct SumOfProducts {
    Panels<const T> a1;
    Panels<const T> b1;
    Panels<const T> a2;
    Panels<const T> b2;
    Panels<const T> init;
    Panels<T> c;
    Index depth;
    Index n_panels;

    template <int kRows, int kPanels>
    FASTPG_INLINE void block(Index row, Index panel) const {
        Block<T, kRows, kPanels> sum;
        sum.read(init.data + panel * init.stride, init.stride, 0);
        add_product(sum, a1.data + row * kPanel, a1.stride, b1.data + panel * b1.stride, b1.stride, depth);
        add_product(sum, a2.data + row * kPanel, a2.stride, b2.data + panel * b2.stride, b2.stride, depth);
        sum.write(c.data + panel * c.stride + row * kPanel, c.stride);
    }
};

// C += A' B: A (depth, n_rows), B (depth, 16 n_panels), both in panels; C (n_rows, 16 n_panels). C = A' B with
// `is_first`, whatever C holds.
template <class T>
struct OuterProduct {
    Panels<const T> a;
    Panels<const T> b;
    Panels<T> c;
    Index depth;
    Index n_panels;
    bool is_first = false;
};

// The same with what the sums start from: C, or zeros.
template <class T>
struct OuterProductFrom {
    Panels<const T> a;
    Panels<const T> b;
    Panels<T> c;
    Index depth;
    Index n_panels;
    Panels<const T> start;
    int start_row;

    static constexpr Index kAtOnce = 4;  // steps of the depth in one turn of the loop

    template <int kRows, int kPanels>
    FASTPG_INLINE void block(Index row, Index panel) const {
        Block<T, kRows, kPanels> sum;
        sum.read(start.data + panel * start.stride + row * start_row, start.stride, start_row);
        const T* from_a = a.data + row / kPanel * a.stride + row % kPanel;
        const T* from_b = b.data + panel * b.stride;
        Index left = depth;
        for (; left >= kAtOnce; left -= kAtOnce) {
#pragma GCC unroll 16
            for (int k = 0; k < kAtOnce; ++k) {
                sum.template add_product<1>(from_a + k * kPanel, from_b + k * kPanel, b.stride);
            }
            from_a += kAtOnce * kPanel;
            from_b += kAtOnce * kPanel;
        }
        for (Index k = 0; k < left; ++k)
            sum.template add_product<1>(from_a + k * kPanel, from_b + k * kPanel, b.stride);
        sum.write(c.data + panel * c.stride + row * kPanel, c.stride);
    }
};

template <int kRows, int kPanels, class Task>
FASTPG_INLINE Index run_panels(const Task& task, Index first, Index last, Index panel) {
    for (; panel + kPanels <= task.n_panels; panel += kPanels) {
        for (Index row = first; row < last; row += kRows) task.template block<kRows, kPanels>(row, panel);
    }
    return panel;
}

// Rows first ... last in blocks of kRows, over all panels. Not inlined: one copy of each block shape is enough.
template <class T, int kRows, class Task>
__attribute__((noinline)) void run_rows(const Task& task, Index first, Index last) {
    constexpr int kWidest = panels_at_once<T>(kRows);
    Index panel = 0;
    if constexpr (kWidest >= 4) panel = run_panels<kRows, 4>(task, first, last, panel);
    if constexpr (kWidest >= 2) panel = run_panels<kRows, 2>(task, first, last, panel);
    run_panels<kRows, 1>(task, first, last, panel);
}

// Blocks of `rows` <= kRows rows.
template <class T, int kRows, class Task>
FASTPG_INLINE void run_blocks(const Task& task, Index first, Index last, Index rows) {
    if (rows == kRows) {
        if (first < last) run_rows<T, kRows>(task, first, last);
    } else if constexpr (kRows > 1) {
        run_blocks<T, kRows - 1>(task, first, last, rows);
    }
}

// Rows first ... last in as few blocks of at most kRows rows as possible, all as large as each other or one row larger:
// 64 = 9 * 6 + 2 * 5. A small block keeps the multiply-add units waiting.
template <class T, int kRows, class Task>
FASTPG_INLINE void run_range(const Task& task, Index first, Index last) {
    const Index n_rows = last - first;
    if (n_rows <= 0) return;
    const Index n_blocks = (n_rows + kRows - 1) / kRows;
    const Index rows = n_rows / n_blocks, n_larger = n_rows - n_blocks * rows;
    const Index middle = first + n_larger * (rows + 1);
    run_blocks<T, kRows>(task, first, middle, rows + 1);
    run_blocks<T, kRows>(task, middle, last, rows);
}

template <class T>
inline void multiply(const Product<T>& task, Index n_rows) {
    run_range<T, kMaxRows<T>>(task, 0, n_rows);
}

// In blocks of at most kRows rows.
template <int kRows, class T, class Epilogue>
inline void multiply_then(const Product<T, Epilogue>& task, Index n_rows) {
    run_range<T, kRows>(task, 0, n_rows);
}

// The 16 rows from `row` on in blocks of at most kMaxRows, of which `kLeft` rows are left.
template <class T, int kPanels, int kLeft, class Task>
FASTPG_INLINE void run_panel(const Task& task, Index row, Index panel) {
    if constexpr (kLeft > 0) {
        constexpr int kBlocks = (kLeft + kMaxRows<T> - 1) / kMaxRows<T>;
        constexpr int kRows = (kLeft + kBlocks - 1) / kBlocks;
        task.template block<kRows, kPanels>(row, panel);
        run_panel<T, kPanels, kLeft - kRows>(task, row + kRows, panel);
    }
}

// All panels of A beside kPanels of B at a time, which stay in the cache.
template <class T, int kPanels, class Task>
__attribute__((noinline)) Index run_columns(const Task& task, Index n_rows, Index panel) {
    for (; panel + kPanels <= task.n_panels; panel += kPanels) {
        for (Index row = 0; row < n_rows; row += kPanel) run_panel<T, kPanels, kPanel>(task, row, panel);
    }
    return panel;
}

// Blocks do not cross the panels of A.
template <class T>
inline void add_outer(const OuterProduct<T>& task, Index n_rows) {
    constexpr int kWidest = panels_at_once<T>(kMaxRows<T>);
    const Panels<const T> c{task.c.data, task.c.stride}, zeros{kZeros<T>, 0};
    const bool is_first = task.is_first;
    const OuterProductFrom<T> whole{
        task.a, task.b, task.c, task.depth, task.n_panels, is_first ? zeros : c, is_first ? 0 : kPanel};
    const Index whole_rows = n_rows / kPanel * kPanel;
    if (whole_rows > 0) {
        Index panel = 0;
        if constexpr (kWidest >= 4) panel = run_columns<T, 4>(whole, whole_rows, panel);
        if constexpr (kWidest >= 2) panel = run_columns<T, 2>(whole, whole_rows, panel);
        run_columns<T, 1>(whole, whole_rows, panel);
    }
    run_range<T, kMaxRows<T>>(whole, whole_rows, n_rows);
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
