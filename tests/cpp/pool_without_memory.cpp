// What a lease gets when there is no memory for a new worker: compiled and run by tests/test_threads.py.
#include "fastpg/thread_pool.hpp"

#include <signal.h>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace {
bool has_memory = true;
}

void* operator new(std::size_t size) {
    void* const memory = has_memory ? std::malloc(size) : nullptr;
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

// Prints: threads without memory, whether that was noted, whether SIGINT is blocked then, threads with memory.
int main() {
    int n_without = 0;
    has_memory = false;
    try {
        const fastpg::ThreadLease lease(2);
        n_without = lease.n_threads();
    } catch (const std::bad_alloc&) {
        n_without = -1;
    }
    has_memory = true;
    const bool is_noted = fastpg::take_creation_failure();
    sigset_t blocked;
    sigemptyset(&blocked);
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    const fastpg::ThreadLease lease(2);
    std::printf("%d %d %d %d\n", n_without, is_noted, sigismember(&blocked, SIGINT), lease.n_threads());
}
