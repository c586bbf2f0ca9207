// The Fisher matrix on one tile of at most 64 rows: derivatives forward and backward, and the matrix M of the head.
#pragma once

#include "fastpg/clipped_loss.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// The last layer's weights and their direction with lanes over the outputs: panels of (inputs + 1) rows, the last one
// the bias.
template <class T>
struct LastLayer {
    const T* weight;
    const T* along;
};

template <class T>
inline void turn_last_layer(const Layer& layer, const T* packed, T* to) {
    for (Index o = 0; o < layer.n_out; ++o) {
        T* column = to + o / kPanel * (layer.n_in + 1) * kPanel + o % kPanel;
        for (Index i = 0; i < layer.n_in; ++i) column[i * kPanel] = packed[layer.weight(i, o)];
        column[layer.n_in * kPanel] = packed[layer.bias(o)];
    }
}

// A tile that can also go forward along a direction, and backward without products with the activations.
template <class T>
class FisherTile : public MlpTile<T> {
public:
    using Base = MlpTile<T>;
    using Base::capacity;
    using Base::input;
    using Base::output;
    using Base::panel_stride;
    using Base::plan_;

    FisherTile(const MlpPlan& plan, Index max_rows) : Base(plan, max_rows) {
        Index widest = plan.last().out_panels();
        for (Index l = 0; l < plan.n_layers(); ++l) widest = larger(widest, plan.layer(l).in_panels());
        tangent_a_.reset(widest * panel_stride());
        tangent_b_.reset(widest * panel_stride());
    }

    // With few outputs K the derivatives dz_k of every output by the hidden layers below the last hidden one, kept once
    // for a tile, replace the products with those layers' weights in both directions: 2 K n multiply-adds for n units
    // in place of two products. Numbers to keep for a tile; 0 where it is not worth it.
    Index n_kept() const {
        Index n_units = 0, n_weights = 0, n_panels = 0;
        for (Index l = 0; l + 2 < plan_.n_layers(); ++l) {
            n_units += plan_.layer(l).n_out;
            n_panels += plan_.layer(l).out_panels();
            n_weights += plan_.layer(l + 1).n_in * plan_.layer(l + 1).n_out;
        }
        const Index n_outputs = plan_.last().n_out;
        return n_outputs <= kMaxKeptOutputs && 2 * n_outputs * n_units < n_weights
                   ? n_outputs * n_panels * panel_stride()
                   : 0;
    }

    // Fills `kept` at the activations in use.
    void keep_derivatives(const T* packed, Index n_rows, T* kept) {
        const Index n_outputs = plan_.last().n_out;
        for (Index k = 0; k < n_outputs; ++k) {
            for (Index o = 0; o < n_outputs; ++o) {
                T* column = this->output_gradient() + o * capacity();
                for (Index row = 0; row < n_rows; ++row) column[row] = o == k ? T{1} : T{0};
            }
            visit_deltas(packed, n_rows, [&](Index l, const Panels<T>& dz) {
                if (l + 2 >= plan_.n_layers()) return;
                const Panels<T> to = kept_panels(kept, l, k);
                for (Index p = 0; p < plan_.layer(l).out_panels(); ++p) {
                    copy(dz.data + p * dz.stride, n_rows * kPanel, to.data + p * to.stride);
                }
            });
        }
    }

    // As `tangent`, with the derivatives kept.
    void tangent_by_kept(const T* direction, const LastLayer<T>& last, T* kept, Index n_rows) {
        const Panels<T> s{tangent_a_.data(), panel_stride()};
        const Panels<T> top{tangent_b_.data(), panel_stride()};
        const Index l_top = plan_.n_layers() - 2;
        multiply<T>(along(direction, l_top, top), n_rows);
        differentiate(top, output(l_top), plan_.layer(l_top).out_panels(), n_rows);
        last_tangent(last, {top.data, top.stride}, n_rows);
        for (Index l = 0; l < l_top; ++l) {
            multiply<T>(along(direction, l, s), n_rows);
            add_dots(s, kept, l, n_rows);
        }
    }

    // As `backward`, with the derivatives kept.
    void backward_by_kept(const T* packed, T* kept, Index n_rows, T* gradient) {
        const Panels<T> u{this->gradient_a_.data(), panel_stride()};
        const Panels<T> dz{this->gradient_b_.data(), panel_stride()};
        this->last_backward(n_rows, u, gradient);
        const Layer& last = plan_.last();
        multiply<T>({{u.data, u.stride},
                     {packed + last.at, last.n_out * kPanel},
                     {this->zeros_.data(), 0},
                     dz,
                     last.n_out,
                     last.in_panels()},
                    n_rows);
        for (Index l = plan_.n_layers() - 2; l >= 0; --l) {
            const Layer& layer = plan_.layer(l);
            if (l + 2 < plan_.n_layers()) {
                combine(u, kept, l, dz, n_rows, gradient);
            } else {
                this->deactivate(dz, output(l), n_rows, layer, gradient);
            }
            add_outer<T>({input(l),
                          {dz.data, dz.stride},
                          {gradient + layer.at, layer.panel_stride()},
                          n_rows,
                          layer.out_panels()},
                         layer.n_in);
        }
    }

    // outputs() <- derivative of the outputs along `direction` (packed), at the activations in use.
    void tangent(const T* packed, const T* direction, const LastLayer<T>& last, Index n_rows) {
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
        last_tangent(last, {below.data, below.stride}, n_rows);
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

    // c <- what layer l puts out before its activation, with `direction` for its parameters.
    Product<T> along(const T* direction, Index l, const Panels<T>& c) const {
        const Layer& layer = plan_.layer(l);
        const Index stride = layer.panel_stride();
        return {input(l),          {direction + layer.at, stride}, {direction + layer.bias_at(), stride}, c, layer.n_in,
                layer.out_panels()};
    }

    static constexpr Index kMaxKeptOutputs = 8;  // so that they take about as much memory as the activations

    // Derivative of output k by what layer l puts out before its activation.
    Panels<T> kept_panels(T* kept, Index l, Index k) const {
        Index before = 0, all = 0;
        for (Index i = 0; i + 2 < plan_.n_layers(); ++i) {
            if (i < l) before += plan_.layer(i).out_panels();
            all += plan_.layer(i).out_panels();
        }
        return {kept + (k * all + before) * panel_stride(), panel_stride()};
    }

    // outputs() += dot products of s with the derivatives kept for layer l.
    void add_dots(const Panels<T>& s, T* kept, Index l, Index n_rows) {
        const Index n_panels = plan_.layer(l).out_panels();
        for (Index k = 0; k < plan_.last().n_out; ++k) {
            const Panels<T> dz = kept_panels(kept, l, k);
            T* column = this->outputs() + k * capacity();
            for (Index row = 0; row < n_rows; row += kLanes<T>) {
                Vec<T> dots[kLanes<T>];
#pragma GCC unroll 16
                for (int i = 0; i < kLanes<T>; ++i) {
                    const Index at = (row + i) * kPanel;
                    dots[i] = row + i < n_rows
                                  ? partial_dot<T>({s.data + at, s.stride}, dz.data + at, dz.stride, n_panels)
                                  : Vec<T>{};
                }
                store(column + row, load(column + row) + fold_rows<T, kLanes<T>>(dots));
            }
        }
    }

    // dz <- sum over outputs of u_k times the derivatives kept for layer l; its sum over rows is added to the bias.
    void combine(const Panels<T>& u, T* kept, Index l, const Panels<T>& dz, Index n_rows, T* gradient) {
        const Layer& layer = plan_.layer(l);
        const Panels<T> first = kept_panels(kept, l, 0);
        const Index output_stride = plan_.last().n_out > 1 ? kept_panels(kept, l, 1).data - first.data : 0;
        for (Index p = 0; p < layer.out_panels(); ++p) {
            T* bias = gradient + layer.bias_at() + p * layer.panel_stride();
            Panel<T> total = load_panel(bias);
            for (Index row = 0; row < n_rows; ++row) {
                const Index at = p * first.stride + row * kPanel;
                Panel<T> sum{};
                for (Index k = 0; k < plan_.last().n_out; ++k) {
                    const Vec<T> factor = splat(u.data[row * kPanel + k]);
                    const Panel<T> term = load_panel(first.data + k * output_stride + at);
#pragma GCC unroll 16
                    for (int i = 0; i < kParts<T>; ++i) sum.part[i] += factor * term.part[i];
                }
#pragma GCC unroll 16
                for (int i = 0; i < kParts<T>; ++i) {
                    store(dz.data + p * dz.stride + row * kPanel + i * kLanes<T>, sum.part[i]);
                    total.part[i] += sum.part[i];
                }
            }
#pragma GCC unroll 16
            for (int i = 0; i < kParts<T>; ++i) store(bias + i * kLanes<T>, total.part[i]);
        }
    }

    // outputs() <- the last layer's part. Few outputs: lanes over the outputs, then into columns.
    void last_tangent(const LastLayer<T>& weights, const Panels<const T>& tangent, Index n_rows) {
        const Layer& layer = plan_.last();
        const Index stride = (layer.n_in + 1) * kPanel;
        const Panels<const T> along{weights.along, stride}, weight{weights.weight, stride};
        const Panels<const T> bias{weights.along + layer.n_in * kPanel, stride};
        const Panels<const T> x = input(plan_.n_layers() - 1);
        const Panels<T> result{this->gradient_a_.data(), panel_stride()};
        if (plan_.n_layers() == 1) {
            multiply<T>({x, along, bias, result, layer.n_in, layer.out_panels()}, n_rows);
        } else {
            const SumOfProducts<T> task{x, along, tangent, weight, bias, result, layer.n_in, layer.out_panels()};
            run_range<T, kMaxRows<T>>(task, 0, n_rows);
        }
        for (Index o = 0; o < layer.n_out; ++o) {
            const T* from = result.data + o / kPanel * result.stride + o % kPanel;
            T* to = this->outputs() + o * capacity();
            for (Index row = 0; row < n_rows; ++row) to[row] = from[row * kPanel];
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
