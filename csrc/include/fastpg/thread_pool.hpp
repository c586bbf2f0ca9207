// A process-wide pool of worker threads.
//
// No thread exists before the first lease asks for one. A lease takes idle workers and never waits: it grants fewer
// threads than wanted, at least the caller's own, where others compute already, the process may use fewer processors
// (affinity, limit set by set_cpu_limit) or a thread cannot be created. So several callers share the processors.
// Workers spin for some microseconds after a task, for the next one, and then sleep; they block all signals, follow
// the caller's affinity and are left behind on purpose at exit. After fork() the child has a new, empty pool.
#pragma once

namespace fastpg {

struct Worker;
class ThreadPool;

class ThreadLease {
public:
    explicit ThreadLease(int n_wanted);
    ~ThreadLease();
    ThreadLease(const ThreadLease&) = delete;
    ThreadLease& operator=(const ThreadLease&) = delete;

    // Threads granted, the caller included.
    int n_threads() const {
        return n_workers_ + 1;
    }

    // Runs task(context, i) for i < n and returns when all have finished, on the threads that the calling thread has
    // leased; i = 0 on the calling thread. With n <= n_threads all run at the same time, the others afterwards in
    // order. The task must not throw.
    static void run(int n, void (*task)(void* context, int index), void* context);

    // Leases have more threads together than the process may use processors: since this one others have begun.
    static bool is_crowded();

    // The threads that the calling thread has leased had to share their processors with others.
    static void report_contention();

private:
    ThreadPool* pool_;
    ThreadLease* outer_;
    Worker* workers_ = nullptr;  // linked
    int n_workers_ = 0;
    int n_cpus_ = 1;             // that could be used when the workers were taken
    bool is_disturbed_ = false;  // contention was reported
};

// At most this many processors are used at once, whatever the affinity; n >= 1. For a quota that the process has.
void set_cpu_limit(int n);

// Processors that may be used: affinity of the calling thread and set_cpu_limit; at least 1.
int n_usable_cpus();

// True once after a thread could not be created.
bool take_creation_failure();

}  // namespace fastpg
