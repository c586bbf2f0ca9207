// A multi-layer perceptron and its derivative along a direction of the parameters, on tiles of at most 64 rows: what a
// product with a Hessian needs. R x is the derivative of x along the direction.
//
// Weights of every layer, the last one included, lie in panels over outputs. Sums of two products are one product of
// twice the depth: activations Y and R Y lie one after the other, and so do dW above W (forward) and dW' above W'
// (backward), each padded with zero rows to a multiple of 16:
//   R Z = db + [Y, R Y] [dW; W]        R(dZ W') = [dZ, R dZ] [dW'; W']
#pragma once

#include "fastpg/mlp.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// One weight matrix and its direction, packed; n_in inputs, n_out outputs.
template <class T>
class TangentLayer {
public:
    void pack(const T* dense, const T* direction, Index n_in, Index n_out) {
        n_in_ = n_in;
        n_out_ = n_out;
        bias_.reset(round_up(n_out, kPanel));
        bias_dot_.reset(round_up(n_out, kPanel));
        stacked_.reset(panels(n_out) * stacked_stride());
        transposed_.reset(panels(n_in) * transposed_stride());
        product_.reset(panels(n_out) * product_stride());
        copy(dense + n_in * n_out, n_out, bias_.data());
        copy(direction + n_in * n_out, n_out, bias_dot_.data());
        pack_into(direction, 0, 0);
        pack_into(dense, round_up(n_in, kPanel), round_up(n_out, kPanel));
    }

    Index n_in() const {
        return n_in_;
    }
    Index n_out() const {
        return n_out_;
    }
    static Index panels(Index n) {
        return (n + kPanel - 1) / kPanel;
    }

    Panels<const T> weight() const {
        return {stacked_.data() + round_up(n_in_, kPanel) * kPanel, stacked_stride()};
    }
    Panels<const T> stacked() const {
        return {stacked_.data(), stacked_stride()};
    }
    Index stacked_depth() const {
        return round_up(n_in_, kPanel) + n_in_;
    }
    Panels<const T> transposed_weight() const {
        return {transposed_.data() + round_up(n_out_, kPanel) * kPanel, transposed_stride()};
    }
    Panels<const T> transposed_stacked() const {
        return {transposed_.data(), transposed_stride()};
    }
    Index transposed_depth() const {
        return round_up(n_out_, kPanel) + n_out_;
    }
    Panels<const T> bias() const {
        return {bias_.data(), kPanel};
    }
    Panels<const T> bias_dot() const {
        return {bias_dot_.data(), kPanel};
    }

    // R of the gradient: panels over outputs of n_in rows, then one row for the bias.
    Panels<T> product() {
        return {product_.data(), product_stride()};
    }
    T* bias_product(Index panel) {
        return product_.data() + panel * product_stride() + n_in_ * kPanel;
    }

    void unpack_product(T* dense) const {
        for (Index i = 0; i <= n_in_; ++i) {
            for (Index o = 0; o < n_out_; ++o) {
                dense[i * n_out_ + o] = product_.data()[o / kPanel * product_stride() + i * kPanel + o % kPanel];
            }
        }
    }

private:
    Index stacked_stride() const {
        return stacked_depth() * kPanel;
    }
    Index transposed_stride() const {
        return transposed_depth() * kPanel;
    }
    Index product_stride() const {
        return (n_in_ + 1) * kPanel;
    }

    void pack_into(const T* dense, Index first_row, Index first_transposed_row) {
        for (Index i = 0; i < n_in_; ++i) {
            for (Index o = 0; o < n_out_; ++o) {
                const T w = dense[i * n_out_ + o];
                stacked_.data()[o / kPanel * stacked_stride() + (first_row + i) * kPanel + o % kPanel] = w;
                transposed_
                    .data()[i / kPanel * transposed_stride() + (first_transposed_row + o) * kPanel + i % kPanel] = w;
            }
        }
    }

    Index n_in_ = 0;
    Index n_out_ = 0;
    Buffer<T> bias_;
    Buffer<T> bias_dot_;
    Buffer<T> stacked_;
    Buffer<T> transposed_;
    Buffer<T> product_;
};

// The network on one tile: values and their R, forward and backward.
template <class T>
class TangentTile {
public:
    TangentTile(const MlpShape& shape, Index max_rows, const T* params, const T* direction)
        : n_layers_(shape.n_sizes - 1),
          is_tanh_(shape.activation == Activation::kTanh),
          capacity_(round_up(smaller(larger<Index>(max_rows, 1), kTileRows), kPanel)),
          layers_(new TangentLayer<T>[static_cast<std::size_t>(n_layers_)]),
          values_(new Buffer<T>[static_cast<std::size_t>(n_layers_ + 1)]) {
        Index at = 0;
        Index widest = 0;
        for (Index l = 0; l <= n_layers_; ++l) {
            values_[l].reset(2 * half(shape.sizes[l]));
            widest = larger(widest, half(shape.sizes[l]));
        }
        for (Index l = 0; l < n_layers_; ++l) {
            layers_[l].pack(params + at, direction + at, shape.sizes[l], shape.sizes[l + 1]);
            at += (shape.sizes[l] + 1) * shape.sizes[l + 1];
        }
        gradient_a_.reset(2 * widest);
        gradient_b_.reset(2 * widest);
        zeros_.reset(kPanel);
        outputs_.reset(shape.sizes[n_layers_] * capacity_);
        outputs_dot_.reset(shape.sizes[n_layers_] * capacity_);
        by_outputs_.reset(shape.sizes[n_layers_] * capacity_);
        by_outputs_dot_.reset(shape.sizes[n_layers_] * capacity_);
    }
    ~TangentTile() {
        delete[] layers_;
        delete[] values_;
    }
    TangentTile(const TangentTile&) = delete;
    TangentTile& operator=(const TangentTile&) = delete;

    Index capacity() const {
        return capacity_;
    }

    // All [output][row], rows `capacity` apart.
    T* outputs() {
        return outputs_.data();
    }
    T* outputs_dot() {
        return outputs_dot_.data();
    }
    T* by_outputs() {
        return by_outputs_.data();
    }
    T* by_outputs_dot() {
        return by_outputs_dot_.data();
    }

    void forward(const T* inputs, Index first_row, Index n_rows) {
        const Index n_in = layers_[0].n_in();
        for (Index row = 0; row < n_rows; ++row) {
            const T* from = inputs + (first_row + row) * n_in;
            for (Index i = 0; i < n_in; ++i) values_[0].data()[place(row, i)] = from[i];
        }
        for (Index l = 0; l < n_layers_; ++l) {
            const TangentLayer<T>& layer = layers_[l];
            const Index n_panels = TangentLayer<T>::panels(layer.n_out());
            const Panels<const T> y{values_[l].data(), panel_stride()};
            const Panels<T> z{values_[l + 1].data(), panel_stride()};
            const Panels<T> z_dot{z.data + half(layer.n_out()), panel_stride()};
            multiply<T>({y, layer.weight(), layer.bias(), z, layer.n_in(), n_panels}, n_rows);
            // The inputs do not move: R Y = 0 below the first layer.
            const Index depth = l == 0 ? layer.n_in() : layer.stacked_depth();
            multiply<T>({y, layer.stacked(), layer.bias_dot(), z_dot, depth, n_panels}, n_rows);
            if (l + 1 < n_layers_) activate(z, z_dot, n_panels, n_rows);
        }
        const T* z = values_[n_layers_].data();
        const Index n_out = layers_[n_layers_ - 1].n_out();
        for (Index o = 0; o < n_out; ++o) {
            for (Index row = 0; row < n_rows; ++row) {
                outputs_.data()[o * capacity_ + row] = z[place(row, o)];
                outputs_dot_.data()[o * capacity_ + row] = z[half(n_out) + place(row, o)];
            }
        }
    }

    // Adds R of the gradient of the tile to the products of the layers, given by_outputs and by_outputs_dot.
    void backward(Index n_rows) {
        T* current = gradient_a_.data();
        T* previous = gradient_b_.data();
        const Index n_out = layers_[n_layers_ - 1].n_out();
        for (Index o = 0; o < n_out; ++o) {
            for (Index row = 0; row < n_rows; ++row) {
                current[place(row, o)] = by_outputs_.data()[o * capacity_ + row];
                current[half(n_out) + place(row, o)] = by_outputs_dot_.data()[o * capacity_ + row];
            }
        }
        for (Index l = n_layers_ - 1; l >= 0; --l) {
            add_products(l, current, n_rows);
            if (l == 0) return;
            TangentLayer<T>& layer = layers_[l];
            const Index n_panels = TangentLayer<T>::panels(layer.n_in());
            const Panels<const T> dz{current, panel_stride()};
            const Panels<T> dy{previous, panel_stride()};
            const Panels<T> dy_dot{previous + half(layer.n_in()), panel_stride()};
            const Panels<const T> zeros{zeros_.data(), 0};
            multiply<T>({dz, layer.transposed_weight(), zeros, dy, layer.n_out(), n_panels}, n_rows);
            multiply<T>({dz, layer.transposed_stacked(), zeros, dy_dot, layer.transposed_depth(), n_panels}, n_rows);
            deactivate(values_[l].data(), half(layer.n_in()), previous, n_rows * kPanel, n_panels);
            T* const swapped = current;
            current = previous;
            previous = swapped;
        }
    }

    void unpack_product(T* dense) const {
        for (Index l = 0; l < n_layers_; ++l) {
            layers_[l].unpack_product(dense);
            dense += (layers_[l].n_in() + 1) * layers_[l].n_out();
        }
    }

private:
    Index panel_stride() const {
        return capacity_ * kPanel;
    }
    // Numbers of one array of n columns; its R lies right behind.
    Index half(Index n) const {
        return TangentLayer<T>::panels(n) * panel_stride();
    }
    Index place(Index row, Index column) const {
        return column / kPanel * panel_stride() + row * kPanel + column % kPanel;
    }

    // y = activation(z), R y = activation'(z) R z, in place.
    void activate(const Panels<T>& y, const Panels<T>& y_dot, Index n_panels, Index n_rows) {
        for (Index p = 0; p < n_panels; ++p) {
            T* value = y.data + p * y.stride;
            T* dot = y_dot.data + p * y_dot.stride;
            for (Index i = 0; i < n_rows * kPanel; i += kLanes<T>) {
                const Vec<T> z = load(value + i);
                const Vec<T> z_dot = load(dot + i);
                const Vec<T> t = is_tanh_ ? vec_tanh<T>(z) : at_least<T>(z, Vec<T>{});
                store(value + i, t);
                store(dot + i, is_tanh_ ? Tanh<T>::chain(z_dot, t) : Relu<T>::chain(z_dot, t));
            }
        }
    }

    // d <- activation' d,  R d <- activation' R d + R(activation') d.
    void deactivate(const T* y, Index behind, T* d, Index n, Index n_panels) {
        for (Index p = 0; p < n_panels; ++p) {
            for (Index i = p * panel_stride(); i < p * panel_stride() + n; i += kLanes<T>) {
                const Vec<T> t = load(y + i), g = load(d + i), g_dot = load(d + behind + i);
                if (is_tanh_) {
                    const Vec<T> slope = multiply_add<T>(-t, t, splat<T>(1));
                    store(d + i, g * slope);
                    store(d + behind + i, multiply_add<T>(g_dot, slope, -2 * t * load(y + behind + i) * g));
                } else {
                    store(d + i, select<T>(t > 0, g, Vec<T>{}));
                    store(d + behind + i, select<T>(t > 0, g_dot, Vec<T>{}));
                }
            }
        }
    }

    // R(Y' dZ) = (R Y)' dZ + Y' (R dZ), R(sum dZ) = sum R dZ.
    void add_products(Index l, const T* dz, Index n_rows) {
        TangentLayer<T>& layer = layers_[l];
        const Index n_panels = TangentLayer<T>::panels(layer.n_out());
        const T* dz_dot = dz + half(layer.n_out());
        const T* y = values_[l].data();
        add_outer<T>({{y, panel_stride()}, {dz_dot, panel_stride()}, layer.product(), n_rows, n_panels}, layer.n_in());
        if (l > 0) {
            const T* y_dot = y + half(layer.n_in());
            add_outer<T>({{y_dot, panel_stride()}, {dz, panel_stride()}, layer.product(), n_rows, n_panels},
                         layer.n_in());
        }
        for (Index p = 0; p < n_panels; ++p) {
            T* bias = layer.bias_product(p);
            Panel<T> sum = load_panel(bias);
            for (Index row = 0; row < n_rows; ++row) {
                const Panel<T> terms = load_panel(dz_dot + p * panel_stride() + row * kPanel);
#pragma GCC unroll 16
                for (int i = 0; i < kParts<T>; ++i) sum.part[i] += terms.part[i];
            }
#pragma GCC unroll 16
            for (int i = 0; i < kParts<T>; ++i) store(bias + i * kLanes<T>, sum.part[i]);
        }
    }

    Index n_layers_;
    bool is_tanh_;
    Index capacity_;
    TangentLayer<T>* layers_;
    Buffer<T>* values_;  // per level Y, then R Y
    Buffer<T> gradient_a_;
    Buffer<T> gradient_b_;
    Buffer<T> zeros_;
    Buffer<T> outputs_;
    Buffer<T> outputs_dot_;
    Buffer<T> by_outputs_;
    Buffer<T> by_outputs_dot_;
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
