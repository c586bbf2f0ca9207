// Where the parameters of a multi-layer perceptron lie: dense, as everybody else has them, and packed, as the kernels
// do.
//
// Dense: W (in, out) row-major, b, layer after layer. Packed:
// - hidden layers: panels over outputs, each of (in + 1) rows of 16, the last row being the bias;
// - the last layer, with few outputs: panels over *inputs*, each of `out` rows of 16, then the biases.
// Padding is zero and stays zero.
#pragma once

#include "fastpg/buffer.hpp"

namespace fastpg {
namespace FASTPG_ISA {

struct Layer {
    Index n_in;
    Index n_out;
    Index at;        // of this layer in the packed parameters
    Index dense_at;  // of this layer in the dense parameters
    bool is_last;

    Index in_panels() const {
        return (n_in + kPanel - 1) / kPanel;
    }
    Index out_panels() const {
        return (n_out + kPanel - 1) / kPanel;
    }

    // Numbers from panel to panel of the packed weight.
    Index panel_stride() const {
        return (is_last ? n_out : n_in + 1) * kPanel;
    }
    Index bias_at() const {
        return at + (is_last ? in_panels() * panel_stride() : n_in * kPanel);
    }
    Index packed_size() const {
        return is_last ? in_panels() * panel_stride() + round_up(n_out, kPanel) : out_panels() * panel_stride();
    }
    Index dense_size() const {
        return (n_in + 1) * n_out;
    }

    // Place of weight (i, o), and of bias o, in the packed parameters.
    Index weight(Index i, Index o) const {
        return is_last ? at + i / kPanel * panel_stride() + o * kPanel + i % kPanel
                       : at + o / kPanel * panel_stride() + i * kPanel + o % kPanel;
    }
    Index bias(Index o) const {
        return is_last ? bias_at() + o : weight(n_in, o);
    }
};

// Where everything lies.
class MlpPlan {
public:
    explicit MlpPlan(const MlpShape& shape) : n_layers_(shape.n_sizes - 1), activation_(shape.activation) {
        layers_.reset(n_layers_);
        for (Index l = 0; l < n_layers_; ++l) {
            Layer& layer = layers_.data()[l];
            layer = {shape.sizes[l], shape.sizes[l + 1], packed_size_, dense_size_, l == n_layers_ - 1};
            packed_size_ += layer.packed_size();
            dense_size_ += layer.dense_size();
        }
    }

    Index n_layers() const {
        return n_layers_;
    }
    const Layer& layer(Index l) const {
        return layers_.data()[l];
    }
    const Layer& last() const {
        return layer(n_layers_ - 1);
    }
    Index packed_size() const {
        return packed_size_;
    }
    Index dense_size() const {
        return dense_size_;
    }
    Activation activation() const {
        return activation_;
    }

    // Calls f(from in dense, to in packed, count, distance in packed) for every run of parameters that are neighbours
    // in the dense vector and equally far apart, `distance`, in the packed one. At most 16 where the distance is 1.
    template <class Function>
    FASTPG_INLINE void for_each_run(Function f) const {
        for (Index l = 0; l < n_layers_; ++l) {
            const Layer& k = layer(l);
            for (Index i = 0; k.is_last && i < k.n_in; ++i)
                f(k.dense_at + i * k.n_out, k.weight(i, 0), k.n_out, kPanel);
            if (k.is_last) f(k.dense_at + k.n_in * k.n_out, k.bias(0), k.n_out, Index{1});
            for (Index o = 0; !k.is_last && o < k.n_out; o += kPanel) {
                const Index n = smaller<Index>(kPanel, k.n_out - o);
                for (Index i = 0; i <= k.n_in; ++i) f(k.dense_at + i * k.n_out + o, k.weight(i, o), n, Index{1});
            }
        }
    }

    // `packed` must be zero where there is padding.
    template <class T>
    void pack(const T* dense, T* packed) const {
        for_each_run([=](Index from, Index to, Index n, Index distance) {
            if (n == kPanel && distance == 1) return copy_panel(dense + from, packed + to);
            for (Index i = 0; i < n; ++i) packed[to + i * distance] = dense[from + i];
        });
    }

    template <class T>
    void unpack(const T* packed, T* dense) const {
        for_each_run([=](Index to, Index from, Index n, Index distance) {
            if (n == kPanel && distance == 1) return copy_panel(packed + from, dense + to);
            for (Index i = 0; i < n; ++i) dense[to + i] = packed[from + i * distance];
        });
    }

private:
    Index n_layers_;
    Activation activation_;
    Buffer<Layer> layers_;
    Index packed_size_ = 0;
    Index dense_size_ = 0;
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
