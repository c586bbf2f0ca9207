#include "fastpg/dispatch.hpp"

#include <atomic>
#include <stdexcept>

namespace fastpg {
namespace {

#if FASTPG_HAS_AVX2 || FASTPG_HAS_AVX512
// Exactly the features that CMakeLists.txt compiles these units for.
bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#if FASTPG_HAS_AVX512
bool has_avx512() {
#if FASTPG_EMULATE_AVX512
    return has_avx2();
#else
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
#endif
}
#endif
#endif

// The emulated AVX-512 unit is for tests: available, never the default.
const Isa* default_isa() {
    const std::vector<const Isa*> all = available_isas();
#if FASTPG_EMULATE_AVX512
    for (const Isa* isa : all) {
        if (std::string(isa->name) != "avx512") return isa;
    }
#endif
    return all.front();
}

std::atomic<const Isa*>& active() {
    static std::atomic<const Isa*> isa{default_isa()};
    return isa;
}

}  // namespace

std::vector<const Isa*> available_isas() {
    std::vector<const Isa*> all;
#if FASTPG_HAS_AVX512
    if (has_avx512()) all.push_back(&avx512::isa());
#endif
#if FASTPG_HAS_AVX2
    if (has_avx2()) all.push_back(&avx2::isa());
#endif
#if FASTPG_HAS_BASELINE
    all.push_back(&baseline::isa());
#endif
    return all;
}

const Isa& active_isa() {
    return *active().load(std::memory_order_acquire);
}

void select_isa(const std::string& name) {
    std::string names;
    for (const Isa* isa : available_isas()) {
        if (name == isa->name) {
            active().store(isa, std::memory_order_release);
            return;
        }
        names += (names.empty() ? "" : ", ") + std::string(isa->name);
    }
    throw std::invalid_argument("instruction set: expected one that this CPU and this build have (" + names +
                                "), got '" + name + "'. Fix: choose one of these, or unset FASTPG_ISA.");
}

}  // namespace fastpg
