// The Fisher matrix on one tile of at most 64 rows: derivatives forward and backward, and the matrix M of the head.
#pragma once

#include "fastpg/clipped_loss.hpp"
#include "fastpg/fisher_products.hpp"

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
        Index widest = plan.last().out_panels(), all = 0;
        for (Index l = 0; l < plan.n_layers(); ++l) {
            widest = larger(widest, plan.layer(l).in_panels());
            all += plan.layer(l).out_panels();
        }
        tangent_a_.reset(widest * panel_stride());
        tangent_b_.reset(widest * panel_stride());
        if (n_kept() > 0) all_.reset(all * panel_stride());
    }

    // With few outputs K the derivatives dz_k of every output by the hidden layers below the last hidden one, kept once
    // for a tile, replace the products with those layers' weights in both directions: 2 K n multiply-adds for n units
    // in place of two products. Numbers to keep for a tile, [k][panel][row]; 0 where it is not worth it.
    Index n_kept() const {
        Index n_units = 0, n_weights = 0;
        for (Index l = 0; l + 2 < plan_.n_layers(); ++l) {
            n_units += plan_.layer(l).n_out;
            n_weights += plan_.layer(l + 1).n_in * plan_.layer(l + 1).n_out;
        }
        const Index n_outputs = plan_.last().n_out;
        return n_outputs <= kMaxDotOutputs && 2 * n_outputs * n_units < n_weights
                   ? n_outputs * kept_panels() * panel_stride()
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
                T* to = kept + (k * kept_panels() + first_panel(l)) * panel_stride();
                for (Index p = 0; p < plan_.layer(l).out_panels(); ++p) {
                    copy(dz.data + p * dz.stride, n_rows * kPanel, to + p * panel_stride());
                }
            });
        }
    }

    // As `tangent`, with the derivatives kept.
    void tangent_by_kept(const T* packed, const T* direction, const LastLayer<T>& last, const T* kept, Index n_rows) {
        const Index l_top = plan_.n_layers() - 2;
        multiply_hidden(direction, kept, n_rows);
        const Panels<T> below = hidden(0), top = hidden(l_top);
        differentiate(top, output(l_top), plan_.layer(l_top).out_panels(), n_rows);
        const OutputWeights<T> terms[] = {
            {{below.data, below.stride}, kept, kPanel, kept_panels() * panel_stride(), panel_stride(), kept_panels()},
            last_weights(direction, input(plan_.n_layers() - 1)),
            last_weights(packed, {top.data, top.stride})};
        if (plan_.last().n_out > kFewOutputs) {
            last_tangent(last, {top.data, top.stride}, n_rows);
            add_dots(terms, 1, n_rows);
        } else {
            set_bias(direction, n_rows);
            add_dots(terms, 3, n_rows);
        }
    }

    // As `backward`, with the derivatives kept.
    void backward_by_kept(const T* packed, const T* kept, Index n_rows, T* gradient) {
        const Index l_top = plan_.n_layers() - 2;
        this->last_backward(n_rows, {this->gradient_a_.data(), panel_stride()}, gradient);
        for (Index l = l_top; l >= 0; --l) {
            const Layer& layer = plan_.layer(l);
            if (l == l_top) {
                combine(last_weights(packed, {nullptr, 0}), l, n_rows, gradient);
            } else {
                const T* weight = kept + first_panel(l) * panel_stride();
                combine({{nullptr, 0}, weight, kPanel, kept_panels() * panel_stride(), panel_stride(), 0}, l, n_rows,
                        gradient);
            }
            const Panels<T> dz = hidden(l);
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
            plan_.activation() == Activation::kTanh ? add_layer<true>(packed, direction, l, below, above, n_rows)
                                                    : add_layer<false>(packed, direction, l, below, above, n_rows);
            const Panels<T> swapped = below;
            below = above;
            above = swapped;
        }
        const Panels<const T> top{below.data, below.stride};
        if (plan_.last().n_out > kFewOutputs) return last_tangent(last, top, n_rows);
        const OutputWeights<T> terms[] = {last_weights(direction, input(plan_.n_layers() - 1)),
                                          last_weights(packed, top)};
        set_bias(direction, n_rows);
        add_dots(terms, plan_.n_layers() > 1 ? 2 : 1, n_rows);
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
    // Of a tile's derivatives, for them to fit beside the weights into a second level of cache of 512 kB.
    static constexpr Index kMaxFetchedBytes = 128 * 1024;

    // For the rows of several outputs to be in use at once.
    static constexpr Index kFewPanels = 8;

    // Of the last layer, for dot products to be less work than lanes over the outputs.
    static constexpr Index kFewOutputs = 4;

    // above <- derivative of what hidden layer l puts out, below being that of its inputs.
    template <bool kIsTanh>
    void add_layer(const T* packed, const T* direction, Index l, const Panels<T>& below, const Panels<T>& above,
                   Index n_rows) {
        const Layer& layer = plan_.layer(l);
        const Index stride = layer.panel_stride();
        const Panels<T> y = output(l);
        const TangentProduct<T, kIsTanh> task{input(l),
                                              {direction + layer.at, stride},
                                              {below.data, below.stride},
                                              {packed + layer.at, stride},
                                              {direction + layer.bias_at(), stride},
                                              {y.data, y.stride},
                                              above,
                                              layer.n_in,
                                              l > 0 ? layer.n_in : 0,
                                              layer.out_panels()};
        run_range<T, kMaxRows<T>>(task, 0, n_rows);
    }

    // d <- d * activation'(y)
    void differentiate(const Panels<T>& d, const Panels<T>& y, Index n_panels, Index n_rows) const {
        const bool is_tanh = plan_.activation() == Activation::kTanh;
        for (Index p = 0; p < n_panels; ++p) {
            T* to = d.data + p * d.stride;
            const T* h = y.data + p * y.stride;
            for (Index i = 0; i < n_rows * kPanel; i += kLanes<T>) {
                const Vec<T> x = load(to + i), t = load(h + i);
                store(to + i, is_tanh ? Tanh<T>::chain(x, t) : Relu<T>::chain(x, t));
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

    // Panels of all hidden layers below layer l, one after the other; those below the last hidden one are kept.
    Index first_panel(Index l) const {
        Index n = 0;
        for (Index i = 0; i < l; ++i) n += plan_.layer(i).out_panels();
        return n;
    }
    Index kept_panels() const {
        return first_panel(plan_.n_layers() - 2);
    }
    // What a product with the derivatives kept has of hidden layer l.
    Panels<T> hidden(Index l) {
        return {all_.data() + first_panel(l) * panel_stride(), panel_stride()};
    }

    // The weights of the last layer out of `packed`, for rows x of its inputs.
    OutputWeights<T> last_weights(const T* packed, const Panels<const T>& x) const {
        const Layer& last = plan_.last();
        return {x, packed + last.at, 0, kPanel, last.panel_stride(), last.in_panels()};
    }

    // hidden(l) <- what every hidden layer puts out before its activation, with `direction` for its parameters; fetches
    // the derivatives kept.
    void multiply_hidden(const T* direction, const T* kept, Index n_rows) {
        const Index n_hidden = plan_.n_layers() - 1;
        Index n_steps = 0;
        for (Index l = 0; l < n_hidden; ++l) {
            n_steps += plan_.layer(l).in_panels() * plan_.layer(l).out_panels() * (n_rows / kMaxRows<T> + 1);
        }
        const bool is_fetching = n_kept() * static_cast<Index>(sizeof(T)) <= kMaxFetchedBytes;
        const T* end = is_fetching ? kept + n_kept() : kept;
        const Index share = n_kept() / FetchingProduct<T>::kLine / n_steps + 1;
        for (Index l = 0; l < n_hidden; ++l) {
            const FetchingProduct<T> task{along(direction, l, hidden(l)), plan_.layer(l).out_panels(), share, &kept,
                                          end};
            run_range<T, kMaxRows<T>>(task, 0, n_rows);
        }
    }

    // outputs() <- the last layer's bias.
    void set_bias(const T* packed, Index n_rows) {
        for (Index o = 0; o < plan_.last().n_out; ++o) {
            T* to = this->outputs() + o * capacity();
            const Vec<T> bias = splat(packed[plan_.last().bias(o)]);
            for (Index row = 0; row < n_rows; row += kLanes<T>) store(to + row, bias);
        }
    }

    // outputs() += dot products.
    void add_dots(const OutputWeights<T>* terms, int n_terms, Index n_rows) {
        // Panels of a tile start a page apart and share their place in the first level of cache.
        const Index n_out = terms[0].n_panels <= kFewPanels ? plan_.last().n_out : 0;
        Index k = 0;
        for (; k + 4 <= n_out; k += 4) add_dots<4>(terms, n_terms, n_rows, k);
        for (; k + 2 <= n_out; k += 2) add_dots<2>(terms, n_terms, n_rows, k);
        for (; k < plan_.last().n_out; ++k) add_dots<1>(terms, n_terms, n_rows, k);
    }

    template <int kOutputs>
    void add_dots(const OutputWeights<T>* terms, int n_terms, Index n_rows, Index k) {
        for (Index row = 0; row < n_rows; row += kLanes<T>) {
            T* to = this->outputs() + k * capacity() + row;
            add_output_dots<T, kOutputs>(terms, n_terms, row, n_rows, k, to, capacity());
        }
    }

    // hidden(l) <- sum over outputs k of output_gradient()_k times weights_k; of the last hidden layer times the
    // derivative of its activation. Its sum over rows is added to the gradient of the bias.
    void combine(const OutputWeights<T>& weights, Index l, Index n_rows, T* gradient) {
        T* bias = gradient + plan_.layer(l).bias_at();
        if (l + 2 < plan_.n_layers()) {
            combine(weights, l, n_rows, bias, [](const Vec<T>& x, const Vec<T>&) { return x; });
        } else if (plan_.activation() == Activation::kTanh) {
            combine(weights, l, n_rows, bias, [](const Vec<T>& x, const Vec<T>& t) { return Tanh<T>::chain(x, t); });
        } else {
            combine(weights, l, n_rows, bias, [](const Vec<T>& x, const Vec<T>& t) { return Relu<T>::chain(x, t); });
        }
    }

    template <class Derivative>
    void combine(const OutputWeights<T>& weights, Index l, Index n_rows, T* bias, Derivative derivative) {
        const Layer& layer = plan_.layer(l);
        Index p = 0;
        for (; p + 2 <= layer.out_panels(); p += 2) combine_panels<2>(weights, l, p, n_rows, bias, derivative);
        if (p < layer.out_panels()) combine_panels<1>(weights, l, p, n_rows, bias, derivative);
    }

    template <int kPanels, class Derivative>
    FASTPG_INLINE void combine_panels(const OutputWeights<T>& weights, Index l, Index p, Index n_rows, T* bias,
                                      Derivative derivative) {
        const Panels<T> y = output(l), dz = hidden(l);
        Panel<T> total[kPanels];
        bias += p * plan_.layer(l).panel_stride();
#pragma GCC unroll 2
        for (int q = 0; q < kPanels; ++q) total[q] = load_panel(bias + q * plan_.layer(l).panel_stride());
        for (Index row = 0; row < n_rows; ++row) {
            Panel<T> sum[kPanels]{};
            add_combined(weights, row, p, sum);
#pragma GCC unroll 2
            for (int q = 0; q < kPanels; ++q) {
                const Panel<T> activation = load_panel(y.data + (p + q) * y.stride + row * kPanel);
                T* to = dz.data + (p + q) * dz.stride + row * kPanel;
#pragma GCC unroll 16
                for (int i = 0; i < kParts<T>; ++i) {
                    const Vec<T> x = derivative(sum[q].part[i], activation.part[i]);
                    store(to + i * kLanes<T>, x);
                    total[q].part[i] += x;
                }
            }
        }
#pragma GCC unroll 2
        for (int q = 0; q < kPanels; ++q) {
            T* to = bias + q * plan_.layer(l).panel_stride();
#pragma GCC unroll 16
            for (int i = 0; i < kParts<T>; ++i) store(to + i * kLanes<T>, total[q].part[i]);
        }
    }

    template <int kPanels>
    FASTPG_INLINE void add_combined(const OutputWeights<T>& weights, Index row, Index p, Panel<T> (&sum)[kPanels]) {
        const T* from = weights.weight + row * weights.row_stride + p * weights.panel_stride;
        const T* u = this->output_gradient() + row;
        for (Index k = 0; k < plan_.last().n_out; ++k, u += capacity(), from += weights.output_stride) {
            const Vec<T> factor = splat(*u);
#pragma GCC unroll 2
            for (int q = 0; q < kPanels; ++q) {
#pragma GCC unroll 16
                for (int i = 0; i < kParts<T>; ++i) {
                    const Vec<T> weight = load(from + q * weights.panel_stride + i * kLanes<T>);
                    sum[q].part[i] = multiply_add<T>(factor, weight, sum[q].part[i]);
                }
            }
        }
    }

    // outputs() <- the last layer's part. Many outputs: lanes over them, then into columns.
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
    Buffer<T> all_;  // of every hidden layer
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
            for (Index d = 0; d < n_log_std(); ++d)
                sum = multiply_add<T>(load(scores + d * stride + i), v_log_std[d], sum);
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
            log_std_sum[d] += sum_of_products(column, along, padded);
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
        for (Index k = first; k < first + size; ++k) {
            sum = multiply_add<T>(load(a + k * stride + i), load(b + k * stride + i), sum);
        }
        return sum;
    }

    void clear_tail(T* columns, Index n_rows) const {
        const Index tail = round_up(n_rows, kPanel) - n_rows;
        for (Index k = 0; k < shape.n_inputs; ++k) set_zero(columns + k * stride + n_rows, tail);
    }
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
