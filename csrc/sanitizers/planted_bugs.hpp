// Bugs on purpose, in sanitizer builds only: a lane that does not find them would find nothing else either.
//
// Compiled into every kernel unit and into the bindings, each with the flags and in the namespace (FASTPG_ISA) of its
// place: which of them is instrumented is what the tests in tests/sanitizers want to know.
#pragma once

#include "fastpg/buffer.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// Sum of the vector that begins at the last number of a buffer: reads beyond it.
inline float read_past_the_end(Index n) {
    Buffer<float> numbers(n);
    const Index n_allocated = round_up(n, kPanel) + kPanel;
    const Vec<float> last = load(numbers.data() + n_allocated - 1);
    return last[0] + last[kLanes<float> - 1];
}

inline float read_after_release(Index n) {
    float* freed = nullptr;
    {
        Buffer<float> numbers(n);
        freed = numbers.data();
        asm volatile("" : "+r"(freed));  // the compiler must not see that it dangles
    }
    return freed[n - 1];
}

inline int overflow_an_int(int n) {
    return n + 2147483647;
}

// Reads a number that does not lie where numbers of its size may.
inline float read_misaligned(Index n) {
    const Buffer<float> numbers(n);
    return *reinterpret_cast<const float*>(reinterpret_cast<const char*>(numbers.data()) + n % 2);
}

// To be called by two threads at once.
inline void increment_without_lock(int* counter) {
    for (int i = 0; i < 1000; ++i) *counter += 1;
}

inline void lose_memory(Index n) {
    auto* numbers = new float[static_cast<std::size_t>(n)];
    asm volatile("" : : "r"(numbers) : "memory");
}

}  // namespace FASTPG_ISA

// The bugs of one place, by function.
struct PlantedBugs {
    float (*read_past_the_end)(Index);
    float (*read_after_release)(Index);
    int (*overflow_an_int)(int);
    float (*read_misaligned)(Index);
    void (*increment_without_lock)(int*);
    void (*lose_memory)(Index);
};

namespace FASTPG_ISA {

const PlantedBugs& planted_bugs();

}  // namespace FASTPG_ISA
}  // namespace fastpg
