// What the benchmarks divide by: multiply-adds between registers, in enough independent chains to hide their latency.
#pragma once

#include "fastpg/simd.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// Latency times throughput of the multiply-add units is 8 to 10 on current CPUs; 12 accumulators and the two operands
// fit into 16 registers.
constexpr int kFmaChains = 12;

// Each chain goes towards 1 and stays there. Reads and writes *seed, so that nothing is known to the compiler
// beforehand and nothing is useless; returns the number of floating-point operations done.
template <class T>
Index fma_chains(Index n_rounds, T* seed) {
    const Vec<T> factor = splat<T>(*seed * T(0.5));
    const Vec<T> term = splat<T>(T(1) - *seed * T(0.5));
    Vec<T> chain[kFmaChains];
#pragma GCC unroll 16
    for (int i = 0; i < kFmaChains; ++i) chain[i] = splat<T>(static_cast<T>(i));
    for (Index round = 0; round < n_rounds; ++round) {
#pragma GCC unroll 16
        for (int i = 0; i < kFmaChains; ++i) chain[i] = multiply_add<T>(chain[i], factor, term);
    }
    Vec<T> sum{};
#pragma GCC unroll 16
    for (int i = 0; i < kFmaChains; ++i) sum += chain[i];
    *seed = sum[0] / T(kFmaChains);
    return n_rounds * kFmaChains * kLanes<T> * 2;
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
