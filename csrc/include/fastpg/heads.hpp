// A head on tiles of at most 64 rows, and the kernels of the family: log_prob, entropy, kl_old_new, sample, mode.
#pragma once

#include "fastpg/buffer.hpp"
#include "fastpg/distributions.hpp"
#include "fastpg/mlp.hpp"
#include "fastpg/philox.hpp"

namespace fastpg {
namespace FASTPG_ISA {

inline Index n_log_std(const HeadShape& head) {
    return head.kind == HeadKind::kGaussian ? head.n_actions : 0;
}

// Throws KernelError at the first discrete action outside of its range: it would index nothing.
inline void check_actions(const HeadShape& head, const std::int32_t* actions, Index n_rows) {
    if (actions == nullptr) return;
    for (Index row = 0; row < n_rows; ++row) {
        for (Index d = 0; d < head.n_actions; ++d) {
            const Index n_choices = head.kind == HeadKind::kCategorical ? head.sizes[d] : 2;
            const Index action = actions[row * head.n_actions + d];
            if (action < 0 || action >= n_choices) {
                throw KernelError{"actions: expected choices within the range of the head, got one outside", row, d};
            }
        }
    }
}

// Actions, random numbers and per-row results of one tile. The columns of head inputs and gradients belong to the
// caller.
template <class T>
class HeadTile {
public:
    HeadTile(const HeadShape& shape, Index capacity)
        : actions_(shape.n_actions * capacity),
          scratch_(shape.n_actions * capacity),
          log_prob_(capacity),
          entropy_(capacity),
          random_(shape.n_actions * capacity),
          columns_{shape, capacity, nullptr, nullptr, actions_.data(), scratch_.data(), random_.data(), nullptr} {}

    // z: head inputs, g: scratch and gradient, both [K][row]; log_std (D,) stays the caller's.
    void bind(T* z, T* g, const T* log_std) {
        columns_.z = z;
        columns_.g = g;
        columns_.log_std = log_std;
    }

    const HeadColumns<T>& columns() const {
        return columns_;
    }
    const T* log_prob() const {
        return log_prob_.data();
    }
    const T* entropy() const {
        return entropy_.data();
    }

    // Loads rows index[0 .. n_rows), or first_row ... if index is null; `is_followed` as in MlpTile::load_inputs.
    void load_actions(const Actions<T>& actions, const std::int64_t* index, Index first_row, Index n_rows,
                      bool is_followed = false) {
        if (actions.discrete != nullptr) {
            load_columns(actions.discrete, index, first_row, n_rows, is_followed);
        } else {
            load_columns(actions.continuous, index, first_row, n_rows, is_followed);
        }
    }

    void store_actions(const ActionsOut<T>& out, Index first_row, Index n_rows) const {
        const Index at = first_row * columns_.shape.n_actions;
        out.discrete != nullptr ? store_columns(out.discrete + at, n_rows) : store_columns(out.continuous + at, n_rows);
    }

    // Log-probability of the actions and entropy of every row.
    void evaluate(Index n_rows) {
        by_kind(columns_.shape.kind, [&](auto kind) {
            for (Index i = 0; i < n_rows; i += kLanes<T>) {
                Vec<T> log_prob{}, entropy{};
                kind.template evaluate<T>(columns_, i, log_prob, entropy);
                store(log_prob_.data() + i, log_prob);
                store(entropy_.data() + i, entropy);
            }
        });
    }

    // g <- derivative of weight * log_prob + entropy_weight * entropy, after `evaluate`; zero beyond n_rows.
    void differentiate(const T* weight, T entropy_weight, Index n_rows) {
        by_kind(columns_.shape.kind, [&](auto kind) {
            for (Index i = 0; i < n_rows; i += kLanes<T>) {
                kind.template differentiate<T>(columns_, i, load(weight + i), splat(entropy_weight));
            }
        });
        clear_tail(columns_.g, columns_.shape.n_inputs, n_rows);
    }

    // g and the terms by log_std <- 0, in place of `differentiate`.
    void clear_gradient() {
        set_zero(columns_.g, columns_.shape.n_inputs * columns_.stride);
        set_zero(columns_.scratch, columns_.shape.n_actions * columns_.stride);
    }

    // g += derivative of weight * KL from (or to) the evaluated `old_head`, after `evaluate` and `differentiate`;
    // kl <- the divergences; zero beyond n_rows.
    void add_kl_gradient(const HeadColumns<T>& old_head, const T* weight, bool is_new_old, Index n_rows, T* kl) {
        by_kind(columns_.shape.kind, [&](auto kind) {
            for (Index i = 0; i < n_rows; i += kLanes<T>) {
                store(kl + i, kind.template add_kl_gradient<T>(old_head, columns_, i, load(weight + i), is_new_old));
            }
        });
        set_zero(kl + n_rows, round_up(n_rows, kPanel) - n_rows);
        clear_tail(columns_.g, columns_.shape.n_inputs, n_rows);
    }

    // Adds the derivatives by log_std, after `differentiate`.
    void add_log_std_gradient(Index n_rows, T* gradient) {
        if (columns_.shape.kind != HeadKind::kGaussian) return;
        clear_tail(columns_.scratch, columns_.shape.n_actions, n_rows);
        for (Index d = 0; d < columns_.shape.n_actions; ++d) {
            const T* terms = columns_.scratch + d * columns_.stride;
            gradient[d] += sum_of(terms, round_up(n_rows, kPanel));
        }
    }

    // Random rows first_row ... of the counter.
    void sample(const PhiloxKey& key, Index first_row, Index n_rows) {
        draw(key, first_row, n_rows);
        by_kind(columns_.shape.kind, [&](auto kind) {
            for (Index i = 0; i < n_rows; i += kLanes<T>) kind.template sample<T>(columns_, i);
        });
    }

    void mode(Index n_rows) {
        by_kind(columns_.shape.kind, [&](auto kind) {
            for (Index i = 0; i < n_rows; i += kLanes<T>) kind.template mode<T>(columns_, i);
        });
    }

private:
    template <class U>
    void load_columns(const U* actions, const std::int64_t* index, Index first_row, Index n_rows, bool is_followed) {
        const Index n = columns_.shape.n_actions;
        for (Index row = 0; row < n_rows; ++row) {
            if (is_followed) prefetch(actions + static_cast<Index>(index[row + kTileRows]) * n);
            const U* from = actions + (index != nullptr ? static_cast<Index>(index[row]) : first_row + row) * n;
            T* to = actions_.data() + row;
            for (Index d = 0; d < n; ++d) to[d * columns_.stride] = static_cast<T>(from[d]);
        }
    }

    template <class U>
    void store_columns(U* to, Index n_rows) const {
        const Index n = columns_.shape.n_actions;
        for (Index d = 0; d < n; ++d) {
            const T* from = actions_.data() + d * columns_.stride;
            for (Index row = 0; row < n_rows; ++row) to[row * n + d] = static_cast<U>(from[row]);
        }
    }

    void clear_tail(T* columns, Index n_columns, Index n_rows) const {
        const Index tail = round_up(n_rows, kPanel) - n_rows;
        for (Index k = 0; k < n_columns && tail > 0; ++k) set_zero(columns + k * columns_.stride + n_rows, tail);
    }

    void draw(const PhiloxKey& key, Index first_row, Index n_rows) {
        const bool is_normal = columns_.shape.kind == HeadKind::kGaussian;
        for (Index d = 0; d < columns_.shape.n_actions; d += 4) {
            for (Index row = 0; row < n_rows; row += kLanes<float>) {
                const PhiloxLanes lanes(key, static_cast<std::uint32_t>(first_row + row),
                                        static_cast<std::uint32_t>(d / 4));
#pragma GCC unroll 4
                for (int j = 0; j < 4; ++j) {
                    if (d + j >= columns_.shape.n_actions) break;
                    float* to = random_.data() + (d + j) * columns_.stride + row;
                    store(to, is_normal ? normal_quantile(symmetric_interval(lanes.word[j]))
                                        : unit_interval(lanes.word[j]));
                }
            }
        }
    }

    Buffer<T> actions_;
    Buffer<T> scratch_;
    Buffer<T> log_prob_;
    Buffer<T> entropy_;
    Buffer<float> random_;
    HeadColumns<T> columns_;
};

// A head with its own columns, loaded from a dense (B, K) array.
template <class T>
class HeadTileOnArray {
public:
    HeadTileOnArray(const HeadShape& shape, const HeadArgs<T>& args)
        : args_(args),
          n_inputs_(shape.n_inputs),
          z_(shape.n_inputs * kTileRows),
          g_(shape.n_inputs * kTileRows),
          head_(shape, kTileRows) {
        head_.bind(z_.data(), g_.data(), args.log_std);
    }

    HeadTile<T>& load(Index first, Index n_rows) {
        for (Index row = 0; row < n_rows; ++row) {
            for (Index k = 0; k < n_inputs_; ++k) {
                z_.data()[k * kTileRows + row] = args_.head_inputs[(first + row) * n_inputs_ + k];
            }
        }
        return head_;
    }

private:
    HeadArgs<T> args_;
    Index n_inputs_;
    Buffer<T> z_;
    Buffer<T> g_;
    HeadTile<T> head_;
};

// Calls f(first row, number of rows) for every tile.
template <class Function>
FASTPG_INLINE void for_each_tile(Index n_rows, Function f) {
    for (Index first = 0; first < n_rows; first += kTileRows) f(first, smaller(kTileRows, n_rows - first));
}

template <class T>
void log_prob(const HeadShape& shape, const HeadArgs<T>& a, const Actions<T>& actions, T* out) {
    check_actions(shape, actions.discrete, a.n_rows);
    HeadTileOnArray<T> tile(shape, a);
    for_each_tile(a.n_rows, [&](Index first, Index n_rows) {
        HeadTile<T>& head = tile.load(first, n_rows);
        head.load_actions(actions, nullptr, first, n_rows);
        head.evaluate(n_rows);
        copy(head.log_prob(), n_rows, out + first);
    });
}

template <class T>
void entropy(const HeadShape& shape, const HeadArgs<T>& a, T* out) {
    HeadTileOnArray<T> tile(shape, a);
    for_each_tile(a.n_rows, [&](Index first, Index n_rows) {
        HeadTile<T>& head = tile.load(first, n_rows);
        head.evaluate(n_rows);
        copy(head.entropy(), n_rows, out + first);
    });
}

template <class T>
void kl_old_new(const HeadShape& shape, const HeadArgs<T>& old_policy, const HeadArgs<T>& new_policy, T* out) {
    HeadTileOnArray<T> old_tile(shape, old_policy);
    HeadTileOnArray<T> new_tile(shape, new_policy);
    Buffer<T> kl(kTileRows);
    for_each_tile(old_policy.n_rows, [&](Index first, Index n_rows) {
        const HeadColumns<T>& old_head = old_tile.load(first, n_rows).columns();
        const HeadColumns<T>& new_head = new_tile.load(first, n_rows).columns();
        by_kind(shape.kind, [&](auto kind) {
            for (Index i = 0; i < n_rows; i += kLanes<T>) {
                store(kl.data() + i, kind.template kl_old_new<T>(old_head, new_head, i));
            }
        });
        copy(kl.data(), n_rows, out + first);
    });
}

template <class T>
void sample(const HeadShape& shape, const HeadArgs<T>& a, const PhiloxKey& key, const ActionsOut<T>& out) {
    HeadTileOnArray<T> tile(shape, a);
    for_each_tile(a.n_rows, [&](Index first, Index n_rows) {
        HeadTile<T>& head = tile.load(first, n_rows);
        head.sample(key, first, n_rows);
        head.store_actions(out, first, n_rows);
    });
}

template <class T>
void mode(const HeadShape& shape, const HeadArgs<T>& a, const ActionsOut<T>& out) {
    HeadTileOnArray<T> tile(shape, a);
    for_each_tile(a.n_rows, [&](Index first, Index n_rows) {
        HeadTile<T>& head = tile.load(first, n_rows);
        head.mode(n_rows);
        head.store_actions(out, first, n_rows);
    });
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
