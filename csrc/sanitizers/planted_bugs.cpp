// Compiled once per place; see planted_bugs.hpp.
#include "planted_bugs.hpp"

namespace fastpg {
namespace FASTPG_ISA {

const PlantedBugs& planted_bugs() {
    static constexpr PlantedBugs kBugs{read_past_the_end, read_after_release,     overflow_an_int,
                                       read_misaligned,   increment_without_lock, lose_memory};
    return kBugs;
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
