// What the kernels of whole updates share at the boundary: counts, and the optimiser's state.
#pragma once

#include "array_args.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace fastpg::bindings {

inline void require(bool condition, const char* message) {
    if (!condition) throw py::value_error(message);
}

// Throws ValueError unless the shuffles of an update can be numbered.
template <class Rule>
void check_counts(const Rule& rule, Index n_rows) {
    require(n_rows >= 1 && static_cast<std::uint64_t>(n_rows) < std::uint64_t{1} << 32,
            "observations: expected at least one and fewer than 2^32 rows.");
    require(rule.n_epochs >= 1 && rule.n_epochs < 1 << 16, "n_epochs: expected at least 1 and less than 2^16.");
    require(rule.batch_size >= 1, "batch_size: expected at least 1.");
    require(rule.adam_step >= 0, "adam_step: expected at least 0.");
    require(rule.update_index < std::uint64_t{1} << 40, "update_index: expected less than 2^40.");
}

// Copies parameters and moments, n of each, into the arrays `to`, which the kernel then changes in place.
template <class T>
OptimizerArrays<T> copy_state(const std::array<const py::array*, 3>& from, const std::array<py::array, 3>& to,
                              Index n) {
    constexpr const char* kNames[] = {"params", "first_moment", "second_moment"};
    constexpr const char* kOutNames[] = {"out[0]", "out[1]", "out[2]"};
    T* pointers[3];
    for (std::size_t i = 0; i < 3; ++i) {
        const T* values = input<T>(*from[i], kNames[i], {n});
        pointers[i] = output<T>(to[i], kOutNames[i], {n});
        std::copy(values, values + n, pointers[i]);
    }
    return {pointers[0], pointers[1], pointers[2]};
}

}  // namespace fastpg::bindings
