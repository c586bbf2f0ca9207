// RMSprop (Tieleman & Hinton 2012, lecture 6.5) in the form of torch.optim.RMSprop: epsilon after the root.
#pragma once

#include "fastpg/buffer.hpp"

namespace fastpg {
namespace FASTPG_ISA {

template <class T>
void rmsprop_step(const RmspropArgs<T>& a) {
    copy(a.params, a.n_params, a.out_params);
    copy(a.square_average, a.n_params, a.out_square_average);
    const T rate = static_cast<T>(a.learning_rate), epsilon = static_cast<T>(a.epsilon);
    const T alpha = static_cast<T>(a.alpha), rest = static_cast<T>(1.0 - a.alpha);
    const T* __restrict gradient = a.gradient;
    T* __restrict params = a.out_params;
    T* __restrict square_average = a.out_square_average;
    for (Index i = 0; i < a.n_params; ++i) {
        const T v = multiply_add(alpha, square_average[i], rest * (gradient[i] * gradient[i]));
        square_average[i] = v;
        params[i] -= rate * gradient[i] / (square_root(v) + epsilon);
    }
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
