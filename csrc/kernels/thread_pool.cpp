#include "fastpg/thread_pool.hpp"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace fastpg {
namespace {

using Clock = std::chrono::steady_clock;

// How long a thread spins before it sleeps: about what waking it up costs.
constexpr std::chrono::microseconds kSpinTime{50};

// Leases granted without workers after contention was reported: one at first, twice as many with every further report
// up to this, half as many after every lease that was not disturbed. A single interruption costs one lease.
constexpr int kMostRefusals = 16;

// A worker is late if the caller has waited for it longer than it worked itself, by more than this; so often in a row,
// others want the processors. Being woken up takes a tenth of it.
constexpr std::chrono::microseconds kLateness{500};
constexpr int kLateRuns = 3;

std::atomic<int> cpu_limit{std::numeric_limits<int>::max()};
std::atomic<int> n_refusals{0};
std::atomic<int> next_refusals{1};
std::atomic<int> n_late_runs{0};
std::atomic<bool> has_creation_failed{false};

void spin_pause() {
#if FASTPG_X86
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// The processors that a thread may run on.
class Affinity {
public:
    static Affinity of_this_thread() {
        Affinity own;
#ifdef __linux__
        if (sched_getaffinity(0, sizeof(own.cpus_), &own.cpus_) == 0) own.count_ = CPU_COUNT(&own.cpus_);
#endif
        return own;
    }

    // 0: unknown.
    int count() const {
        return count_;
    }

    bool operator==(const Affinity& other) const {
#ifdef __linux__
        return count_ == other.count_ && CPU_EQUAL(&cpus_, &other.cpus_);
#else
        return count_ == other.count_;
#endif
    }

    // Moves the calling thread to another of these processors than `cpu`, if there is one.
    void leave(int cpu) const {
#ifdef __linux__
        if (count_ < 2 || cpu < 0 || cpu >= CPU_SETSIZE) return;
        cpu_set_t others = cpus_;
        CPU_CLR(cpu, &others);
        if (sched_setaffinity(0, sizeof(others), &others) == 0) sched_setaffinity(0, sizeof(cpus_), &cpus_);
#else
        static_cast<void>(cpu);
#endif
    }

    void apply_to(std::thread::native_handle_type thread) const {
#ifdef __linux__
        if (count_ > 0) pthread_setaffinity_np(thread, sizeof(cpus_), &cpus_);
#else
        static_cast<void>(thread);
#endif
    }

private:
#ifdef __linux__
    cpu_set_t cpus_{};
#endif
    int count_ = 0;
};

// The processor that this thread runs on; -1: unknown.
int current_cpu() {
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

int n_cpus(const Affinity& affinity) {
    int n = affinity.count() > 0 ? affinity.count() : static_cast<int>(std::thread::hardware_concurrency());
    const int limit = cpu_limit.load(std::memory_order_relaxed);
    if (n > limit) n = limit;
    return n > 0 ? n : 1;
}

// Spinning is for processors that nobody else wants.
bool may_spin() {
    return n_refusals.load(std::memory_order_relaxed) == 0;
}

// A flag that one thread sets and another waits for: by spinning at first, then asleep.
class Flag {
public:
    bool is(int value) const {
        return value_.load(std::memory_order_acquire) == value;
    }

    void set(int value) {
        value_.store(value);
        if (n_sleepers_.load() == 0) return;
        // A sleeper either has not looked at the value yet, or waits and hears this.
        {
            const std::lock_guard<std::mutex> lock(mutex_);
        }
        changed_.notify_all();
    }

    void wait_for(int value, bool may_spin) {
        if (may_spin && spin_for(value)) return;
        std::unique_lock<std::mutex> lock(mutex_);
        n_sleepers_.fetch_add(1);
        changed_.wait(lock, [&] { return value_.load() == value; });
        n_sleepers_.fetch_sub(1);
    }

private:
    static constexpr int kPausesPerLook = 32;

    bool spin_for(int value) const {
        const Clock::time_point end = Clock::now() + kSpinTime;
        do {
            for (int i = 0; i < kPausesPerLook; ++i) {
                if (is(value)) return true;
                spin_pause();
            }
        } while (Clock::now() < end);
        return is(value);
    }

    std::atomic<int> value_{0};
    std::atomic<int> n_sleepers_{0};
    std::mutex mutex_;
    std::condition_variable changed_;
};

}  // namespace

// One thread with a mailbox for one task.
struct Worker {
    enum State { kIdle, kPosted };

    void work() {
        for (;;) {
            state.wait_for(kPosted, has_worked && may_spin());
            if (poster_cpu >= 0 && poster_cpu == current_cpu()) affinity.leave(poster_cpu);
            task(context, index);
            has_worked = true;
            state.set(kIdle);
        }
    }

    void post(void (*new_task)(void*, int), void* new_context, int new_index) {
        task = new_task;
        context = new_context;
        index = new_index;
        poster_cpu = current_cpu();
        state.set(kPosted);
    }

    Worker* next = nullptr;  // in the list of the pool or of a lease
    std::thread::native_handle_type thread{};
    Affinity affinity;
    Flag state;
    bool has_worked = false;
    void (*task)(void*, int) = nullptr;
    void* context = nullptr;
    int index = 0;
    int poster_cpu = -1;  // where a worker that has just been woken up may find itself: it would have half of it
};

class ThreadPool {
public:
    // Counts the caller as computing.
    void enter() {
        n_computing_.fetch_add(1, std::memory_order_relaxed);
    }

    void leave() {
        n_computing_.fetch_sub(1, std::memory_order_relaxed);
    }

    int n_computing() const {
        return n_computing_.load(std::memory_order_relaxed);
    }

    // Up to n_wanted idle workers, linked, which then have the caller's affinity and count as computing.
    Worker* take(int n_wanted, int* n_taken, int* n_usable) {
        const Affinity affinity = Affinity::of_this_thread();
        *n_usable = n_cpus(affinity);
        const std::lock_guard<std::mutex> lock(mutex_);
        const int n_free = *n_usable - n_computing();
        const int n = n_wanted < n_free ? n_wanted : n_free;
        Worker* taken = nullptr;
        for (*n_taken = 0; *n_taken < n; ++*n_taken) {
            if (idle_ == nullptr && !create(affinity)) break;
            Worker* const worker = idle_;
            idle_ = worker->next;
            worker->next = taken;
            taken = worker;
            if (worker->affinity == affinity) continue;
            worker->affinity = affinity;
            affinity.apply_to(worker->thread);
        }
        n_computing_.fetch_add(*n_taken, std::memory_order_relaxed);
        return taken;
    }

    void give_back(Worker* workers) {
        const std::lock_guard<std::mutex> lock(mutex_);
        while (workers != nullptr) {
            Worker* const next = workers->next;
            workers->next = idle_;
            idle_ = workers;
            workers = next;
            leave();
        }
    }

private:
    // Makes a new worker the first of the idle ones; false if there is no thread to be had.
    bool create(const Affinity& affinity) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        Worker* worker = nullptr;
        bool is_created = true;
        try {
            worker = new Worker;
            std::thread thread(&Worker::work, worker);
            worker->thread = thread.native_handle();
            thread.detach();
            worker->affinity = affinity;  // inherited
            idle_ = worker;
        } catch (const std::exception&) {  // no thread, or no memory for one
            delete worker;
            is_created = false;
            has_creation_failed.store(true, std::memory_order_relaxed);
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        return is_created;
    }

    std::mutex mutex_;
    Worker* idle_ = nullptr;
    std::atomic<int> n_computing_{0};
};

namespace {

// Leaked: workers may outlive static destructors, and a forked child inherits a pool without its threads.
ThreadPool* current_pool = new ThreadPool;

[[maybe_unused]] const int kAtFork = pthread_atfork(nullptr, nullptr, [] { current_pool = new ThreadPool; });

// The innermost lease of this thread.
thread_local ThreadLease* current_lease = nullptr;

// Takes one of the refusals that are left.
bool is_refused() {
    int left = n_refusals.load(std::memory_order_relaxed);
    return left > 0 && n_refusals.compare_exchange_strong(left, left - 1, std::memory_order_relaxed);
}

void expect_fewer_refusals() {
    const int n = next_refusals.load(std::memory_order_relaxed);
    if (n > 1) next_refusals.store(n / 2, std::memory_order_relaxed);
}

void note_lateness(Clock::duration own_work, Clock::duration waited) {
    if (waited < own_work + kLateness) {
        n_late_runs.store(0, std::memory_order_relaxed);
    } else if (n_late_runs.fetch_add(1, std::memory_order_relaxed) + 1 >= kLateRuns) {
        n_late_runs.store(0, std::memory_order_relaxed);
        ThreadLease::report_contention();
    }
}

}  // namespace

ThreadLease::ThreadLease(int n_wanted) : pool_(current_pool), outer_(current_lease) {
    current_lease = this;
    pool_->enter();
    if (n_wanted < 2 || outer_ != nullptr || is_refused()) return;  // inside of a lease: its workers are busy
    workers_ = pool_->take(n_wanted - 1, &n_workers_, &n_cpus_);
}

ThreadLease::~ThreadLease() {
    if (workers_ != nullptr) {
        pool_->give_back(workers_);
        if (!is_disturbed_) expect_fewer_refusals();
    }
    pool_->leave();
    current_lease = outer_;
}

void ThreadLease::run(int n, void (*task)(void*, int), void* context) {
    Worker* const workers = current_lease != nullptr ? current_lease->workers_ : nullptr;
    const Clock::time_point start = Clock::now();
    int n_posted = 0;
    for (Worker* w = workers; w != nullptr && n_posted + 1 < n; w = w->next) w->post(task, context, ++n_posted);
    if (n > 0) task(context, 0);
    for (int i = n_posted + 1; i < n; ++i) task(context, i);
    if (n_posted == 0) return;
    const Clock::time_point end_of_own = Clock::now();
    for (Worker* w = workers; n_posted > 0; w = w->next, --n_posted) w->state.wait_for(Worker::kIdle, may_spin());
    note_lateness(end_of_own - start, Clock::now() - end_of_own);
}

bool ThreadLease::is_crowded() {
    return current_lease != nullptr && current_lease->pool_->n_computing() > current_lease->n_cpus_;
}

void ThreadLease::report_contention() {
    if (current_lease == nullptr || current_lease->is_disturbed_) return;  // once is enough
    current_lease->is_disturbed_ = true;
    const int n = next_refusals.load(std::memory_order_relaxed);
    n_refusals.store(n, std::memory_order_relaxed);
    next_refusals.store(2 * n < kMostRefusals ? 2 * n : kMostRefusals, std::memory_order_relaxed);
}

void set_cpu_limit(int n) {
    cpu_limit.store(n, std::memory_order_relaxed);
}

int n_usable_cpus() {
    return n_cpus(Affinity::of_this_thread());
}

bool take_creation_failure() {
    return has_creation_failed.exchange(false, std::memory_order_relaxed);
}

}  // namespace fastpg
