// What a vector environment returned in one step, checked and stored.
#pragma once

#include "fastpg/api.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// Copies n numbers; false if one of them is not finite.
template <class T>
bool copy_finite(const T* from, Index n, T* to) {
    int n_bad = 0;
    for (Index i = 0; i < n; ++i) {
        to[i] = from[i];
        n_bad += !(from[i] - from[i] == T{0});
    }
    return n_bad == 0;
}

// Copies n rewards, rounds them to `rounded` and adds them to `returns`; false, and nothing written, if one of them is
// no finite T.
template <class T>
bool store_rewards(const double* rewards, Index n, double* copies, T* rounded, double* returns) {
    constexpr double kLargest = sizeof(T) == sizeof(float) ? __FLT_MAX__ : __DBL_MAX__;
    for (Index i = 0; i < n; ++i) {
        if (!(__builtin_fabs(rewards[i]) <= kLargest)) return false;
    }
    for (Index i = 0; i < n; ++i) {
        copies[i] = rewards[i];
        rounded[i] = static_cast<T>(rewards[i]);
        returns[i] += rewards[i];
    }
    return true;
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
