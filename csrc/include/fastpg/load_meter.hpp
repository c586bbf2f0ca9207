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
    // Measures over windows of at least so many seconds: over long ones, one interruption is no contention, nor is a
    // single short window.
    explicit LoadMeter(double window = 1e-2) : window_(window) {
        restart();
    }

    // To be called often, by the measured thread.
    bool is_contended() {
        if (++n_calls_ % kCallsPerLook != 0) return is_contended_;
        const double wall = seconds(CLOCK_MONOTONIC) - wall_start_;
        if (wall < window_) return is_contended_;
        const bool is_short = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_start_ < kFreeShare * wall;
        is_contended_ = is_short && was_short_;
        was_short_ = is_short;
        restart();
        return is_contended_;
    }

private:
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

    double window_;
    double wall_start_ = 0;
    double cpu_start_ = 0;
    int n_calls_ = 0;
    bool was_short_ = false;  // of processor time, in the window before
    bool is_contended_ = false;
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
