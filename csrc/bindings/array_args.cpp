#include "array_args.hpp"

namespace fastpg::bindings {
namespace {

// As Python writes a tuple.
std::string text(Shape shape) {
    py::list lengths;
    for (const Index length : shape) lengths.append(length);
    return std::string(py::str(py::tuple(lengths)));
}

std::string shape_text(const py::array& array) {
    return std::string(py::str(array.attr("shape")));
}

bool has_shape(const py::array& array, Shape shape) {
    if (array.ndim() != static_cast<Index>(shape.size())) return false;
    Index axis = 0;
    for (const Index length : shape) {
        if (array.shape(axis++) != length) return false;
    }
    return true;
}

}  // namespace

void check_array(const py::array& array, const char* name, const py::dtype& dtype, Shape shape) {
    if (!array.dtype().equal(dtype)) {
        throw py::type_error(std::string(name) + ": expected dtype " + std::string(py::str(dtype)) + ", got " +
                             std::string(py::str(array.dtype())) + ".");
    }
    if (!has_shape(array, shape)) {
        throw py::value_error(std::string(name) + ": expected shape " + text(shape) + ", got " + shape_text(array) +
                              ".");
    }
    if ((array.flags() & py::array::c_style) == 0 && array.size() > 0) {
        throw py::value_error(std::string(name) + ": expected a C-contiguous array.");
    }
    if ((array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) == 0) {
        throw py::value_error(std::string(name) + ": expected an aligned array.");
    }
}

void check_output(const py::array& array, const char* name, const py::dtype& dtype, Shape shape) {
    check_array(array, name, dtype, shape);
    if (!array.writeable()) throw py::value_error(std::string(name) + ": expected a writeable array.");
}

Index axis_length(const py::array& array, const char* name, Index n_dims, Index axis) {
    if (array.ndim() != n_dims) {
        throw py::value_error(std::string(name) + ": expected " + std::to_string(n_dims) + " axes, got shape " +
                              shape_text(array) + ".");
    }
    return array.shape(axis);
}

}  // namespace fastpg::bindings
