// The Fisher matrix on one tile of at most 64 rows: derivatives forward and backward, and the matrix M of the head.
#pragma once

#include "fastpg/clipped_loss.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// A tile that can also go forward along a direction, and backward without products with the activations.
template <class T>
class TangentTile : public MlpTile<T> {
public:
    using Base = MlpTile<T>;
    using Base::capacity;
    using Base::input;
    using Base::output;
    using Base::panel_stride;
    using Base::plan_;

    TangentTile(const MlpPlan& plan, Index max_rows) : Base(plan, max_rows) {
        Index widest = plan.last().out_panels();
        for (Index l = 0; l < plan.n_layers(); ++l) widest = larger(widest, plan.layer(l).in_panels());
        tangent_a_.reset(widest * panel_stride());
        tangent_b_.reset(widest * panel_stride());
    }

    // outputs() <- derivative of the outputs along `direction` (packed), at the activations in use.
    void tangent(const T* packed, const T* direction, Index n_rows) {
        Panels<T> below{tangent_a_.data(), panel_stride()};
        Panels<T> above{tangent_b_.data(), panel_stride()};
        for (Index l = 0; l + 1 < plan_.n_layers(); ++l) {
            const Layer& layer = plan_.layer(l);
            const Panels<const T> along{direction + layer.at, layer.panel_stride()};
            const Panels<const T> bias{direction + layer.bias_at(), layer.panel_stride()};
            if (l == 0) {
                multiply<T>({input(0), along, bias, above, layer.n_in, layer.out_panels()}, n_rows);
            } else {
                const SumOfProducts<T> task{
                    input(l), along,      {below.data, below.stride}, {packed + layer.at, layer.panel_stride()}, bias,
                    above,    layer.n_in, layer.out_panels()};
                run_range<T, kMaxRows<T>>(task, 0, n_rows);
            }
            differentiate(above, output(l), layer.out_panels(), n_rows);
            const Panels<T> swapped = below;
            below = above;
            above = swapped;
        }
        last_tangent(packed, direction, {below.data, below.stride}, n_rows);
    }

    // Calls visit(layer, dz) from the last layer to the first: dz (rows, outputs), in panels, is the derivative of
    // sum(outputs * output_gradient) by what the layer puts out before its activation.
    template <class Visit>
    void visit_deltas(const T* packed, Index n_rows, Visit visit) {
        Panels<T> current{this->gradient_a_.data(), panel_stride()};
        Panels<T> previous{this->gradient_b_.data(), panel_stride()};
        const Layer& last = plan_.last();
        for (Index o = 0; o < last.n_out; ++o) {
            const T* column = this->output_gradient() + o * capacity();
            T* to = current.data + o / kPanel * current.stride + o % kPanel;
            for (Index row = 0; row < n_rows; ++row) to[row * kPanel] = column[row];
        }
        visit(plan_.n_layers() - 1, current);
        for (Index l = plan_.n_layers() - 1; l > 0; --l) {
            const Layer& layer = plan_.layer(l);
            const T* weight =
                layer.is_last ? packed + layer.at : this->transposed_.data() + this->transposed_at_.data()[l];
            multiply<T>({{current.data, current.stride},
                         {weight, layer.n_out * kPanel},
                         {this->zeros_.data(), 0},
                         previous,
                         layer.n_out,
                         layer.in_panels()},
                        n_rows);
            differentiate(previous, output(l - 1), layer.in_panels(), n_rows);
            visit(l - 1, previous);
            const Panels<T> swapped = current;
            current = previous;
            previous = swapped;
        }
    }

private:
    // d <- d * activation'(y)
    void differentiate(const Panels<T>& d, const Panels<T>& y, Index n_panels, Index n_rows) const {
        const bool is_tanh = plan_.activation() == Activation::kTanh;
        for (Index p = 0; p < n_panels; ++p) {
            T* to = d.data + p * d.stride;
            const T* h = y.data + p * y.stride;
            for (Index i = 0; i < n_rows * kPanel; i += kLanes<T>) {
                const Vec<T> x = load(to + i), t = load(h + i);
                store(to + i, is_tanh ? x - x * (t * t) : select<T>(t > 0, x, Vec<T>{}));
            }
        }
    }

    void last_tangent(const T* packed, const T* direction, const Panels<const T>& tangent, Index n_rows) {
        const Layer& layer = plan_.last();
        const Index n_layers = plan_.n_layers();
        const Panels<const T> x = input(n_layers - 1);
        for (Index o = 0; o < layer.n_out; ++o) {
            const T* weight = packed + layer.at + o * kPanel;
            const T* along = direction + layer.at + o * kPanel;
            const Vec<T> bias = splat(direction[layer.bias(o)]);
            for (Index row = 0; row < n_rows; row += kLanes<T>) {
                Vec<T> dots[kLanes<T>];
#pragma GCC unroll 16
                for (int i = 0; i < kLanes<T>; ++i) {
                    dots[i] = Vec<T>{};
                    if (row + i >= n_rows) continue;
                    const Index at = (row + i) * kPanel;
                    dots[i] = partial_dot<T>({x.data + at, x.stride}, along, layer.panel_stride(), layer.in_panels());
                    if (n_layers == 1) continue;
                    dots[i] += partial_dot<T>({tangent.data + at, tangent.stride}, weight, layer.panel_stride(),
                                              layer.in_panels());
                }
                store(this->outputs() + o * capacity() + row, fold_rows<T, kLanes<T>>(dots) + bias);
            }
        }
    }

    Buffer<T> tangent_a_;
    Buffer<T> tangent_b_;
};

// What M needs of one tile, [k][row], and the products with M.
//
// `moments` (K columns) is p, p (1 - p) or 1 / deviation^2; for the empirical matrix the score by the head inputs, with
// `log_std_scores` (D columns) beside it.
template <class T>
struct HeadMetric {
    HeadShape shape;
    bool is_empirical;
    Index stride;

    Index n_log_std() const {
        return shape.kind == HeadKind::kGaussian ? shape.n_actions : 0;
    }
    Index n_factors() const {
        return is_empirical ? 1 : shape.n_inputs;
    }
    // Numbers to keep for a tile.
    Index size() const {
        return (shape.n_inputs + n_log_std()) * stride;
    }
    T* log_std_scores(T* moments) const {
        return moments + shape.n_inputs * stride;
    }

    // Fills `moments` from a head whose inputs, and actions, are loaded; `ones` holds a tile of ones.
    void prepare(HeadTile<T>& head, const T* log_std, const T* ones, Index n_rows, T* moments) const {
        const HeadColumns<T>& c = head.columns();
        head.evaluate(n_rows);
        if (is_empirical) {
            head.differentiate(ones, T{0}, n_rows);
            copy(c.scratch, n_log_std() * stride, log_std_scores(moments));
        }
        for (Index k = 0; k < shape.n_inputs; ++k) {
            const T* g = c.g + k * stride;
            T* to = moments + k * stride;
            for (Index i = 0; i < n_rows; i += kLanes<T>) {
                Vec<T> moment = load(g + i);
                if (!is_empirical && shape.kind == HeadKind::kBernoulli) moment = moment * (1 - moment);
                if (!is_empirical && shape.kind == HeadKind::kGaussian) moment = vec_exp<T>(splat(-2 * log_std[k]));
                store(to + i, moment);
            }
        }
    }

    // u <- M t, both [k][row]; zero beyond n_rows.
    void multiply(const T* moments, const T* t, T* u, Index n_rows) const {
        Index first = 0;
        for (Index d = 0; d < shape.n_actions; ++d) {
            const Index size = shape.sizes[d];
            for (Index i = 0; i < n_rows; i += kLanes<T>) {
                Vec<T> mean{};
                if (shape.kind == HeadKind::kCategorical) mean = dot_columns(moments, t, first, size, i);
                for (Index k = first; k < first + size; ++k) {
                    store(u + k * stride + i, load(moments + k * stride + i) * (load(t + k * stride + i) - mean));
                }
            }
            first += size;
        }
        clear_tail(u, n_rows);
    }

    // The same for the empirical matrix, which also has a part by log_std: v_log_std in, added to log_std_sum.
    void multiply_empirical(T* moments, const T* t, const T* v_log_std, T* u, T* along, Index n_rows,
                            T* log_std_sum) const {
        T* scores = log_std_scores(moments);
        for (Index i = 0; i < n_rows; i += kLanes<T>) {
            Vec<T> sum = dot_columns(moments, t, 0, shape.n_inputs, i);
            for (Index d = 0; d < n_log_std(); ++d) sum += load(scores + d * stride + i) * v_log_std[d];
            store(along + i, sum);
            for (Index k = 0; k < shape.n_inputs; ++k) {
                store(u + k * stride + i, load(moments + k * stride + i) * sum);
            }
        }
        clear_tail(u, n_rows);
        const Index padded = round_up(n_rows, kPanel);
        set_zero(along + n_rows, padded - n_rows);
        for (Index d = 0; d < n_log_std(); ++d) {
            T* column = scores + d * stride;
            set_zero(column + n_rows, padded - n_rows);
            log_std_sum[d] += sum_terms<T>(padded, [=](Index i) { return load(column + i) * load(along + i); });
        }
    }

    // u <- factor r of M by the head inputs: sqrt(p_r) (e_r - p) within its dimension, sqrt(moment) e_r, or the score.
    void factor(const T* moments, Index r, T* u, Index n_rows) const {
        Index first = 0;
        for (Index d = 0; d < shape.n_actions; ++d) {
            const Index end = first + shape.sizes[d];
            for (Index k = first; k < end; ++k) {
                for (Index row = 0; row < n_rows; ++row) {
                    const T moment = moments[k * stride + row];
                    T value = T{0};
                    if (is_empirical) {
                        value = moment;
                    } else if (r >= first && r < end && shape.kind == HeadKind::kCategorical) {
                        value = square_root(moments[r * stride + row]) * ((k == r ? T{1} : T{0}) - moment);
                    } else if (r == k) {
                        value = square_root(moment);
                    }
                    u[k * stride + row] = value;
                }
            }
            first = end;
        }
        clear_tail(u, n_rows);
    }

private:
    FASTPG_INLINE Vec<T> dot_columns(const T* a, const T* b, Index first, Index size, Index i) const {
        Vec<T> sum{};
        for (Index k = first; k < first + size; ++k) sum += load(a + k * stride + i) * load(b + k * stride + i);
        return sum;
    }

    void clear_tail(T* columns, Index n_rows) const {
        const Index tail = round_up(n_rows, kPanel) - n_rows;
        for (Index k = 0; k < shape.n_inputs; ++k) set_zero(columns + k * stride + n_rows, tail);
    }
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
