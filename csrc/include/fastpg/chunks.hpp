// Rows in chunks, for kernels that sum over many rows on several threads: each chunk has a worker of its own, and the
// caller adds their sums in order. Chunks depend on the number of rows alone, so bits do not depend on the threads.
#pragma once

#include "fastpg/mlp.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// Calls f(thread, i) for every i < count: whoever of at most host.n_threads threads is free takes the next i. On one
// thread they come in order.
template <class Function>
void share_out(const Host& host, Index count, Function f) {
    struct Context {
        Function& f;
        Index count;
        Index next;
    } context{f, count, 0};
    const auto task = [](void* pointer, int thread) {
        Context& c = *static_cast<Context*>(pointer);
        for (;;) {
            const Index i = __atomic_fetch_add(&c.next, 1, __ATOMIC_RELAXED);
            if (i >= c.count) return;
            c.f(thread, i);
        }
    };
    const int n = static_cast<int>(smaller<Index>(count, host.n_threads));
    if (n > 1) return host.run(n, task, &context);
    for (Index i = 0; i < count; ++i) f(0, i);
}

// Rows in at most kMaxChunks chunks, each of about kChunkRows or more of them in whole tiles.
template <Index kChunkRows>
class Chunks {
public:
    static constexpr Index kMaxChunks = 8;

    explicit Chunks(Index n_rows)
        : n_rows_(n_rows), count_(larger<Index>(smaller<Index>(n_rows / kChunkRows, kMaxChunks), 1)) {}

    Index count() const {
        return count_;
    }
    // The end of the last one for chunk = count().
    Index first_row(Index chunk) const {
        const Index n_tiles = (n_rows_ + kTileRows - 1) / kTileRows;
        return smaller(n_tiles * chunk / count_ * kTileRows, n_rows_);
    }

private:
    Index n_rows_;
    Index count_;
};

// A worker for each chunk, of so many rows that it costs little beside them. Worker has add_rows(first, end).
template <class Worker>
class ChunkWorkers {
public:
    template <class... Args>
    explicit ChunkWorkers(Index n_rows, const Args&... args) : chunks_(n_rows) {
        for (Index c = 0; c < count(); ++c) slots_[c].worker = new Worker(args...);
    }

    Index count() const {
        return chunks_.count();
    }
    Worker& operator[](Index chunk) {
        return *slots_[chunk].worker;
    }

    // All chunks, each on one thread.
    void run(const Host& host) {
        share_out(host, count(), [this](int, Index chunk) {
            slots_[chunk].worker->add_rows(chunks_.first_row(chunk), chunks_.first_row(chunk + 1));
        });
    }

private:
    struct Slot {
        Worker* worker = nullptr;
        ~Slot() {
            delete worker;
        }
    };

    Chunks<1024> chunks_;
    Slot slots_[Chunks<1024>::kMaxChunks];
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
