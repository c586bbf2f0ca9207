// Which instruction set the kernels use: the best one that this CPU has, unless another one is selected.
#pragma once

#include "fastpg/api.hpp"

#include <string>
#include <vector>

namespace fastpg {

// Best first; "baseline" is always there.
std::vector<const Isa*> available_isas();

const Isa& active_isa();

// Throws std::invalid_argument if `name` is unknown or not supported by this CPU.
void select_isa(const std::string& name);

template <class T>
const KernelTable<T>& kernels();

template <>
inline const KernelTable<float>& kernels<float>() {
    return active_isa().float32;
}

template <>
inline const KernelTable<double>& kernels<double>() {
    return active_isa().float64;
}

template <class T>
const SurrogateTable<T>& surrogate_kernels();

template <>
inline const SurrogateTable<float>& surrogate_kernels<float>() {
    return *active_isa().surrogate32;
}

template <>
inline const SurrogateTable<double>& surrogate_kernels<double>() {
    return *active_isa().surrogate64;
}

template <class T>
const FisherTable<T>& fisher_kernels();

template <>
inline const FisherTable<float>& fisher_kernels<float>() {
    return *active_isa().fisher32;
}

template <>
inline const FisherTable<double>& fisher_kernels<double>() {
    return *active_isa().fisher64;
}

}  // namespace fastpg
