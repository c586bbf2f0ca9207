// One function per kernel family: adds its functions to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace fastpg::bindings {

void register_philox(pybind11::module_& module);
void register_fma_peak(pybind11::module_& module);
void register_gae(pybind11::module_& module);
void register_heads(pybind11::module_& module);
void register_ppo(pybind11::module_& module);
void register_actor(pybind11::module_& module);
void register_mlp(pybind11::module_& module);
void register_optimizer(pybind11::module_& module);
void register_surrogate(pybind11::module_& module);
void register_value_update(pybind11::module_& module);
void register_running_moments(pybind11::module_& module);
void register_fisher(pybind11::module_& module);
void register_stepping(pybind11::module_& module);
void register_planted_bugs(pybind11::module_& module);  // defined in sanitizer builds only

}  // namespace fastpg::bindings
