// A process-wide pool of worker threads.
//
// No thread exists before the first lease asks for one. A lease is exclusive and never waits: where the pool is busy,
// the process may use one CPU only, or a thread cannot be created, it grants fewer threads than wanted, at least the
// caller's own. Workers sleep between leases, block all signals, and are left behind on purpose at exit. After fork()
// the child has a new, empty pool.
#pragma once

namespace fastpg {

class ThreadLease {
public:
    explicit ThreadLease(int n_wanted);
    ~ThreadLease();
    ThreadLease(const ThreadLease&) = delete;
    ThreadLease& operator=(const ThreadLease&) = delete;

    // Threads granted, the caller included.
    int n_threads() const {
        return n_threads_;
    }

    // Runs task(context, i) for i < n and returns when all have finished; i = 0 on the calling thread. With n <=
    // n_threads all run at the same time; with one thread they run in order. The task must not throw.
    static void run(int n, void (*task)(void* context, int index), void* context);

    // The threads had to share their processors with others.
    static void report_contention();

private:
    int n_threads_;
};

}  // namespace fastpg
