#include "fastpg/thread_pool.hpp"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace fastpg {
namespace {

// CPUs that this process may run on.
int n_allowed_cpus() {
#ifdef __linux__
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0) return CPU_COUNT(&cpus);
#endif
    const unsigned n = std::thread::hardware_concurrency();
    return n > 0 ? static_cast<int>(n) : 1;
}

class ThreadPool {
public:
    // Makes sure that there are up to n workers; returns how many there are, at most n.
    int grow(int n) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        try {
            for (; n_workers_ < n; ++n_workers_) std::thread(&ThreadPool::work, this, n_workers_ + 1).detach();
        } catch (const std::system_error&) {
            // no more threads to be had: fewer do
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        return n < n_workers_ ? n : n_workers_;
    }

    void run(int n, void (*task)(void*, int), void* context) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            task_ = task;
            context_ = context;
            n_tasks_ = n;
            n_unfinished_ = n - 1;
            ++round_;
        }
        start_.notify_all();
        task(context, 0);
        std::unique_lock<std::mutex> lock(mutex_);
        finished_.wait(lock, [this] { return n_unfinished_ == 0; });
    }

    std::mutex lease;

private:
    void work(int index) {
        unsigned long seen = 0;
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            start_.wait(lock, [&] { return round_ != seen; });
            seen = round_;
            if (index >= n_tasks_) continue;
            lock.unlock();
            task_(context_, index);
            lock.lock();
            if (--n_unfinished_ == 0) finished_.notify_one();
        }
    }

    std::mutex mutex_;
    std::condition_variable start_;
    std::condition_variable finished_;
    unsigned long round_ = 0;
    int n_workers_ = 0;
    int n_tasks_ = 0;
    int n_unfinished_ = 0;
    void (*task_)(void*, int) = nullptr;
    void* context_ = nullptr;
};

ThreadPool* current_pool = nullptr;

// Leaked: workers may outlive static destructors, and a forked child inherits a pool without its threads.
void renew_pool() {
    current_pool = new ThreadPool;
}

ThreadPool& pool() {
    static const int once = [] {
        renew_pool();
        return pthread_atfork(nullptr, nullptr, renew_pool);
    }();
    static_cast<void>(once);
    return *current_pool;
}

thread_local ThreadPool* leased_pool = nullptr;

// Leases still to be refused after contention.
constexpr int kRefusals = 8;
std::atomic<int> n_refusals{0};

// Takes one of the refusals that are left.
bool is_refused() {
    int left = n_refusals.load(std::memory_order_relaxed);
    return left > 0 && n_refusals.compare_exchange_strong(left, left - 1, std::memory_order_relaxed);
}

}  // namespace

ThreadLease::ThreadLease(int n_wanted) : n_threads_(1) {
    const int n_cpus = n_wanted > 1 ? n_allowed_cpus() : 1;
    const int n = n_wanted < n_cpus ? n_wanted : n_cpus;
    if (n < 2 || leased_pool != nullptr || is_refused() || !pool().lease.try_lock()) return;
    n_threads_ = pool().grow(n - 1) + 1;
    if (n_threads_ > 1) {
        leased_pool = &pool();
    } else {
        pool().lease.unlock();
    }
}

ThreadLease::~ThreadLease() {
    if (n_threads_ == 1) return;
    leased_pool->lease.unlock();
    leased_pool = nullptr;
}

void ThreadLease::report_contention() {
    n_refusals.store(kRefusals, std::memory_order_relaxed);
}

void ThreadLease::run(int n, void (*task)(void*, int), void* context) {
    if (leased_pool != nullptr) return leased_pool->run(n, task, context);
    for (int i = 0; i < n; ++i) task(context, i);
}

}  // namespace fastpg
