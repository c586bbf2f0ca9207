// Running mean and variance of columns, in float64 (Chan, Golub, LeVeque 1979: the parallel update), and normalising.
#pragma once

#include "fastpg/buffer.hpp"

namespace fastpg {
namespace FASTPG_ISA {

template <class T>
inline void column_means(const MomentsArgs<T>& a, double* mean) {
    set_zero(mean, a.n_columns);
    for (Index row = 0; row < a.n_rows; ++row) {
        for (Index j = 0; j < a.n_columns; ++j) mean[j] += static_cast<double>(a.batch[row * a.n_columns + j]);
    }
    for (Index j = 0; j < a.n_columns; ++j) mean[j] /= static_cast<double>(a.n_rows);
}

// Sums of squared deviations from `mean`.
template <class T>
inline void column_deviations(const MomentsArgs<T>& a, const double* mean, double* squares) {
    set_zero(squares, a.n_columns);
    for (Index row = 0; row < a.n_rows; ++row) {
        for (Index j = 0; j < a.n_columns; ++j) {
            const double deviation = static_cast<double>(a.batch[row * a.n_columns + j]) - mean[j];
            squares[j] = multiply_add(deviation, deviation, squares[j]);
        }
    }
}

// Combines (mean, variance, count) with the batch's; returns the new count. An empty batch changes nothing.
template <class T>
double update_moments(const MomentsArgs<T>& a, double count, double* out_mean, double* out_variance) {
    copy(a.mean, a.n_columns, out_mean);
    copy(a.variance, a.n_columns, out_variance);
    if (a.n_rows == 0) return count;
    Buffer<double> batch_mean(a.n_columns);
    Buffer<double> batch_squares(a.n_columns);
    column_means(a, batch_mean.data());
    column_deviations(a, batch_mean.data(), batch_squares.data());
    const double batch_count = static_cast<double>(a.n_rows);
    const double total = count + batch_count;
    for (Index j = 0; j < a.n_columns; ++j) {
        const double shift = batch_mean.data()[j] - out_mean[j];
        const double squares =
            out_variance[j] * count + batch_squares.data()[j] + shift * shift * count * batch_count / total;
        out_mean[j] += shift * batch_count / total;
        out_variance[j] = squares / total;
    }
    return total;
}

// out = clip((x - mean) / sqrt(variance + epsilon), -clip, clip); NaN stays NaN.
template <class T>
void normalize(const MomentsArgs<T>& a, double epsilon, double clip, T* out) {
    Buffer<double> deviation(a.n_columns);
    for (Index j = 0; j < a.n_columns; ++j) deviation.data()[j] = __builtin_sqrt(a.variance[j] + epsilon);
    for (Index row = 0; row < a.n_rows; ++row) {
        for (Index j = 0; j < a.n_columns; ++j) {
            const Index at = row * a.n_columns + j;
            const double z = (static_cast<double>(a.batch[at]) - a.mean[j]) / deviation.data()[j];
            out[at] = static_cast<T>(z > clip ? clip : (z < -clip ? -clip : z));
        }
    }
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
