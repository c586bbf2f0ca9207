// fastpg._native: the kernels for Python. This directory is the only place that knows pybind11; it holds no
// mathematics.
#include "array_args.hpp"
#include "host.hpp"
#include "register.hpp"

#include <cmath>
#include <limits>

namespace fastpg::bindings {
namespace {

py::dict build_info() {
    py::list isas;
    for (const Isa* isa : available_isas()) isas.append(isa->name);
    py::dict info;
    info["version"] = FASTPG_VERSION;
    info["compiler"] = FASTPG_COMPILER;
    info["flags"] = FASTPG_FLAGS;
    info["isa"] = active_isa().name;
    info["isa_available"] = py::tuple(isas);
    info["sanitizers"] = FASTPG_SANITIZERS;
    return info;
}

// The thread pool looks at the affinity by itself; a quota is not to be had from the processor.
void limit_cpus() {
    const auto quota = py::module_::import("fastpg.machine").attr("cpu_quota")().cast<double>();
    if (quota < static_cast<double>(std::numeric_limits<int>::max())) set_cpu_limit(static_cast<int>(std::ceil(quota)));
}

void translate_kernel_error(std::exception_ptr pointer) {
    try {
        if (pointer) std::rethrow_exception(pointer);
    } catch (const KernelError& error) {
        const std::string where =
            " (row " + std::to_string(error.row) + ", column " + std::to_string(error.column) + ").";
        py::set_error(PyExc_ValueError, (error.message + where).c_str());
    }
}

}  // namespace

PYBIND11_MODULE(_native, module, py::mod_gil_not_used()) {
    module.doc() = "fastpg's kernels in C++. Called through fastpg.kernels, which documents and checks them.";
    py::register_exception_translator(&translate_kernel_error);
    KernelHost::remember_main_thread();
    limit_cpus();
    module.def("set_cpu_limit", &set_cpu_limit, py::arg("n"),
               "Use at most n processors at once in the whole process, whatever the affinity; n >= 1.");
    module.def("n_usable_cpus", &n_usable_cpus, "Processors that may be used: affinity and set_cpu_limit.");
    module.def("build_info", &build_info, "Version, compiler, flags and instruction sets of this extension.");
    module.def("select_isa", &select_isa, py::arg("name"),
               "Use this instruction set from now on, in the whole process.");
    register_philox(module);
    register_fma_peak(module);
    register_gae(module);
    register_mlp(module);
    register_heads(module);
    register_ppo(module);
    register_actor(module);
    register_optimizer(module);
    register_surrogate(module);
    register_value_update(module);
    register_running_moments(module);
    register_fisher(module);
    register_stepping(module);
#if FASTPG_PLANTED_BUGS
    register_planted_bugs(module);
#endif
}

}  // namespace fastpg::bindings
