// Rows in chunks, for kernels that sum over many rows on several threads: each chunk has a worker of its own, and the
// caller adds their sums in order. Chunks depend on the number of rows alone, so bits do not depend on the threads.
#pragma once

#include "fastpg/mlp.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// Worker has add_rows(first, end), `first` a multiple of the rows of a tile.
template <class Worker>
class ChunkWorkers {
public:
    // At most kMaxChunks, each of about kChunkRows or more rows: a worker costs little beside them.
    template <class... Args>
    explicit ChunkWorkers(Index n_rows, const Args&... args)
        : n_rows_(n_rows), count_(larger<Index>(smaller<Index>(n_rows / kChunkRows, kMaxChunks), 1)) {
        for (Index c = 0; c < count_; ++c) slots_[c].worker = new Worker(args...);
    }

    Index count() const {
        return count_;
    }
    Worker& operator[](Index chunk) {
        return *slots_[chunk].worker;
    }

    // All chunks, each on one thread.
    void run(const Host& host) {
        struct Context {
            ChunkWorkers& self;
            Index next;
        } context{*this, 0};
        const auto task = [](void* pointer, int) {
            Context& c = *static_cast<Context*>(pointer);
            for (;;) {
                const Index chunk = __atomic_fetch_add(&c.next, 1, __ATOMIC_RELAXED);
                if (chunk >= c.self.count_) return;
                c.self[chunk].add_rows(c.self.first_row(chunk), c.self.first_row(chunk + 1));
            }
        };
        const int n = static_cast<int>(smaller<Index>(count_, host.n_threads));
        n > 1 ? host.run(n, task, &context) : task(&context, 0);
    }

private:
    static constexpr Index kMaxChunks = 8;
    static constexpr Index kChunkRows = 1024;

    struct Slot {
        Worker* worker = nullptr;
        ~Slot() {
            delete worker;
        }
    };

    Index first_row(Index chunk) const {
        const Index n_tiles = (n_rows_ + kTileRows - 1) / kTileRows;
        return smaller(n_tiles * chunk / count_ * kTileRows, n_rows_);
    }

    Index n_rows_;
    Index count_;
    Slot slots_[kMaxChunks];
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
