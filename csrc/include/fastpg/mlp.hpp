// A multi-layer perceptron on tiles of at most 64 rows: y_{l+1} = activation(y_l W_l + b_l), no activation at the end.
//
// Parameters are repacked once per call (mlp_plan.hpp). The products of the last layer, with few outputs, are dot
// products of a row of activations, so that outputs lie [output][row]: lanes over the batch, ready for the losses.
// Padding is zero and stays zero: in activations (tanh(0) = relu(0) = 0), gradients and Adam's moments.
#pragma once

#include "fastpg/activations.hpp"
#include "fastpg/buffer.hpp"
#include "fastpg/elementary.hpp"
#include "fastpg/gemm.hpp"
#include "fastpg/mlp_plan.hpp"

#include <utility>

namespace fastpg {
namespace FASTPG_ISA {

constexpr Index kTileRows = 64;

// Lane L of a fold: groups of `group` lanes of a and b become groups of half the size, a's and b's in turn.
template <int kSize>
constexpr int fold_source(int lane, int group, bool upper) {
    const int half = group / 2;
    const int target = lane / half;
    return (target % 2) * kSize + target / 2 * group + (upper ? half : 0) + lane % half;
}

template <class T, int kGroup, bool kUpper, int... kLane>
FASTPG_INLINE Vec<T> fold_half(const Vec<T>& a, const Vec<T>& b, std::integer_sequence<int, kLane...>) {
#if defined(__clang__) || __GNUC__ >= 12
    return __builtin_shufflevector(a, b, fold_source<kLanes<T>>(kLane, kGroup, kUpper)...);
#else
    return __builtin_shuffle(a, b, IntVec<T>{fold_source<kLanes<T>>(kLane, kGroup, kUpper)...});
#endif
}

// rows[i] holds kGroup partial sums of each of kLanes / kGroup rows; the result holds in lane i the sum of row i.
template <class T, int kGroup>
FASTPG_INLINE Vec<T> fold_rows(const Vec<T>* rows) {
    if constexpr (kGroup == 1) {
        return rows[0];
    } else {
        constexpr int kHalf = kGroup / 2;
        constexpr std::make_integer_sequence<int, kLanes<T>> kSequence{};
        Vec<T> folded[kHalf];
#pragma GCC unroll 16
        for (int i = 0; i < kHalf; ++i) {
            folded[i] = fold_half<T, kGroup, false>(rows[i], rows[i + kHalf], kSequence) +
                        fold_half<T, kGroup, true>(rows[i], rows[i + kHalf], kSequence);
        }
        return fold_rows<T, kHalf>(folded);
    }
}

// Transposes the square matrix in rows[0 .. kLanes): swaps the off-diagonal quarters of every kGroup x kGroup block on
// the diagonal, then of the blocks half as large.
template <class T, int kGroup>
FASTPG_INLINE void exchange_halves(Vec<T>* rows) {
    if constexpr (kGroup > 1) {
        constexpr int kHalf = kGroup / 2;
        constexpr std::make_integer_sequence<int, kLanes<T>> kSequence{};
#pragma GCC unroll 16
        for (int i = 0; i < kLanes<T>; ++i) {
            if (i % kGroup >= kHalf) continue;
            const Vec<T> upper = fold_half<T, kGroup, false>(rows[i], rows[i + kHalf], kSequence);
            rows[i + kHalf] = fold_half<T, kGroup, true>(rows[i], rows[i + kHalf], kSequence);
            rows[i] = upper;
        }
        exchange_halves<T, kHalf>(rows);
    }
}

// 16 partial sums in kParts registers -> kLanes partial sums in one.
template <class T, int kCount>
FASTPG_INLINE void fold_parts(Vec<T>* part) {
    if constexpr (kCount > 1) {
#pragma GCC unroll 16
        for (int i = 0; i < kCount / 2; ++i) part[i] += part[i + kCount / 2];
        fold_parts<T, kCount / 2>(part);
    }
}

// Dot products of kRows neighbouring rows of activations with one row of weights, before the fold across lanes.
template <class T, int kRows>
FASTPG_INLINE void partial_dots(const Panels<const T>& rows, const T* weight, Index weight_stride, Index n_panels,
                                Vec<T>* dots) {
    Panel<T> sum[kRows] = {};
    for (Index p = 0; p < n_panels; ++p) {
        const Panel<T> w = load_panel(weight + p * weight_stride);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
            const Panel<T> x = load_panel(rows.data + p * rows.stride + r * kPanel);
#pragma GCC unroll 16
            for (int i = 0; i < kParts<T>; ++i) sum[r].part[i] = multiply_add<T>(x.part[i], w.part[i], sum[r].part[i]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
        fold_parts<T, kParts<T>>(sum[r].part);
        dots[r] = sum[r].part[0];
    }
}

template <class T>
FASTPG_INLINE Vec<T> partial_dot(const Panels<const T>& row, const T* weight, Index weight_stride, Index n_panels) {
    Vec<T> dot;
    partial_dots<T, 1>(row, weight, weight_stride, n_panels, &dot);
    return dot;
}

// The network on one tile, with every buffer that forward and backward need. Holds no parameters.
template <class T>
class MlpTile {
public:
    // For tiles of at most min(max_rows, 64) rows.
    MlpTile(const MlpPlan& plan, Index max_rows)
        : plan_(plan), capacity_(round_up(smaller(larger<Index>(max_rows, 1), kTileRows), kPanel)) {
        const Index n = plan.n_layers();
        Index widest = plan.last().out_panels();
        Index n_activations = 0, n_transposed = 0;
        activation_at_.reset(n);
        transposed_at_.reset(n);
        for (Index l = 0; l < n; ++l) {
            const Layer& layer = plan.layer(l);
            activation_at_.data()[l] = n_activations;
            transposed_at_.data()[l] = n_transposed;
            n_activations += layer.in_panels() * panel_stride();
            if (l > 0 && !layer.is_last) n_transposed += layer.in_panels() * layer.n_out * kPanel;
            widest = larger(widest, layer.in_panels());
        }
        own_activations_.reset(n_activations);
        activations_ = own_activations_.data();
        n_activations_ = n_activations;
        transposed_.reset(n_transposed);
        backward_weights_ = transposed_.data();
        gradient_a_.reset(widest * panel_stride());
        gradient_b_.reset(widest * panel_stride());
        outputs_.reset(plan.last().n_out * capacity_);
        output_gradient_.reset(plan.last().n_out * capacity_);
        zeros_.reset(kPanel);
    }

    Index capacity() const {
        return capacity_;
    }

    // Outputs and their gradient, [output][row], rows `capacity` apart. Rows beyond the tile's may hold anything in the
    // outputs; the gradient must be 0 there, up to the next multiple of 16.
    T* outputs() {
        return outputs_.data();
    }
    T* output_gradient() {
        return output_gradient_.data();
    }

    // Numbers that the activations of a tile take, inputs included; and where they lie from now on: zeroed memory of
    // the caller's, so that those of many tiles can be kept, or the tile's own if it is null.
    Index n_activations() const {
        return n_activations_;
    }
    void use_activations(T* activations) {
        activations_ = activations != nullptr ? activations : own_activations_.data();
    }

    // Loads rows index[0 .. n_rows) (or first_row ... if index is null) of `inputs` (B, O). Rows of a minibatch lie
    // anywhere: with `is_followed`, index has the rows of the next tile, too, which are asked for meanwhile.
    void load_inputs(const T* inputs, const std::int64_t* index, Index first_row, Index n_rows,
                     bool is_followed = false) {
        const Index n_in = plan_.layer(0).n_in;
        const auto row_at = [=](Index row) {
            return inputs + (index != nullptr ? static_cast<Index>(index[row]) : first_row + row) * n_in;
        };
        if (n_in < kPanel) {
            return by_short(n_in, [&](auto width) {
                T* to = activations_;
                for (Index row = 0; row < n_rows; ++row, to += kPanel) {
                    if (is_followed) prefetch_row(row_at(row + kTileRows), n_in);
                    copy_ends<decltype(width)::value>(row_at(row), n_in, to);
                }
            });
        }
        for (Index row = 0; row < n_rows; ++row) {
            if (is_followed) prefetch_row(row_at(row + kTileRows), n_in);
            const T* from = row_at(row);
            T* to = activations_ + row * kPanel;
            Index left = n_in;
            for (; left >= kPanel; left -= kPanel) {
                copy_panel(from, to);
                from += kPanel;
                to += panel_stride();
            }
            if (left > 0) copy_short(from, left, to);
        }
    }

    void forward(const T* packed, Index n_rows) {
        by_activation([&](auto function) {
            using Function = decltype(function);
            for (Index l = 0; l + 1 < plan_.n_layers(); ++l) {
                const Layer& layer = plan_.layer(l);
                const Product<T, Activate<T, Function>> task{input(l),
                                                             {packed + layer.at, layer.panel_stride()},
                                                             {packed + layer.bias_at(), layer.panel_stride()},
                                                             output(l),
                                                             layer.n_in,
                                                             layer.out_panels()};
                multiply_then<kActivatedRows<T, Function>>(task, n_rows);
            }
        });
        last_forward(packed, n_rows);
    }

    // Transposes the weights that `backward` multiplies with. Call it when the parameters have changed.
    void prepare_backward(const T* packed) {
        for (Index l = 1; l + 1 < plan_.n_layers(); ++l) {
            const Layer& layer = plan_.layer(l);
            T* to = transposed_.data() + transposed_at_.data()[l];
            for (Index p = 0; p < layer.in_panels(); ++p) {
                for (Index q = 0; q < layer.out_panels(); ++q) transpose(packed, layer, p, q, to);
            }
        }
    }

    // From now on `backward` multiplies with what `prepare_backward` of another tile of the same network transposes.
    void share_weights(const MlpTile& other) {
        backward_weights_ = other.transposed_.data();
    }

    // Adds the gradient of sum(outputs * output_gradient) to `gradient` (packed), or overwrites what is there, padding
    // apart. After `forward` on the same rows.
    void backward(const T* packed, Index n_rows, T* gradient, bool is_first = false) {
        Panels<T> current{gradient_a_.data(), panel_stride()};
        Panels<T> previous{gradient_b_.data(), panel_stride()};
        last_backward(n_rows, current, gradient, is_first);
        for (Index l = plan_.n_layers() - 1; l > 0; --l) {
            const Layer& below = plan_.layer(l - 1);
            by_activation([&](auto function) {
                pass_back<decltype(function)>(packed, l, current, previous, n_rows, gradient, is_first);
            });
            add_outer<T>({input(l - 1),
                          {previous.data, previous.stride},
                          {gradient + below.at, below.panel_stride()},
                          n_rows,
                          below.out_panels(),
                          is_first},
                         below.n_in);
            const Panels<T> swapped = current;
            current = previous;
            previous = swapped;
        }
    }

protected:
    Index panel_stride() const {
        return capacity_ * kPanel;
    }
    Panels<const T> input(Index l) const {
        return {activations_ + activation_at_.data()[l], panel_stride()};
    }
    Panels<T> output(Index l) {
        return {activations_ + activation_at_.data()[l + 1], panel_stride()};
    }

    static FASTPG_INLINE void prefetch_row(const T* row, Index n_in) {
        constexpr Index kLine = kCacheLine / static_cast<Index>(sizeof(T));
        for (Index i = 0; i < n_in; i += kLine) prefetch(row + i);
        prefetch(row + n_in - 1);
    }

    // Calls f with an object of the activation's class.
    template <class Function>
    FASTPG_INLINE void by_activation(Function f) const {
        if (plan_.activation() == Activation::kTanh) {
            f(Tanh<T>{});
        } else {
            f(Relu<T>{});
        }
    }

    // From the gradient by what layer l > 0 puts out to that by what the layer below puts in to its activation.
    template <class Function>
    void pass_back(const T* packed, Index l, const Panels<T>& current, const Panels<T>& previous, Index n_rows,
                   T* gradient, bool is_first) {
        const Layer& layer = plan_.layer(l);
        const Layer& below = plan_.layer(l - 1);
        const T* weight = layer.is_last ? packed + layer.at : backward_weights_ + transposed_at_.data()[l];
        const Product<T, Deactivate<T, Function>> task{
            {current.data, current.stride},
            {weight, layer.n_out * kPanel},
            {zeros_.data(), 0},
            previous,
            layer.n_out,
            layer.in_panels(),
            {input(l), {gradient + below.bias_at(), below.panel_stride()}, is_first}};
        multiply_then<kMaxRows<T>>(task, n_rows);
    }

    // dy <- dy * activation'(y), and its sum over rows is added to the gradient of the bias.
    void deactivate(const Panels<T>& dy, const Panels<T>& y, Index n_rows, const Layer& layer, T* gradient) {
        by_activation([&](auto function) {
            for (Index p = 0; p < layer.out_panels(); ++p) {
                T* bias = gradient + layer.bias_at() + p * layer.panel_stride();
                Panel<T> sum = load_panel(bias);
                T* d = dy.data + p * dy.stride;
                const T* h = y.data + p * y.stride;
                for (Index row = 0; row < n_rows; ++row) {
#pragma GCC unroll 16
                    for (int i = 0; i < kParts<T>; ++i) {
                        const Index at = row * kPanel + i * kLanes<T>;
                        const Vec<T> x = decltype(function)::chain(load(d + at), load(h + at));
                        store(d + at, x);
                        sum.part[i] += x;
                    }
                }
                store_panel(bias, sum);
            }
        });
    }

    // Some rows beyond the last one are computed as well: the tile has them.
    void last_forward(const T* packed, Index n_rows) {
        constexpr int kAtOnce = smaller(kLanes<T>, larger(8 / kParts<T>, 1));
        const Layer& layer = plan_.last();
        const Panels<const T> x = input(plan_.n_layers() - 1);
        for (Index o = 0; o < layer.n_out; ++o) {
            const T* weight = packed + layer.at + o * kPanel;
            const Vec<T> bias = splat(packed[layer.bias(o)]);
            for (Index row = 0; row < n_rows; row += kLanes<T>) {
                Vec<T> dots[kLanes<T>] = {};
#pragma GCC unroll 16
                for (int i = 0; i < kLanes<T>; i += kAtOnce) {
                    if (row + i >= n_rows) break;
                    partial_dots<T, kAtOnce>({x.data + (row + i) * kPanel, x.stride}, weight, layer.panel_stride(),
                                             layer.in_panels(), dots + i);
                }
                store(outputs_.data() + o * capacity_ + row, fold_rows<T, kLanes<T>>(dots) + bias);
            }
        }
    }

    // Gradient of the last layer; leaves the gradient of the outputs as panels in `rows`.
    void last_backward(Index n_rows, const Panels<T>& rows, T* gradient, bool is_first = false) {
        const Layer& layer = plan_.last();
        for (Index o = 0; o < layer.n_out; ++o) {
            const T* column = output_gradient_.data() + o * capacity_;
            const T sum = sum_of(column, round_up(n_rows, kPanel));
            T& bias = gradient[layer.bias(o)];
            bias = is_first ? sum : bias + sum;
            T* to = rows.data + o / kPanel * rows.stride + o % kPanel;
            for (Index row = 0; row < n_rows; ++row) to[row * kPanel] = column[row];
        }
        const Panels<const T> x = input(plan_.n_layers() - 1);
        add_outer<T>({{rows.data, rows.stride},
                      x,
                      {gradient + layer.at, layer.panel_stride()},
                      n_rows,
                      layer.in_panels(),
                      is_first},
                     layer.n_out);
    }

    // Block of weights (16 inputs p, 16 outputs q) into panel p of the transposed weight.
    static void transpose(const T* packed, const Layer& layer, Index p, Index q, T* to) {
        const T* from = packed + layer.at + q * layer.panel_stride() + p * kPanel * kPanel;
        T* target = to + (p * layer.n_out + q * kPanel) * kPanel;
        const Index n_in = smaller<Index>(kPanel, layer.n_in - p * kPanel);
        const Index n_out = smaller<Index>(kPanel, layer.n_out - q * kPanel);
        if (n_in == kPanel && n_out == kPanel) return transpose_whole(from, target);
        for (Index o = 0; o < n_out; ++o) {
            for (Index i = 0; i < n_in; ++i) target[o * kPanel + i] = from[i * kPanel + o];
        }
    }

    static void transpose_whole(const T* from, T* to) {
        constexpr int n = kLanes<T>;
        for (Index i = 0; i < kPanel; i += n) {
            for (Index o = 0; o < kPanel; o += n) {
                Vec<T> square[n];
#pragma GCC unroll 16
                for (int r = 0; r < n; ++r) square[r] = load(from + (i + r) * kPanel + o);
                exchange_halves<T, n>(square);
#pragma GCC unroll 16
                for (int r = 0; r < n; ++r) store(to + (o + r) * kPanel + i, square[r]);
            }
        }
    }

    const MlpPlan& plan_;
    Index capacity_;
    Index n_activations_;
    Buffer<Index> activation_at_;
    Buffer<Index> transposed_at_;
    T* activations_;             // inputs of layer 0, 1, ...
    const T* backward_weights_;  // transposed
    Buffer<T> own_activations_;
    Buffer<T> transposed_;
    Buffer<T> gradient_a_;
    Buffer<T> gradient_b_;
    Buffer<T> outputs_;
    Buffer<T> output_gradient_;
    Buffer<T> zeros_;
};

// Outputs (B, out) of dense parameters.
template <class T>
void mlp_forward(const MlpShape& shape, const MlpArgs<T>& a) {
    const MlpPlan plan(shape);
    Buffer<T> packed(plan.packed_size());
    plan.pack(a.params, packed.data());
    MlpTile<T> tile(plan, a.n_rows);
    const Index n_out = plan.last().n_out;
    for (Index first = 0; first < a.n_rows; first += kTileRows) {
        const Index n_rows = smaller(kTileRows, a.n_rows - first);
        tile.load_inputs(a.inputs, nullptr, first, n_rows);
        tile.forward(packed.data(), n_rows);
        for (Index row = 0; row < n_rows; ++row) {
            for (Index o = 0; o < n_out; ++o) {
                a.out[(first + row) * n_out + o] = tile.outputs()[o * tile.capacity() + row];
            }
        }
    }
}

// Gradient (P,) of sum(outputs * output_gradient).
template <class T>
void mlp_backward(const MlpShape& shape, const MlpArgs<T>& a) {
    const MlpPlan plan(shape);
    Buffer<T> packed(plan.packed_size());
    Buffer<T> gradient(plan.packed_size());
    plan.pack(a.params, packed.data());
    MlpTile<T> tile(plan, a.n_rows);
    tile.prepare_backward(packed.data());
    const Index n_out = plan.last().n_out;
    for (Index first = 0; first < a.n_rows; first += kTileRows) {
        const Index n_rows = smaller(kTileRows, a.n_rows - first);
        tile.load_inputs(a.inputs, nullptr, first, n_rows);
        tile.forward(packed.data(), n_rows);
        set_zero(tile.output_gradient(), n_out * tile.capacity());
        for (Index row = 0; row < n_rows; ++row) {
            for (Index o = 0; o < n_out; ++o) {
                tile.output_gradient()[o * tile.capacity() + row] = a.output_gradient[(first + row) * n_out + o];
            }
        }
        tile.backward(packed.data(), n_rows, gradient.data());
    }
    plan.unpack(gradient.data(), a.out);
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
