// Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1) in the form of torch.optim.Adam, and the global norm clip of
// torch.nn.utils.clip_grad_norm_: coefficient = min(1, max_norm / (norm + 1e-6)).
#pragma once

#include "fastpg/buffer.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// The step's constants; bias corrections 1 - beta^step are taken in double precision.
template <class T>
struct AdamStep {
    T beta1, beta2, one_minus_beta1, one_minus_beta2, step_size, root_scale, epsilon, gradient_scale;

    AdamStep(const AdamRule& rule, Index step, double scale = 1.0)
        : beta1(static_cast<T>(rule.beta1)),
          beta2(static_cast<T>(rule.beta2)),
          one_minus_beta1(static_cast<T>(1.0 - rule.beta1)),
          one_minus_beta2(static_cast<T>(1.0 - rule.beta2)),
          step_size(static_cast<T>(rule.learning_rate / (1.0 - __builtin_pow(rule.beta1, static_cast<double>(step))))),
          root_scale(static_cast<T>(1.0 / __builtin_sqrt(1.0 - __builtin_pow(rule.beta2, static_cast<double>(step))))),
          epsilon(static_cast<T>(rule.epsilon)),
          gradient_scale(static_cast<T>(scale)) {}
};

// Updates params and moments in place. The gradient is multiplied by gradient_scale first.
template <class T>
inline void adam_apply(const AdamStep<T>& s, const T* __restrict gradient, Index n, T* __restrict params,
                       T* __restrict first_moment, T* __restrict second_moment) {
    for (Index i = 0; i < n; ++i) {
        const T g = gradient[i] * s.gradient_scale;
        const T m = s.beta1 * first_moment[i] + s.one_minus_beta1 * g;
        const T v = s.beta2 * second_moment[i] + s.one_minus_beta2 * (g * g);
        first_moment[i] = m;
        second_moment[i] = v;
        params[i] -= s.step_size * m / (square_root(v) * s.root_scale + s.epsilon);
    }
}

template <class T>
void adam_step(const AdamArgs<T>& a) {
    copy(a.params, a.n_params, a.out_params);
    copy(a.first_moment, a.n_params, a.out_first_moment);
    copy(a.second_moment, a.n_params, a.out_second_moment);
    adam_apply(AdamStep<T>(a.rule, a.step), a.gradient, a.n_params, a.out_params, a.out_first_moment,
               a.out_second_moment);
}

// Sum of squares over whole panels of 16, then the rest. Single precision that overflows is done again in double.
template <class T>
inline double sum_of_squares(const T* x, Index n) {
    const Index whole = n / kPanel * kPanel;
    T sum = sum_terms<T>(whole, [x](Index i) { return load(x + i) * load(x + i); });
    T rest = T{0};
    for (Index i = whole; i < n; ++i) rest += x[i] * x[i];
    const double fast = static_cast<double>(sum + rest);
    if (fast < __builtin_inf()) return fast;
    double exact = 0;
    for (Index i = 0; i < n; ++i) exact += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return exact;
}

inline double clip_coefficient(double norm, double max_norm) {
    constexpr double kGuard = 1e-6;
    return smaller(1.0, max_norm / (norm + kGuard));
}

// Scales the gradient to at most max_norm; returns the norm before.
template <class T>
double clip_global_norm(const T* gradient, Index n, double max_norm, T* out) {
    const double norm = __builtin_sqrt(sum_of_squares(gradient, n));
    const T coefficient = static_cast<T>(clip_coefficient(norm, max_norm));
    for (Index i = 0; i < n; ++i) out[i] = gradient[i] * coefficient;
    return norm;
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
