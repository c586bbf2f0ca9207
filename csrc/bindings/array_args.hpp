// Arrays at the boundary: raw pointers out of NumPy arrays, after a check of type, shape and layout.
//
// The entry points in fastpg/kernels have checked before; these checks make a direct call of fastpg._native safe, too.
// Nothing is converted or copied here.
#pragma once

#include "fastpg/dispatch.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <string>

namespace fastpg::bindings {

namespace py = pybind11;

using Shape = std::initializer_list<Index>;

// Throws TypeError or ValueError unless `array` is C-contiguous with exactly this dtype and shape.
void check_array(const py::array& array, const char* name, const py::dtype& dtype, Shape shape);

// Also requires a writeable array.
void check_output(const py::array& array, const char* name, const py::dtype& dtype, Shape shape);

// The length of one axis; throws ValueError if the array has not exactly `n_dims` axes.
Index axis_length(const py::array& array, const char* name, Index n_dims, Index axis);

template <class T>
const T* input(const py::array& array, const char* name, Shape shape) {
    check_array(array, name, py::dtype::of<T>(), shape);
    return static_cast<const T*>(array.data());
}

template <class T>
T* output(const py::array& array, const char* name, Shape shape) {
    check_output(array, name, py::dtype::of<T>(), shape);
    return static_cast<T*>(const_cast<void*>(array.data()));
}

// Calls f(float{}) or f(double{}) according to the dtype of `array`.
template <class Function>
void by_dtype(const py::array& array, const char* name, Function f) {
    if (py::isinstance<py::array_t<float>>(array)) {
        f(float{});
    } else if (py::isinstance<py::array_t<double>>(array)) {
        f(double{});
    } else {
        throw py::type_error(std::string(name) + ": expected float32 or float64, got " +
                             std::string(py::str(array.dtype())) + ".");
    }
}

}  // namespace fastpg::bindings
