// Actions and random counters at the boundary.
#pragma once

#include "array_args.hpp"
#include "layout_args.hpp"

namespace fastpg::bindings {

template <class T>
Actions<T> input_actions(const py::array& actions, const HeadLayout& head, Shape shape) {
    if (head.kind() == HeadKind::kGaussian) return {input<T>(actions, "actions", shape), nullptr};
    return {nullptr, input<std::int32_t>(actions, "actions", shape)};
}

template <class T>
ActionsOut<T> output_actions(const py::array& actions, const HeadLayout& head, Shape shape) {
    if (head.kind() == HeadKind::kGaussian) return {output<T>(actions, "actions", shape), nullptr};
    return {nullptr, output<std::int32_t>(actions, "actions", shape)};
}

inline PhiloxKey make_key(std::uint64_t seed, std::uint32_t stream, std::uint64_t step) {
    if (stream >= 1U << 8) throw py::value_error("stream: expected less than 2^8.");
    if (step >= std::uint64_t{1} << 56) throw py::value_error("step: expected less than 2^56.");
    return {seed, stream, step};
}

}  // namespace fastpg::bindings
