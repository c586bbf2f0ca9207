// What follows when threads do not get processors of their own: compiled and run by tests/test_threads.py.
#include "fastpg/load_meter.hpp"
#include "fastpg/thread_pool.hpp"

#include <chrono>
#include <cstdio>
#include <thread>

namespace {

using fastpg::ThreadLease;
using fastpg::FASTPG_ISA::LoadMeter;

void sleep_ms(int n) {
    std::this_thread::sleep_for(std::chrono::milliseconds(n));
}

// A lease of two threads that reports contention if it gets them and is to do so; the number of its threads.
int lease(bool reports) {
    const ThreadLease lease(2);
    if (reports && lease.n_threads() == 2) ThreadLease::report_contention();
    return lease.n_threads();
}

// Leases of one thread before there is one of two again, which is not counted.
int n_refused(bool reports) {
    int n = 0;
    while (lease(reports) == 1) ++n;
    return n;
}

// Prints how many leases are refused after each of 7 reports in a row, then after one that follows 8 quiet leases.
void print_refusals() {
    lease(true);
    for (int report = 0; report < 7; ++report) std::printf("%d ", n_refused(report < 6));
    for (int quiet = 0; quiet < 8; ++quiet) lease(false);
    lease(true);
    std::printf("%d\n", n_refused(false));
}

// Runs a task of two threads for each letter: with l(ate) the caller waits for the worker, with o(n time) it does not.
void run(const char* kinds) {
    const ThreadLease lease(2);
    for (; *kinds != '\0'; ++kinds) {
        const int sleeper = *kinds == 'l' ? 1 : 0;
        auto task = [](void* context, int index) {
            if (index == *static_cast<const int*>(context)) sleep_ms(index == 0 ? 100 : 20);
        };
        ThreadLease::run(2, task, const_cast<int*>(&sleeper));
    }
}

void print_refusals_after(const char* kinds) {
    run(kinds);
    std::printf("%s %d\n", kinds, n_refused(false));
}

// Calls the meter often enough for one look.
bool look(LoadMeter& meter) {
    for (int call = 0; call < 3; ++call) meter.is_contended();
    return meter.is_contended();
}

// Prints what the meter says after one window without processor time, and after two.
void print_load() {
    LoadMeter meter(1e-2);
    for (int window = 0; window < 2; ++window) {
        sleep_ms(20);
        std::printf("%d ", look(meter));
    }
    std::printf("\n");
}

}  // namespace

int main() {
    print_refusals();
    print_refusals_after("oll");
    print_refusals_after("ololol");
    print_refusals_after("olll");
    print_load();
}
