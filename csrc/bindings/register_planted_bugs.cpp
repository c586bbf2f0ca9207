// Sanitizer builds only: _native.planted_bug, for tests/sanitizers. The bugs are compiled once more here, as a part of
// the bindings.
#if FASTPG_PLANTED_BUGS
#define FASTPG_ISA bindings
#include "../sanitizers/planted_bugs.cpp"

#include <pybind11/pybind11.h>

#include <string>
#include <thread>

#include "register.hpp"

namespace fastpg {

#if FASTPG_HAS_BASELINE
namespace baseline {
const PlantedBugs& planted_bugs();
}
#endif
#if FASTPG_HAS_AVX2
namespace avx2 {
const PlantedBugs& planted_bugs();
}
#endif
#if FASTPG_HAS_AVX512
namespace avx512 {
const PlantedBugs& planted_bugs();
}
#endif

namespace bindings {
namespace {

namespace py = pybind11;

const PlantedBugs& bugs_of(const std::string& place) {
    if (place == "bindings") return planted_bugs();
#if FASTPG_HAS_BASELINE
    if (place == "baseline") return baseline::planted_bugs();
#endif
#if FASTPG_HAS_AVX2
    if (place == "avx2") return avx2::planted_bugs();
#endif
#if FASTPG_HAS_AVX512
    if (place == "avx512") return avx512::planted_bugs();
#endif
    throw py::value_error("place: expected 'bindings' or an instruction set of this build, got '" + place + "'.");
}

int race(const PlantedBugs& bugs) {
    int counter = 0;
    std::thread other(bugs.increment_without_lock, &counter);
    bugs.increment_without_lock(&counter);
    other.join();
    return counter;
}

// `size` is only known at run time, so that the compiler cannot see the bug. Returns something that depends on it.
double planted_bug(const std::string& name, const std::string& place, int size) {
    const PlantedBugs& bugs = bugs_of(place);
    if (name == "none") return 0;
    if (name == "read_past_the_end") return static_cast<double>(bugs.read_past_the_end(size));
    if (name == "read_after_release") return static_cast<double>(bugs.read_after_release(size));
    if (name == "overflow_an_int") return bugs.overflow_an_int(size);
    if (name == "read_misaligned") return static_cast<double>(bugs.read_misaligned(size));
    if (name == "race") return race(bugs);
    if (name == "lose_memory") return bugs.lose_memory(size), 0;
    throw py::value_error("name: expected the name of a planted bug, got '" + name + "'.");
}

}  // namespace

void register_planted_bugs(py::module_& module) {
    using namespace py::literals;
    module.def("planted_bug", &planted_bug, "name"_a, "place"_a, "size"_a,
               "Commit this bug in a kernel unit or in the bindings. In sanitizer builds only.",
               py::call_guard<py::gil_scoped_release>());
}

}  // namespace bindings
}  // namespace fastpg
#endif
