// The Fisher matrix and the linear solves, for one instruction set; see kernels.cpp.
#include "fastpg/cholesky.hpp"
#include "fastpg/fisher.hpp"

namespace fastpg {
namespace FASTPG_ISA {

template <class T>
constexpr FisherTable<T> make_fisher_table() {
    return {fisher_create<T>,  fisher_product<T>, fisher_diagonal<T>, fisher_solve<T>,
            fisher_destroy<T>, fisher_factors<T>, cholesky_solve<T>};
}

extern const FisherTable<float> kFisherFloat32;
extern const FisherTable<double> kFisherFloat64;
const FisherTable<float> kFisherFloat32 = make_fisher_table<float>();
const FisherTable<double> kFisherFloat64 = make_fisher_table<double>();

}  // namespace FASTPG_ISA
}  // namespace fastpg
