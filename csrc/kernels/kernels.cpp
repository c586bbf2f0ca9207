// The kernels for one instruction set. CMake compiles this file once per instruction set, with FASTPG_ISA naming it
// (and the namespace of everything inside); dispatch.cpp chooses between the results at run time.
#include "fastpg/actor.hpp"
#include "fastpg/adam.hpp"
#include "fastpg/fma_peak.hpp"
#include "fastpg/gae.hpp"
#include "fastpg/kl_gradient.hpp"
#include "fastpg/mlp.hpp"
#include "fastpg/philox.hpp"
#include "fastpg/ppo_update.hpp"
#include "fastpg/running_moments.hpp"
#include "fastpg/step_rows.hpp"

#define FASTPG_STRING_(x) #x
#define FASTPG_STRING(x) FASTPG_STRING_(x)

namespace fastpg {
namespace FASTPG_ISA {

// The tables of the other units.
extern const SurrogateTable<float> kSurrogateFloat32;
extern const SurrogateTable<double> kSurrogateFloat64;
extern const FisherTable<float> kFisherFloat32;
extern const FisherTable<double> kFisherFloat64;

namespace {

template <class T>
constexpr KernelTable<T> make_table() {
    KernelTable<T> table{};
    table.fma_chains = fma_chains<T>;
    table.uniform = uniform<T>;
    table.normal = normal<T>;
    table.gae = gae<T>;
    table.mlp_forward = mlp_forward<T>;
    table.mlp_backward = mlp_backward<T>;
    table.log_prob = log_prob<T>;
    table.entropy = entropy<T>;
    table.kl_old_new = kl_old_new<T>;
    table.sample = sample<T>;
    table.mode = mode<T>;
    table.clipped_loss_gradient = clipped_loss_gradient<T>;
    table.clip_global_norm = clip_global_norm<T>;
    table.adam_step = adam_step<T>;
    table.update_moments = update_moments<T>;
    table.normalize = normalize<T>;
    table.kl_gradient = kl_gradient<T>;
    table.ppo_update = ppo_update<T>;
    table.actor_create = actor_create<T>;
    table.actor_set_parameters = actor_set_parameters<T>;
    table.actor_n_threads = actor_n_threads<T>;
    table.actor_act = actor_act<T>;
    table.actor_act_deterministic = actor_act_deterministic<T>;
    table.actor_choose = actor_choose<T>;
    table.actor_destroy = actor_destroy<T>;
    return table;
}

constexpr Isa kIsa{FASTPG_STRING(FASTPG_ISA), permutation,          copy_finite,        store_rewards,
                   make_table<float>(),       make_table<double>(), &kSurrogateFloat32, &kSurrogateFloat64,
                   &kFisherFloat32,           &kFisherFloat64};

}  // namespace

const Isa& isa() {
    return kIsa;
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
