// The surrogate of trust-region methods, the critic's update and RMSprop for one instruction set; see kernels.cpp.
#include "fastpg/rmsprop.hpp"
#include "fastpg/surrogate.hpp"
#include "fastpg/surrogate_hessian.hpp"
#include "fastpg/value_update.hpp"

namespace fastpg {
namespace FASTPG_ISA {

template <class T>
constexpr SurrogateTable<T> make_surrogate_table() {
    return {surrogate_gradient<T>, surrogate_evaluate<T>, surrogate_hessian_vector_product<T>, value_update<T>,
            rmsprop_step<T>};
}

extern const SurrogateTable<float> kSurrogateFloat32;
extern const SurrogateTable<double> kSurrogateFloat64;
const SurrogateTable<float> kSurrogateFloat32 = make_surrogate_table<float>();
const SurrogateTable<double> kSurrogateFloat64 = make_surrogate_table<double>();

}  // namespace FASTPG_ISA
}  // namespace fastpg
