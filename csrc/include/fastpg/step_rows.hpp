// What a vector environment returned in one step, checked and stored.
#pragma once

#include "fastpg/api.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// Copies n numbers; false if one of them is not finite.
inline bool copy_finite(const float* from, Index n, float* to) {
    int n_bad = 0;
    for (Index i = 0; i < n; ++i) {
        to[i] = from[i];
        n_bad += !(from[i] - from[i] == 0.0F);
    }
    return n_bad == 0;
}

// Copies n rewards, rounds them to `rounded` and adds them to `returns`; false, and nothing written, if one of them is
// no finite float.
inline bool store_rewards(const double* rewards, Index n, double* copies, float* rounded, double* returns) {
    constexpr double kLargest = __FLT_MAX__;
    for (Index i = 0; i < n; ++i) {
        if (!(__builtin_fabs(rewards[i]) <= kLargest)) return false;
    }
    for (Index i = 0; i < n; ++i) {
        copies[i] = rewards[i];
        rounded[i] = static_cast<float>(rewards[i]);
        returns[i] += rewards[i];
    }
    return true;
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
