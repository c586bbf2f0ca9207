// The Fisher matrix of a policy on a batch, F = 1/B sum_i J_i' M_i J_i, as an operator that is never formed.
//
// The forward pass is done once; activations and what M needs are kept for every tile of 64 rows. A product then is,
// tile by tile, a forward pass of derivatives (J v), M, and a backward pass (J' M J v). Tiles belong to chunks, whose
// number does not depend on that of the threads: each chunk has its own sum, and the sums are added in order.
// With few outputs the Jacobian by the first layers is small enough to be kept as well; see fisher_tile.hpp.
#pragma once

#include "fastpg/conjugate_gradient.hpp"
#include "fastpg/fisher_tile.hpp"

namespace fastpg {

struct FisherHandle {};

namespace FASTPG_ISA {

// Tiles in chunks: at least four tiles each, so that a sum of its own costs little, and at most sixteen chunks.
struct ChunkPlan {
    static constexpr Index kMinTiles = 4;
    static constexpr Index kMaxChunks = 16;

    Index n_rows;

    Index n_tiles() const {
        return (n_rows + kTileRows - 1) / kTileRows;
    }
    Index n_chunks() const {
        return smaller(kMaxChunks, (n_tiles() + kMinTiles - 1) / kMinTiles);
    }
    Index first_tile(Index chunk) const {
        return n_tiles() * chunk / n_chunks();
    }
    Index tile_rows(Index tile) const {
        return smaller(kTileRows, n_rows - tile * kTileRows);
    }
};

template <class T>
class FisherOperator : public FisherHandle {
public:
    FisherOperator(const PolicyShape& shape, const FisherBatch<T>& batch, const T* params, int n_threads,
                   const Host& host)
        : plan_(shape.policy),
          chunks_{batch.n_rows},
          n_extra_(shape.head.kind == HeadKind::kGaussian ? shape.head.n_actions : 0),
          size_(plan_.packed_size() + round_up(n_extra_, kPanel)),
          is_empirical_(batch.actions.continuous != nullptr || batch.actions.discrete != nullptr),
          params_(size_),
          workers_(larger<Index>(1, smaller<Index>(n_threads, chunks_.n_chunks()))),
          solver_(1) {
        pack(params, params_.data());
        for (Index i = 0; i < workers_.capacity(); ++i) {
            workers_.add(new Worker(plan_, batch.n_rows));
            workers_[i].tile.prepare_backward(params_.data());
        }
        metric_ = {shape.head, is_empirical_, workers_[0].tile.capacity()};
        kept_per_tile_ = workers_[0].tile.n_activations();
        activations_.reset(kept_per_tile_ * chunks_.n_tiles());
        moments_.reset(metric_.size() * chunks_.n_tiles());
        sums_.reset(size_ * chunks_.n_chunks());
        const Index last_size = plan_.last().out_panels() * (plan_.last().n_in + 1) * kPanel;
        last_weight_.reset(last_size);
        last_along_.reset(last_size);
        turn_last_layer(plan_.last(), params_.data(), last_weight_.data());
        vector_.reset(size_);
        image_.reset(size_);
        scale_.reset(size_);
        evaluate(shape.head, batch, host);
    }

    void product(const T* vector, const Damping<T>& damping, T* out, const Host& host) {
        pack(vector, vector_.data());
        multiply(vector_.data(), load_damping(damping), image_.data(), host);
        unpack(image_.data(), out);
    }

    // Squares of the factors' gradients: (y_i dz_o)^2 = y_i^2 dz_o^2.
    void diagonal(T* out, const Host& host) {
        for_each_chunk(host, [this](Worker& worker, Index tile, T* sum) { add_squares(worker, tile, sum); });
        reduce(image_.data());
        if (!is_empirical_ && chunks_.n_rows > 0) {
            for (Index d = 0; d < n_extra_; ++d) extra(image_.data())[d] = kLogStdFisher;
        }
        unpack(image_.data(), out);
    }

    bool solve(const CgRule& rule, const CgArgs<T>& args, const Damping<T>& damping, const Host& host) {
        if (solver_.size() == 0) solver_.add(new Solver(size_));
        Solver& solver = solver_[0];
        pack(args.rhs, solver.rhs.data());
        if (args.start != nullptr) pack(args.start, solver.start.data());
        const Damping<T> packed_damping = load_damping(damping);
        Index n_kept = 0;
        const bool is_finished = solver.cg.solve(
            rule, solver.rhs.data(), args.start != nullptr ? solver.start.data() : nullptr, args.stats,
            [&](const T* v, T* to) { multiply(v, packed_damping, to, host); },
            [&](Index iteration, const T* x) {
                if (n_kept == args.n_kept || args.schedule[n_kept] != iteration) return;
                unpack(x, args.iterates + n_kept++ * dense_size());
            },
            [&] { return host.poll(); });
        if (is_finished) unpack(solver.cg.solution(), args.solution);
        return is_finished;
    }

    // Row i * n_factors + r of `out` is the gradient of factor r of sample i.
    void write_factors(T* out) {
        Worker& worker = workers_[0];
        for (Index tile = 0; tile < chunks_.n_tiles(); ++tile) {
            const Index n_rows = chunks_.tile_rows(tile);
            worker.tile.use_activations(activations(tile));
            for (Index r = 0; r < metric_.n_factors(); ++r) {
                metric_.factor(moments(tile), r, worker.tile.output_gradient(), n_rows);
                T* rows = out + (tile * kTileRows * metric_.n_factors() + r) * dense_size();
                const Index row_stride = metric_.n_factors() * dense_size();
                worker.tile.visit_deltas(params_.data(), n_rows, [&](Index l, const Panels<T>& dz) {
                    write_outer(worker.tile.layer_input(l), dz, plan_.layer(l), n_rows, rows, row_stride);
                });
                write_log_std_scores(tile, n_rows, rows + plan_.dense_size(), row_stride);
            }
        }
        write_log_std_factors(out + chunks_.n_rows * metric_.n_factors() * dense_size());
    }

private:
    static constexpr T kLogStdFisher = 2;

    struct Tile : FisherTile<T> {
        using FisherTile<T>::FisherTile;
        Panels<const T> layer_input(Index l) const {
            return this->input(l);
        }
        Index stride() const {
            return this->panel_stride();
        }
    };

    // What one thread needs.
    struct Worker {
        Worker(const MlpPlan& plan, Index max_rows) : tile(plan, max_rows), along(kTileRows) {
            Index widest = plan.last().out_panels(), n_squares = 0;
            for (Index l = 0; l < plan.n_layers(); ++l) {
                widest = larger(widest, plan.layer(l).in_panels());
                n_squares += plan.layer(l).out_panels();
            }
            inputs_squared.reset(widest * tile.stride());
            squares.reset(n_squares * tile.stride());
        }

        Tile tile;
        Buffer<T> along;
        Buffer<T> squares;         // of dz, every layer, in panels
        Buffer<T> inputs_squared;  // of one layer, in panels
    };

    struct Solver {
        explicit Solver(Index n) : cg(n), rhs(n), start(n) {}
        ConjugateGradient<T> cg;
        Buffer<T> rhs;
        Buffer<T> start;
    };

    Index dense_size() const {
        return plan_.dense_size() + n_extra_;
    }
    T* activations(Index tile) {
        return activations_.data() + tile * kept_per_tile_;
    }
    T* derivatives(Index tile) {
        return derivatives_.data() + tile * derivatives_per_tile_;
    }
    T* moments(Index tile) {
        return moments_.data() + tile * metric_.size();
    }
    T* extra(T* packed) const {
        return packed + plan_.packed_size();
    }
    const T* extra(const T* packed) const {
        return packed + plan_.packed_size();
    }
    void pack(const T* dense, T* packed) const {
        plan_.pack(dense, packed);
        copy(dense + plan_.dense_size(), n_extra_, extra(packed));
    }
    void unpack(const T* packed, T* dense) const {
        plan_.unpack(packed, dense);
        copy(extra(packed), n_extra_, dense + plan_.dense_size());
    }

    Damping<T> load_damping(const Damping<T>& damping) {
        if (damping.scale == nullptr) return damping;
        pack(damping.scale, scale_.data());
        return {damping.factor, scale_.data()};
    }

    // Runs work(worker, tile, sum of its chunk) for all tiles, each chunk on one thread, its tiles in order.
    template <class Work>
    void for_each_chunk(const Host& host, Work work) {
        struct Context {
            FisherOperator& self;
            Work& work;
            Index next;
        } context{*this, work, 0};
        const auto run = [](void* pointer, int index) {
            Context& c = *static_cast<Context*>(pointer);
            FisherOperator& self = c.self;
            Worker& worker = self.workers_[index];
            for (;;) {
                const Index chunk = __atomic_fetch_add(&c.next, 1, __ATOMIC_RELAXED);
                if (chunk >= self.chunks_.n_chunks()) return;
                T* sum = self.sums_.data() + chunk * self.size_;
                set_zero(sum, self.size_);
                for (Index t = self.chunks_.first_tile(chunk); t < self.chunks_.first_tile(chunk + 1); ++t) {
                    worker.tile.use_activations(self.activations(t));
                    c.work(worker, t, sum);
                }
            }
        };
        const int n = smaller(static_cast<int>(workers_.size()), host.n_threads);
        n > 1 ? host.run(n, run, &context) : run(&context, 0);
    }

    // out <- sums of the chunks, in order, over B
    void reduce(T* out) {
        set_zero(out, size_);
        const T share = chunks_.n_rows > 0 ? T{1} / static_cast<T>(chunks_.n_rows) : T{0};
        for (Index chunk = 0; chunk < chunks_.n_chunks(); ++chunk) {
            const T* sum = sums_.data() + chunk * size_;
            for (Index i = 0; i < size_; ++i) out[i] += sum[i];
        }
        for (Index i = 0; i < size_; ++i) out[i] *= share;
    }

    // The forward pass.
    void evaluate(const HeadShape& shape, const FisherBatch<T>& batch, const Host& host) {
        for_each_chunk(host, [&](Worker& worker, Index t, T*) {
            const Index first = t * kTileRows, n_rows = chunks_.tile_rows(t);
            worker.tile.load_inputs(batch.observations, nullptr, first, n_rows);
            worker.tile.forward(params_.data(), n_rows);
            HeadTile<T> head(shape, worker.tile.capacity());
            head.bind(worker.tile.outputs(), worker.tile.output_gradient(), extra(params_.data()));
            if (is_empirical_) head.load_actions(batch.actions, nullptr, first, n_rows);
            for (Index i = 0; i < kTileRows; ++i) worker.along.data()[i] = 1;
            metric_.prepare(head, extra(params_.data()), worker.along.data(), n_rows, moments(t));
        });
    }

    // At the first product: a bound operator may be asked for its diagonal alone.
    void keep_derivatives(const Host& host) {
        if (is_prepared_) return;
        is_prepared_ = true;
        derivatives_per_tile_ = workers_[0].tile.n_kept();
        if (derivatives_per_tile_ == 0) return;
        derivatives_.reset(derivatives_per_tile_ * chunks_.n_tiles());
        for_each_chunk(host, [this](Worker& worker, Index t, T*) {
            worker.tile.keep_derivatives(params_.data(), chunks_.tile_rows(t), derivatives(t));
        });
    }

    // out <- (F + damping) v, packed.
    void multiply(const T* v, const Damping<T>& damping, T* out, const Host& host) {
        keep_derivatives(host);
        turn_last_layer(plan_.last(), v, last_along_.data());
        for_each_chunk(host, [&](Worker& worker, Index t, T* sum) {
            derivatives_per_tile_ > 0 ? multiply_by_kept(worker, t, v, sum) : multiply_tile(worker, t, v, sum);
        });
        reduce(out);
        if (!is_empirical_ && chunks_.n_rows > 0) {
            for (Index d = 0; d < n_extra_; ++d) extra(out)[d] = kLogStdFisher * extra(v)[d];
        }
        const T factor = static_cast<T>(damping.factor);
        if (!(factor > 0)) return;
        if (damping.scale == nullptr) return add_scaled(v, factor, size_, out);
        for (Index i = 0; i < size_; ++i) out[i] = multiply_add(factor * damping.scale[i], v[i], out[i]);
    }

    void multiply_tile(Worker& worker, Index t, const T* v, T* sum) {
        const Index n_rows = chunks_.tile_rows(t);
        worker.tile.tangent(params_.data(), v, {last_weight_.data(), last_along_.data()}, n_rows);
        apply_metric(worker, t, v, sum);
        worker.tile.backward(params_.data(), n_rows, sum);
    }

    void multiply_by_kept(Worker& worker, Index t, const T* v, T* sum) {
        const Index n_rows = chunks_.tile_rows(t);
        T* kept = derivatives(t);
        worker.tile.tangent_by_kept(params_.data(), v, {last_weight_.data(), last_along_.data()}, kept, n_rows);
        apply_metric(worker, t, v, sum);
        worker.tile.backward_by_kept(params_.data(), kept, n_rows, sum);
    }

    // M between the outputs and their gradient.
    void apply_metric(Worker& worker, Index t, const T* v, T* sum) {
        const Index n_rows = chunks_.tile_rows(t);
        T* u = worker.tile.output_gradient();
        if (is_empirical_) {
            metric_.multiply_empirical(moments(t), worker.tile.outputs(), extra(v), u, worker.along.data(), n_rows,
                                       extra(sum));
        } else {
            metric_.multiply(moments(t), worker.tile.outputs(), u, n_rows);
        }
    }

    void add_squares(Worker& worker, Index t, T* sum) {
        const Index n_rows = chunks_.tile_rows(t), stride = worker.tile.stride();
        Index n_squares = 0;
        for (Index l = 0; l < plan_.n_layers(); ++l) n_squares += plan_.layer(l).out_panels();
        set_zero(worker.squares.data(), n_squares * stride);
        for (Index r = 0; r < metric_.n_factors(); ++r) {
            metric_.factor(moments(t), r, worker.tile.output_gradient(), n_rows);
            worker.tile.visit_deltas(params_.data(), n_rows, [&](Index l, const Panels<T>& dz) {
                T* to = worker.squares.data() + squares_at(l) * stride;
                for (Index p = 0; p < plan_.layer(l).out_panels(); ++p) {
                    const T* from = dz.data + p * dz.stride;
                    T* panel = to + p * stride;
                    for (Index i = 0; i < n_rows * kPanel; ++i) panel[i] = multiply_add(from[i], from[i], panel[i]);
                }
            });
        }
        for (Index l = 0; l < plan_.n_layers(); ++l) {
            add_squared_layer(worker, plan_.layer(l), l, n_rows, sum);
        }
        add_log_std_squares(t, n_rows, extra(sum));
    }

    // First panel of layer l among the squares.
    Index squares_at(Index l) const {
        Index at = 0;
        for (Index i = 0; i < l; ++i) at += plan_.layer(i).out_panels();
        return at;
    }

    void add_squared_layer(Worker& worker, const Layer& layer, Index l, Index n_rows, T* sum) {
        const Index stride = worker.tile.stride();
        const Panels<const T> x = worker.tile.layer_input(l);
        const Panels<const T> squares{worker.squares.data() + squares_at(l) * stride, stride};
        for (Index p = 0; p < layer.in_panels(); ++p) {
            const T* from = x.data + p * x.stride;
            T* to = worker.inputs_squared.data() + p * stride;
            for (Index i = 0; i < n_rows * kPanel; ++i) to[i] = from[i] * from[i];
        }
        const Panels<const T> inputs{worker.inputs_squared.data(), stride};
        const Panels<T> weight{sum + layer.at, layer.panel_stride()};
        if (layer.is_last) {
            add_outer<T>({squares, inputs, weight, n_rows, layer.in_panels()}, layer.n_out);
        } else {
            add_outer<T>({inputs, squares, weight, n_rows, layer.out_panels()}, layer.n_in);
        }
        for (Index o = 0; o < layer.n_out; ++o) {
            const T* column = squares.data + o / kPanel * stride + o % kPanel;
            for (Index row = 0; row < n_rows; ++row) sum[layer.bias(o)] += column[row * kPanel];
        }
    }

    void add_log_std_squares(Index t, Index n_rows, T* sum) {
        for (Index d = 0; d < n_extra_ && is_empirical_; ++d) {
            const T* scores = metric_.log_std_scores(moments(t)) + d * metric_.stride;
            for (Index row = 0; row < n_rows; ++row) sum[d] = multiply_add(scores[row], scores[row], sum[d]);
        }
    }

    // The outer products y dz' and dz of every row, dense.
    static void write_outer(const Panels<const T>& y, const Panels<T>& dz, const Layer& layer, Index n_rows, T* rows,
                            Index row_stride) {
        Buffer<T> delta(layer.out_panels() * kPanel);  // of one row, side by side
        for (Index row = 0; row < n_rows; ++row) {
            for (Index p = 0; p < layer.out_panels(); ++p) {
                copy(dz.data + p * dz.stride + row * kPanel, kPanel, delta.data() + p * kPanel);
            }
            T* to = rows + row * row_stride + layer.dense_at;
            for (Index i = 0; i < layer.n_in; ++i, to += layer.n_out) {
                const T factor = y.data[i / kPanel * y.stride + row * kPanel + i % kPanel];
                for (Index o = 0; o < layer.n_out; ++o) to[o] = factor * delta.data()[o];
            }
            copy(delta.data(), layer.n_out, to);
        }
    }

    void write_log_std_scores(Index t, Index n_rows, T* rows, Index row_stride) {
        for (Index row = 0; row < n_rows; ++row) {
            for (Index d = 0; d < n_extra_; ++d) {
                rows[row * row_stride + d] =
                    is_empirical_ ? metric_.log_std_scores(moments(t))[d * metric_.stride + row] : T{0};
            }
        }
    }

    // sqrt(2 B) e_d: the part that belongs to no sample.
    void write_log_std_factors(T* rows) const {
        if (is_empirical_) return;
        const T value = static_cast<T>(__builtin_sqrt(2.0 * static_cast<double>(chunks_.n_rows)));
        set_zero(rows, n_extra_ * dense_size());
        for (Index d = 0; d < n_extra_; ++d) rows[d * dense_size() + plan_.dense_size() + d] = value;
    }

    MlpPlan plan_;
    ChunkPlan chunks_;
    Index n_extra_;
    Index size_;  // of the packed parameters
    bool is_empirical_;
    Buffer<T> params_;
    Owners<Worker> workers_;
    Owners<Solver> solver_;  // none before the first solve
    HeadMetric<T> metric_{};
    Index kept_per_tile_ = 0;
    Buffer<T> activations_;  // of every tile
    Index derivatives_per_tile_ = 0;
    bool is_prepared_ = false;
    Buffer<T> derivatives_;  // of every tile
    Buffer<T> moments_;      // of every tile
    Buffer<T> sums_;         // of every chunk, packed
    Buffer<T> last_weight_;
    Buffer<T> last_along_;
    Buffer<T> vector_;
    Buffer<T> image_;
    Buffer<T> scale_;
};

template <class T>
FisherHandle* fisher_create(const PolicyShape& shape, const FisherBatch<T>& batch, const T* params, int n_threads,
                            const Host& host) {
    check_actions(shape.head, batch.actions.discrete, batch.n_rows);
    return new FisherOperator<T>(shape, batch, params, n_threads, host);
}

template <class T>
void fisher_product(FisherHandle* fisher, const T* vector, const Damping<T>& damping, T* out, const Host& host) {
    static_cast<FisherOperator<T>*>(fisher)->product(vector, damping, out, host);
}

template <class T>
void fisher_diagonal(FisherHandle* fisher, T* out, const Host& host) {
    static_cast<FisherOperator<T>*>(fisher)->diagonal(out, host);
}

template <class T>
bool fisher_solve(FisherHandle* fisher, const CgRule& rule, const CgArgs<T>& args, const Damping<T>& damping,
                  const Host& host) {
    return static_cast<FisherOperator<T>*>(fisher)->solve(rule, args, damping, host);
}

template <class T>
void fisher_destroy(FisherHandle* fisher) {
    delete static_cast<FisherOperator<T>*>(fisher);
}

template <class T>
void fisher_factors(const PolicyShape& shape, const FisherBatch<T>& batch, const T* params, T* out) {
    check_actions(shape.head, batch.actions.discrete, batch.n_rows);
    FisherOperator<T>(shape, batch, params, 1, kAlone).write_factors(out);
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
