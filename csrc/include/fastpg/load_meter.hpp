// Notices that a thread does not get a processor of its own.
//
// Threads that meet at a barrier thousands of times a second are slower than one thread as soon as another process
// wants one of their processors. Between meetings they compute or spin, so on a free processor CPU time equals wall
// time.
#pragma once

#include "fastpg/api.hpp"

#include <time.h>

namespace fastpg {
namespace FASTPG_ISA {

class LoadMeter {
public:
    LoadMeter() {
        restart();
    }

    // To be called often, by the measured thread. Measures over windows of at least 10 ms: one interruption is no
    // contention.
    bool is_contended() {
        if (++n_calls_ % kCallsPerLook != 0) return is_contended_;
        const double wall = seconds(CLOCK_MONOTONIC) - wall_start_;
        if (wall < kWindow) return is_contended_;
        is_contended_ = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_start_ < kFreeShare * wall;
        restart();
        return is_contended_;
    }

private:
    static constexpr double kWindow = 1e-2;
    static constexpr double kFreeShare = 0.7;
    static constexpr int kCallsPerLook = 4;

    static double seconds(clockid_t clock) {
        timespec t{};
        clock_gettime(clock, &t);
        return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
    }

    void restart() {
        wall_start_ = seconds(CLOCK_MONOTONIC);
        cpu_start_ = seconds(CLOCK_THREAD_CPUTIME_ID);
    }

    double wall_start_ = 0;
    double cpu_start_ = 0;
    int n_calls_ = 0;
    bool is_contended_ = false;
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
