// What the bindings see of the kernels: shapes, argument records and one table of function pointers per instruction
// set.
//
// Everything here is plain data without behaviour, so that translation units compiled for different instruction sets
// can share it. All arrays are C-contiguous; sizes are checked by the caller. float32 and float64 are both
// instantiated.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastpg {

using Index = std::ptrdiff_t;

enum class Activation { kTanh, kRelu };
enum class HeadKind { kCategorical, kBernoulli, kGaussian };

// sizes = (inputs, hidden ..., outputs), n_sizes >= 2.
struct MlpShape {
    const Index* sizes;
    Index n_sizes;
    Activation activation;
};

// sizes = head inputs per action dimension: the number of choices for kCategorical, else 1.
struct HeadShape {
    HeadKind kind;
    const Index* sizes;
    Index n_actions;  // D
    Index n_inputs;   // K = sum of sizes
};

struct ActorCriticShape {
    MlpShape policy;
    MlpShape value;
    HeadShape head;
};

// A policy alone: its parameters are those of the network, then log_std (kGaussian only).
struct PolicyShape {
    MlpShape policy;
    HeadShape head;
};

// Actions (B, D): `continuous` for kGaussian, `discrete` otherwise; the other pointer is null.
template <class T>
struct Actions {
    const T* continuous;
    const std::int32_t* discrete;
};

template <class T>
struct ActionsOut {
    T* continuous;
    std::int32_t* discrete;
};

// What a kernel may ask of its caller while it runs. `run` executes task(context, i) for i < n at the same time, each
// on its own thread, and returns when all have finished; `poll` returns true if the kernel shall stop (an interrupt);
// `is_crowded` says that calls of this process have more threads by now than there are processors.
struct Host {
    int n_threads;
    void (*run)(int n, void (*task)(void* context, int index), void* context);
    bool (*poll)();
    bool (*is_crowded)();
    void (*report_contention)();
};

// For a kernel that asks nothing of it.
constexpr Host kAlone{1, nullptr, nullptr, nullptr, nullptr};

// Thrown where an input value (not a shape) makes a result meaningless; the bindings turn it into a ValueError.
struct KernelError {
    const char* message;
    Index row;
    Index column;
};

struct PhiloxKey {
    std::uint64_t seed;
    std::uint32_t stream;  // < 256
    std::uint64_t step;    // < 2^56
};

template <class T>
struct GaeArgs {
    const T* rewards;
    const T* values;
    const T* next_values;
    const bool* terminated;
    const bool* truncated;
    Index n_steps;
    Index n_envs;
    double gamma;
    double gae_lambda;
    T* out;
};

template <class T>
struct MlpArgs {
    const T* params;
    const T* inputs;
    Index n_rows;
    const T* output_gradient;  // backward only
    T* out;
};

template <class T>
struct HeadArgs {
    const T* head_inputs;
    const T* log_std;
    Index n_rows;
};

struct AdamRule {
    double learning_rate;
    double beta1;
    double beta2;
    double epsilon;
};

template <class T>
struct AdamArgs {
    const T* params;
    const T* gradient;
    const T* first_moment;
    const T* second_moment;
    Index n_params;
    Index step;  // 1-based
    AdamRule rule;
    T* out_params;
    T* out_first_moment;
    T* out_second_moment;
};

template <class T>
struct MomentsArgs {
    const T* batch;  // (B, O)
    Index n_rows;
    Index n_columns;
    const double* mean;
    const double* variance;
};

// The batch that a clipped loss is computed on: B rows of everything. What the old policy's network put out is needed
// for a KL penalty only, and null without one.
template <class T>
struct PpoBatch {
    const T* observations;
    Actions<T> actions;
    const T* old_log_probs;
    const T* advantages;
    const T* returns;
    const T* old_values;
    Index n_rows;
    const T* old_head_inputs;  // (B, K)
    const T* old_log_std;      // (D,)
};

// What is averaged over the samples; see fastpg/kernels/clipped_loss.py.
enum class SurrogateKind { kClip, kRatio, kBarrier, kPenalty, kTsallis };

struct ClippedLossRule {
    double clip_range;
    double clip_range_vf;  // infinity: no value clipping
    double vf_coef;
    double ent_coef;
    bool normalize_advantage;
    SurrogateKind surrogate;
    double constraint_coef;
    double dual_clip;  // infinity: none
    double tsallis_q;
    double kl_coef;  // 0: no penalty
    bool is_kl_new_old;
};

// Indices into the `stats` of clipped_loss_gradient.
enum LossStat {
    kLoss,
    kPolicyGradientLoss,
    kValueLoss,
    kEntropyLoss,
    kApproxKl,
    kClipFraction,
    kExactKl,
    kNumLossStats
};

struct PpoRule {
    ClippedLossRule loss;
    AdamRule adam;
    Index n_epochs;
    Index batch_size;
    double max_grad_norm;
    double target_kl;  // infinity: no stop
    Index adam_step;   // optimiser steps already taken
    std::uint64_t seed;
    std::uint64_t update_index;
    Index first_epoch;  // number of the first shuffle
};

// Gradient of sum_i weights[i] KL_i by the parameters of a policy alone: network, then log_std.
template <class T>
struct KlGradientArgs {
    const T* params;
    const T* observations;     // (B, O)
    const T* old_head_inputs;  // (B, K)
    const T* old_log_std;      // (D,)
    const T* weights;          // (B,)
    Index n_rows;
    bool is_new_old;
    T* out;
};

// Parameters and Adam moments, (P,) each.
template <class T>
struct OptimizerArrays {
    T* params;
    T* first_moment;
    T* second_moment;
};

// Indices into the `stats` of ppo_update.
enum PpoStat {
    kPpoPolicyGradientLoss,
    kPpoValueLoss,
    kPpoEntropyLoss,
    kPpoClipFraction,
    kPpoApproxKl,
    kPpoLoss,
    kPpoGradientNorm,
    kPpoEpochsRun,
    kPpoOptimizerSteps,
    kPpoStoppedByKl,
    kNumPpoStats
};

// What a policy's objective is computed on: B rows of everything.
template <class T>
struct PolicyBatch {
    const T* observations;
    Actions<T> actions;
    const T* old_log_probs;
    const T* advantages;
    Index n_rows;
};

// Indices into the `stats` of surrogate_gradient (the first two) and surrogate_evaluate.
enum SurrogateStat {
    kSurrogateValue,
    kSurrogateEntropy,
    kNumSurrogateStats,
    kKlOldNew = kNumSurrogateStats,
    kKlOldNewMax,
    kKlNewOld,
    kKlNewOldMax,
    kSurrogateApproxKl,
    kRatioMax,
    kNumEvaluationStats
};

// The batch that a critic is fitted to.
template <class T>
struct ValueBatch {
    const T* observations;
    const T* returns;
    const T* old_values;
    Index n_rows;
};

struct ValueRule {
    AdamRule adam;
    Index n_epochs;
    Index batch_size;
    bool is_clipping;
    double clip_range_vf;
    double max_grad_norm;
    Index adam_step;  // optimiser steps already taken
    std::uint64_t seed;
    std::uint64_t update_index;
};

// Indices into the `stats` of value_update.
enum ValueStat { kValueUpdateLoss, kValueUpdateGradientNorm, kValueUpdateSteps, kNumValueStats };

template <class T>
struct RmspropArgs {
    const T* params;
    const T* gradient;
    const T* square_average;
    Index n_params;
    double learning_rate;
    double alpha;
    double epsilon;
    T* out_params;
    T* out_square_average;
};

// Buffers of a rollout, (T, N, ...): what an actor reads and fills.
template <class T>
struct ActorBuffers {
    const T* observations;
    ActionsOut<T> actions;
    T* log_probs;
    T* values;
    Index n_steps;
    Index n_envs;
};

// An actor is opaque outside of its instruction set. It keeps pointing to the sizes in the HeadShape it was made with.
struct ActorHandle;

// What the Fisher matrix is taken of: B samples, and the actions for the empirical one (else both pointers are null).
template <class T>
struct FisherBatch {
    const T* observations;
    Actions<T> actions;
    Index n_rows;
};

// damping * diag(scale); scale is null for the identity.
template <class T>
struct Damping {
    double factor;
    const T* scale;
};

enum class CgStatus { kConverged, kMaxIterations, kBreakdown, kStagnation, kZeroRhs };

// Indices into the `stats` of a solve.
enum CgStat { kCgStatus, kCgIterations, kCgResidual, kCgCurvature, kNumCgStats };

struct CgRule {
    Index max_iterations;
    double relative_tolerance;
    double absolute_tolerance;
};

// Vectors (P,); `iterates` (n_kept, P) gets those after the iterations in `schedule`, which ascends.
template <class T>
struct CgArgs {
    const T* rhs;
    const T* start;  // null: 0
    const std::int64_t* schedule;
    Index n_kept;
    T* solution;
    T* iterates;
    double* stats;
};

// An operator is opaque outside of its instruction set; it keeps pointing to the sizes in the shape it was made with.
struct FisherHandle;

// What kernels_fisher.cpp offers.
template <class T>
struct FisherTable {
    FisherHandle* (*create)(const PolicyShape&, const FisherBatch<T>&, const T* params, int n_threads, const Host&);
    void (*product)(FisherHandle*, const T* vector, const Damping<T>&, T* out, const Host&);
    void (*diagonal)(FisherHandle*, T* out, const Host&);
    bool (*solve)(FisherHandle*, const CgRule&, const CgArgs<T>&, const Damping<T>&, const Host&);
    void (*destroy)(FisherHandle*);
    void (*factors)(const PolicyShape&, const FisherBatch<T>&, const T* params, T* out);
    bool (*cholesky_solve)(const T* matrix, const T* rhs, Index n, double damping, T* out);
};

template <class T>
struct KernelTable {
    Index (*fma_chains)(Index n_rounds, T* seed);
    void (*uniform)(const PhiloxKey&, Index n_rows, Index n_columns, T* out);
    void (*normal)(const PhiloxKey&, Index n_rows, Index n_columns, T* out);
    void (*gae)(const GaeArgs<T>&, const Host&);
    void (*mlp_forward)(const MlpShape&, const MlpArgs<T>&);
    void (*mlp_backward)(const MlpShape&, const MlpArgs<T>&);
    void (*log_prob)(const HeadShape&, const HeadArgs<T>&, const Actions<T>&, T* out);
    void (*entropy)(const HeadShape&, const HeadArgs<T>&, T* out);
    void (*kl_old_new)(const HeadShape&, const HeadArgs<T>& old_policy, const HeadArgs<T>& new_policy, T* out);
    void (*sample)(const HeadShape&, const HeadArgs<T>&, const PhiloxKey&, const ActionsOut<T>&);
    void (*mode)(const HeadShape&, const HeadArgs<T>&, const ActionsOut<T>&);
    void (*clipped_loss_gradient)(const ActorCriticShape&, const ClippedLossRule&, const PpoBatch<T>&, const T* params,
                                  T* gradient, double* stats, const Host&);
    double (*clip_global_norm)(const T* gradient, Index n, double max_norm, T* out);
    void (*adam_step)(const AdamArgs<T>&);
    double (*update_moments)(const MomentsArgs<T>&, double count, double* out_mean, double* out_variance);
    void (*normalize)(const MomentsArgs<T>&, double epsilon, double clip, T* out);
    void (*kl_gradient)(const MlpShape&, const HeadShape&, const KlGradientArgs<T>&);
    bool (*ppo_update)(const ActorCriticShape&, const PpoRule&, const PpoBatch<T>&, const T* old_params,
                       const OptimizerArrays<T>&, double* stats, const Host&);
    ActorHandle* (*actor_create)(const ActorCriticShape&, const ActorBuffers<T>&, std::uint64_t seed,
                                 std::uint32_t stream, int n_threads);
    void (*actor_set_parameters)(ActorHandle*, const T* params);
    int (*actor_n_threads)(const ActorHandle*);  // the most that acting makes use of
    void (*actor_act)(ActorHandle*, Index t, std::uint64_t step, const Host&);
    void (*actor_act_deterministic)(ActorHandle*, Index t, const Host&);
    void (*actor_choose)(ActorHandle*, const T* observation, std::uint64_t step, bool is_deterministic);
    void (*actor_destroy)(ActorHandle*);
};

// What kernels_surrogate.cpp offers.
template <class T>
struct SurrogateTable {
    void (*surrogate_gradient)(const PolicyShape&, const PolicyBatch<T>&, double ent_coef, const T* params, T* gradient,
                               double* stats, const Host&);
    void (*surrogate_evaluate)(const PolicyShape&, const PolicyBatch<T>&, double ent_coef, const T* params,
                               const HeadArgs<T>& old_policy, double* stats, const Host&);
    void (*surrogate_hessian_vector_product)(const PolicyShape&, const PolicyBatch<T>&, double ent_coef,
                                             const T* params, const T* vector, T* out, const Host&);
    bool (*value_update)(const MlpShape&, const ValueRule&, const ValueBatch<T>&, const OptimizerArrays<T>&,
                         double* stats, const Host&);
    void (*rmsprop_step)(const RmspropArgs<T>&);
};

struct Isa {
    const char* name;
    void (*permutation)(const PhiloxKey&, Index n, std::int64_t* out);
    bool (*copy_finite)(const float* from, Index n, float* to);
    bool (*store_rewards)(const double* rewards, Index n, double* copies, float* rounded, double* returns);
    KernelTable<float> float32;
    KernelTable<double> float64;
    const SurrogateTable<float>* surrogate32;
    const SurrogateTable<double>* surrogate64;
    const FisherTable<float>* fisher32;
    const FisherTable<double>* fisher64;
};

// One per kernel unit; null-returning units do not exist: which ones are linked is decided by CMake.
namespace baseline {
const Isa& isa();
}
#if FASTPG_X86
namespace avx2 {
const Isa& isa();
}
namespace avx512 {
const Isa& isa();
}
#endif

}  // namespace fastpg
