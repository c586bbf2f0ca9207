// actor: bind_actor.
#include "action_args.hpp"
#include "register.hpp"

#include <memory>

namespace fastpg::bindings {
namespace {

constexpr const char* kActorDoc =
    "A policy bound to the buffers of a rollout; see fastpg.kernels.actor.Actor. Not for use by two threads at once.";

class BoundActor {
public:
    virtual ~BoundActor() = default;
    virtual void set_parameters(const py::array& params) = 0;
    virtual void act(Index t, std::uint64_t step) = 0;
    virtual void act_deterministic(Index t) = 0;
};

template <class T>
class BoundActorOf final : public BoundActor {
public:
    BoundActorOf(py::array observations, py::array actions, py::array log_probs, py::array values,
                 ActorCriticLayout layout, const PhiloxKey& key)
        : layout_(std::move(layout)),
          buffers_{std::move(observations), std::move(actions), std::move(log_probs), std::move(values)},
          table_(kernels<T>()),
          n_steps_(axis_length(buffers_[0], "observations", 3, 0)),
          n_envs_(axis_length(buffers_[0], "observations", 3, 1)) {
        const ActorBuffers<T> pointers{
            input<T>(buffers_[0], "observations", {n_steps_, n_envs_, layout_.policy.n_inputs()}),
            output_actions<T>(buffers_[1], layout_.head, {n_steps_, n_envs_, layout_.head.n_actions()}),
            output<T>(buffers_[2], "log_probs", {n_steps_, n_envs_}),
            output<T>(buffers_[3], "values", {n_steps_, n_envs_}),
            n_steps_,
            n_envs_};
        actor_ = {table_.actor_create(layout_.shape(), pointers, key.seed, key.stream), table_.actor_destroy};
    }

    void set_parameters(const py::array& params) override {
        table_.actor_set_parameters(actor_.get(), input<T>(params, "params", {layout_.n_params()}));
        has_parameters_ = true;
    }

    void act(Index t, std::uint64_t step) override {
        check_ready(t);
        if (step >= std::uint64_t{1} << 56) throw py::value_error("act: step: expected less than 2^56.");
        unlocked([&] { table_.actor_act(actor_.get(), t, step); });
    }

    void act_deterministic(Index t) override {
        check_ready(t);
        unlocked([&] { table_.actor_act_deterministic(actor_.get(), t); });
    }

private:
    static constexpr Index kManyEnvs = 32;  // from here on releasing the GIL costs nothing beside the work

    template <class Function>
    void unlocked(Function f) {
        if (n_envs_ < kManyEnvs) return f();
        const py::gil_scoped_release released;
        f();
    }

    void check_ready(Index t) const {
        if (!has_parameters_) {
            throw std::runtime_error("act: expected parameters, got none. Fix: call set_parameters first.");
        }
        if (t < 0 || t >= n_steps_) {
            throw py::index_error("act: t: expected an integer in [0, " + std::to_string(n_steps_ - 1) + "], got " +
                                  std::to_string(t) + ".");
        }
    }

    ActorCriticLayout layout_;  // the actor points to its sizes
    py::array buffers_[4];      // kept alive
    const KernelTable<T>& table_;
    Index n_steps_;
    Index n_envs_;
    std::unique_ptr<ActorHandle, void (*)(ActorHandle*)> actor_{nullptr, nullptr};
    bool has_parameters_ = false;
};

std::unique_ptr<BoundActor> bind_actor(const py::array& observations, const py::array& actions,
                                       const py::array& log_probs, const py::array& values, const py::object& layout,
                                       std::uint64_t seed, std::uint32_t stream, int /*n_threads*/) {
    const ActorCriticLayout networks(layout);
    const PhiloxKey key = make_key(seed, stream, 0);
    std::unique_ptr<BoundActor> actor;
    by_dtype(observations, "observations", [&](auto tag) {
        using T = decltype(tag);
        actor = std::make_unique<BoundActorOf<T>>(observations, actions, log_probs, values, networks, key);
    });
    return actor;
}

}  // namespace

void register_actor(py::module_& module) {
    using namespace py::literals;
    py::class_<BoundActor>(module, "Actor", kActorDoc)
        .def("set_parameters", &BoundActor::set_parameters, "params"_a)
        .def("act", &BoundActor::act, "t"_a, "step"_a)
        .def("act_deterministic", &BoundActor::act_deterministic, "t"_a);
    module.def("bind_actor", &bind_actor, "observations"_a, "actions"_a, "log_probs"_a, "values"_a, py::kw_only(),
               "layout"_a, "seed"_a, "stream"_a, "n_threads"_a);
}

}  // namespace fastpg::bindings
