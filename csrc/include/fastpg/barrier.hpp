// A barrier for a fixed number of threads that meet very often: spins briefly, then yields the processor.
#pragma once

#include "fastpg/simd.hpp"

#include <sched.h>

namespace fastpg {
namespace FASTPG_ISA {

class Barrier {
public:
    explicit Barrier(int n_threads) : n_threads_(n_threads) {}

    // Returns when all threads have called it equally often. What a thread wrote before is seen by all after.
    void wait() {
        const std::uint64_t ticket = __atomic_fetch_add(&arrivals_, 1, __ATOMIC_ACQ_REL);
        const std::uint64_t target =
            (ticket / static_cast<unsigned>(n_threads_) + 1) * static_cast<unsigned>(n_threads_);
        for (int spins = 0; __atomic_load_n(&arrivals_, __ATOMIC_ACQUIRE) < target; ++spins) {
            if (spins < kSpins) {
                pause();
            } else {
                sched_yield();
            }
        }
    }

private:
    static constexpr int kSpins = 4000;  // some 50 us: longer than two threads drift apart in a minibatch

    static void pause() {
#if FASTPG_X86
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
    }

    int n_threads_;
    std::uint64_t arrivals_ = 0;
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
