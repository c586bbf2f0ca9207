// Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438, eq. 16), time-major (T, N):
//   td_error_t = r_t + gamma (1 - terminated_t) V(s'_t) - V(s_t)
//   A_t        = td_error_t + gamma lambda (1 - (terminated_t or truncated_t)) A_{t+1}
#pragma once

#include "fastpg/simd.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// One time step of all environments; `next` holds A_{t+1}, or is null at the last step.
template <class T>
inline void gae_step(const GaeArgs<T>& a, Index t, const T* next) {
    const T* __restrict rewards = a.rewards + t * a.n_envs;
    const T* __restrict values = a.values + t * a.n_envs;
    const T* __restrict next_values = a.next_values + t * a.n_envs;
    const bool* __restrict terminated = a.terminated + t * a.n_envs;
    const bool* __restrict truncated = a.truncated + t * a.n_envs;
    T* __restrict out = a.out + t * a.n_envs;
    const T gamma = static_cast<T>(a.gamma);
    const T decay = static_cast<T>(a.gamma * a.gae_lambda);
    for (Index i = 0; i < a.n_envs; ++i) {
        // Chosen, not multiplied by zero: a NaN or infinity behind the end of an episode stays there.
        const T following = next != nullptr ? next[i] : T{0};
        const T bootstrap = terminated[i] ? T{0} : gamma * next_values[i];
        const T carry = (terminated[i] | truncated[i]) ? T{0} : decay * following;
        out[i] = rewards[i] + bootstrap - values[i] + carry;
    }
}

template <class T>
void gae(const GaeArgs<T>& a) {
    for (Index t = a.n_steps - 1; t >= 0; --t) {
        gae_step(a, t, t + 1 < a.n_steps ? a.out + (t + 1) * a.n_envs : nullptr);
    }
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
