// What a long-running kernel gets from the process: threads, and news of Ctrl-C.
#pragma once

#include "fastpg/api.hpp"
#include "fastpg/thread_pool.hpp"

namespace fastpg::bindings {

// Construct it on the thread that calls the kernel, without the GIL. Throws what Python throws where a warning that
// there are fewer threads is an error.
class KernelHost {
public:
    explicit KernelHost(int n_threads);

    // To be called once, when the module is imported.
    static void remember_main_thread();

    Host host() const {
        return {lease_.n_threads(), &ThreadLease::run, &is_interrupted, &ThreadLease::is_crowded,
                &ThreadLease::report_contention};
    }

private:
    // Runs Python's signal handlers about every 50 ms; true if one raised. The exception stays set.
    static bool is_interrupted();

    ThreadLease lease_;
};

}  // namespace fastpg::bindings
