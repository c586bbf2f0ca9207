// A = L L' of a symmetric positive definite matrix, row by row, and the solution of A x = b.
#pragma once

#include "fastpg/buffer.hpp"

namespace fastpg {
namespace FASTPG_ISA {

template <class T>
constexpr T kEpsilon = sizeof(T) == sizeof(float) ? static_cast<T>(__FLT_EPSILON__) : static_cast<T>(__DBL_EPSILON__);

// Of the first n numbers; both arrays may be read, and are finite, up to the next multiple of 16.
template <class T>
FASTPG_INLINE T padded_dot(const T* a, const T* b, Index n) {
    T sum = sum_of_products(a, b, n / kPanel * kPanel);
    for (Index i = n / kPanel * kPanel; i < n; ++i) sum = multiply_add(a[i], b[i], sum);
    return sum;
}

// False, and `out` zero, if the damped matrix is not positive definite. Reads the lower triangle.
template <class T>
bool cholesky_solve(const T* matrix, const T* rhs, Index n, double damping, T* out) {
    const Index stride = round_up(n, kPanel);
    Buffer<T> lower(n * stride);
    const T shift = static_cast<T>(damping);
    for (Index i = 0; i < n; ++i) {
        T* row = lower.data() + i * stride;
        for (Index j = 0; j < i; ++j) {
            const T* other = lower.data() + j * stride;
            row[j] = (matrix[i * n + j] - padded_dot(row, other, j)) / other[j];
        }
        const T diagonal = matrix[i * n + i] + shift;
        const T pivot = diagonal - padded_dot(row, row, i);
        if (!(pivot > kEpsilon<T> * diagonal)) {
            set_zero(out, n);
            return false;
        }
        row[i] = square_root(pivot);
    }
    Buffer<T> x(n);
    for (Index i = 0; i < n; ++i) {
        const T* row = lower.data() + i * stride;
        x.data()[i] = (rhs[i] - padded_dot(row, x.data(), i)) / row[i];
    }
    for (Index i = n - 1; i >= 0; --i) {
        const T* row = lower.data() + i * stride;
        x.data()[i] /= row[i];
        for (Index j = 0; j < i; ++j) x.data()[j] = multiply_add(-row[j], x.data()[i], x.data()[j]);
    }
    copy(x.data(), n, out);
    return true;
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
