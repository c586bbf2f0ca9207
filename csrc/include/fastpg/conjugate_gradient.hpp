// Conjugate gradient (Hestenes & Stiefel 1952) for A x = b, A symmetric positive definite.
//
// The same algorithm as fastpg/kernels/linear_solve.py, which documents what ends it. Vectors have a length that is a
// multiple of 16, padded with zeros; dot products are taken in double precision over 16 lanes. Nothing is allocated
// after construction.
#pragma once

#include "fastpg/buffer.hpp"

namespace fastpg {
namespace FASTPG_ISA {

constexpr Index kRefreshInterval = 10;     // REFRESH_INTERVAL of linear_solve.py
constexpr Index kStagnationPatience = 20;  // STAGNATION_PATIENCE

// kLanes<double> numbers in double precision.
FASTPG_INLINE Vec<double> load_double(const double* from) {
    return load(from);
}
FASTPG_INLINE Vec<double> load_double(const float* from) {
    typedef float Floats __attribute__((vector_size(FASTPG_VECTOR_BYTES / 2)));
    Floats numbers;
    __builtin_memcpy(&numbers, from, sizeof(numbers));
    return __builtin_convertvector(numbers, Vec<double>);
}

// a'b in double precision; n is a multiple of 16.
template <class T>
inline double dot(const T* a, const T* b, Index n) {
    return sum_lanes<double>(n, [=](Index i, const Vec<double>& sum) {
        return multiply_add<double>(load_double(a + i), load_double(b + i), sum);
    });
}

// y += factor * x
template <class T>
inline void add_scaled(const T* __restrict x, T factor, Index n, T* __restrict y) {
    for (Index i = 0; i < n; ++i) y[i] = multiply_add(factor, x[i], y[i]);
}

template <class T>
class ConjugateGradient {
public:
    explicit ConjugateGradient(Index n) : n_(n) {
        for (Buffer<T>* vector : {&x_, &r_, &p_, &ap_, &next_x_, &next_r_, &best_x_, &best_r_}) vector->reset(n);
    }

    const T* solution() const {
        return x_.data();
    }

    // multiply(v, out): out <- A v. keep(iteration, x) is called after every iteration. `start` may be null. Returns
    // false if poll() asked to stop.
    template <class Multiply, class Keep, class Poll>
    bool solve(const CgRule& rule, const T* rhs, const T* start, double* stats, Multiply multiply, Keep keep,
               Poll poll) {
        rhs_norm_ = __builtin_sqrt(dot(rhs, rhs, n_));
        threshold_ = larger(rule.relative_tolerance * rhs_norm_, rule.absolute_tolerance);
        iterations_ = best_iteration_ = 0;
        is_running_ = true;
        begin(rhs, rhs_norm_ == 0 ? nullptr : start, multiply);
        while (is_running_ && iterations_ < rule.max_iterations) {
            if (poll()) return false;
            if (iterate(rhs, iterations_ + 1 == rule.max_iterations, multiply)) keep(iterations_, x_.data());
        }
        if (is_running_) status_ = CgStatus::kMaxIterations;
        if (status_ == CgStatus::kStagnation) restore_best();
        stats[kCgStatus] = static_cast<double>(status_);
        stats[kCgIterations] = static_cast<double>(iterations_);
        stats[kCgResidual] = rhs_norm_ > 0 ? __builtin_sqrt(rr_) / rhs_norm_ : rhs_norm_;
        stats[kCgCurvature] = dot(x_.data(), rhs, n_) - dot(x_.data(), r_.data(), n_);
        return true;
    }

private:
    void end(CgStatus status) {
        status_ = status;
        is_running_ = false;
    }

    // r <- b - A x
    template <class Multiply>
    void refresh(const T* rhs, const T* x, T* r, Multiply multiply) {
        multiply(x, r);
        for (Index i = 0; i < n_; ++i) r[i] = rhs[i] - r[i];
    }

    template <class Multiply>
    void begin(const T* rhs, const T* start, Multiply multiply) {
        if (start == nullptr) {
            set_zero(x_.data(), n_);
            copy(rhs, n_, r_.data());
        } else {
            copy(start, n_, x_.data());
            refresh(rhs, x_.data(), r_.data(), multiply);
        }
        copy(r_.data(), n_, p_.data());
        rr_ = dot(r_.data(), r_.data(), n_);
        keep_best(model(rhs));
        if (rhs_norm_ == 0) {
            end(CgStatus::kZeroRhs);
        } else if (!(rr_ < __builtin_inf())) {
            end(CgStatus::kBreakdown);
        } else if (__builtin_sqrt(rr_) <= threshold_) {
            end(CgStatus::kConverged);
        }
    }

    // One step along p; false if it cannot be taken.
    template <class Multiply>
    bool iterate(const T* rhs, bool is_last, Multiply multiply) {
        const T* p = p_.data();
        multiply(p, ap_.data());
        const double curvature = dot(p, ap_.data(), n_);
        const double norms = dot(p, p, n_) * dot(ap_.data(), ap_.data(), n_);
        if (!(curvature > kRounding * __builtin_sqrt(norms) && curvature < __builtin_inf())) {
            end(CgStatus::kBreakdown);
            return false;
        }
        const T alpha = static_cast<T>(rr_ / curvature);
        T *x = next_x_.data(), *r = next_r_.data();
        for (Index i = 0; i < n_; ++i) x[i] = multiply_add(alpha, p[i], x_.data()[i]);
        if ((iterations_ + 1) % kRefreshInterval == 0 && !is_last) {
            refresh(rhs, x, r, multiply);
        } else {
            for (Index i = 0; i < n_; ++i) r[i] = multiply_add(-alpha, ap_.data()[i], r_.data()[i]);
        }
        const double rr = dot(r, r, n_);
        if (!(rr < __builtin_inf())) {
            end(CgStatus::kBreakdown);
            return false;
        }
        take(rhs, rr);
        return true;
    }

    // The step becomes the iterate, and p the next direction.
    void take(const T* rhs, double rr) {
        copy(next_x_.data(), n_, x_.data());
        copy(next_r_.data(), n_, r_.data());
        const T beta = static_cast<T>(rr / rr_);
        for (Index i = 0; i < n_; ++i) p_.data()[i] = multiply_add(beta, p_.data()[i], r_.data()[i]);
        rr_ = rr;
        ++iterations_;
        const double value = model(rhs), margin = kRounding * __builtin_fabs(best_model_);
        if (value < best_model_ - margin || (value <= best_model_ + margin && rr < best_rr_)) {
            keep_best(value);
            best_iteration_ = iterations_;
        }
        if (__builtin_sqrt(rr) <= threshold_) {
            end(CgStatus::kConverged);
        } else if (iterations_ - best_iteration_ >= kStagnationPatience) {
            end(CgStatus::kStagnation);
        }
    }

    // x'Ax / 2 - b'x, by A x = b - r.
    double model(const T* rhs) const {
        return -(dot(x_.data(), rhs, n_) + dot(x_.data(), r_.data(), n_)) / 2;
    }

    void keep_best(double value) {
        best_model_ = value;
        copy(x_.data(), n_, best_x_.data());
        copy(r_.data(), n_, best_r_.data());
        best_rr_ = rr_;
    }

    void restore_best() {
        copy(best_x_.data(), n_, x_.data());
        copy(best_r_.data(), n_, r_.data());
        rr_ = best_rr_;
    }

    static constexpr double kRounding = sizeof(T) == sizeof(float) ? __FLT_EPSILON__ : __DBL_EPSILON__;

    Index n_;
    Buffer<T> x_, r_, p_, ap_, next_x_, next_r_, best_x_, best_r_;
    double rhs_norm_ = 0, threshold_ = 0, rr_ = 0, best_rr_ = 0, best_model_ = 0;
    Index iterations_ = 0, best_iteration_ = 0;
    CgStatus status_ = CgStatus::kMaxIterations;
    bool is_running_ = false;
};

}  // namespace FASTPG_ISA
}  // namespace fastpg
