// Acting for N environments on bound buffers: both networks, a sample (or the mode), its log-probability, the value.
#pragma once

#include "fastpg/clipped_loss.hpp"

namespace fastpg {

struct ActorHandle {};

namespace FASTPG_ISA {

template <class T>
class Actor : public ActorHandle {
public:
    Actor(const ActorCriticShape& shape, const ActorBuffers<T>& buffers, std::uint64_t seed, std::uint32_t stream)
        : buffers_(buffers),
          seed_(seed),
          stream_(stream),
          policy_(shape.policy, shape.head.kind == HeadKind::kGaussian ? shape.head.n_actions : 0, buffers.n_envs),
          value_(shape.value, 0, buffers.n_envs),
          head_(shape.head, policy_.tile.capacity()) {
        head_.bind(policy_.tile.outputs(), policy_.tile.output_gradient(), policy_.extra_params());
    }

    void set_parameters(const T* params) {
        policy_.pack(params, policy_.params.data());
        value_.pack(params + policy_.dense_size(), value_.params.data());
    }

    void act(Index t, std::uint64_t step) {
        const PhiloxKey key{seed_, stream_, step};
        run(t, [&](Index first, Index n_rows) { head_.sample(key, first, n_rows); });
    }

    void act_deterministic(Index t) {
        run(t, [&](Index, Index n_rows) { head_.mode(n_rows); });
    }

    // Into actions[0, 0], and nowhere else, what `act` would choose for one observation (O,) in row 0.
    void choose(const T* observation, std::uint64_t step, bool is_deterministic) {
        policy_.tile.load_inputs(observation, nullptr, 0, 1);
        policy_.tile.forward(policy_.params.data(), 1);
        if (is_deterministic) {
            head_.mode(1);
        } else {
            head_.sample({seed_, stream_, step}, 0, 1);
        }
        head_.store_actions(buffers_.actions, 0, 1);
    }

private:
    template <class Choose>
    FASTPG_INLINE void run(Index t, Choose choose) {
        const Index start = t * buffers_.n_envs;
        for_each_tile(buffers_.n_envs, [&](Index first, Index n_rows) {
            policy_.tile.load_inputs(buffers_.observations, nullptr, start + first, n_rows);
            policy_.tile.forward(policy_.params.data(), n_rows);
            choose(first, n_rows);
            head_.store_actions(buffers_.actions, start + first, n_rows);
            head_.evaluate(n_rows);
            copy(head_.log_prob(), n_rows, buffers_.log_probs + start + first);
            value_.tile.load_inputs(buffers_.observations, nullptr, start + first, n_rows);
            value_.tile.forward(value_.params.data(), n_rows);
            copy(value_.tile.outputs(), n_rows, buffers_.values + start + first);
        });
    }

    ActorBuffers<T> buffers_;
    std::uint64_t seed_;
    std::uint32_t stream_;
    Network<T> policy_;
    Network<T> value_;
    HeadTile<T> head_;
};

template <class T>
ActorHandle* actor_create(const ActorCriticShape& shape, const ActorBuffers<T>& buffers, std::uint64_t seed,
                          std::uint32_t stream) {
    return new Actor<T>(shape, buffers, seed, stream);
}

template <class T>
void actor_set_parameters(ActorHandle* actor, const T* params) {
    static_cast<Actor<T>*>(actor)->set_parameters(params);
}

template <class T>
void actor_act(ActorHandle* actor, Index t, std::uint64_t step) {
    static_cast<Actor<T>*>(actor)->act(t, step);
}

template <class T>
void actor_act_deterministic(ActorHandle* actor, Index t) {
    static_cast<Actor<T>*>(actor)->act_deterministic(t);
}

template <class T>
void actor_choose(ActorHandle* actor, const T* observation, std::uint64_t step, bool is_deterministic) {
    static_cast<Actor<T>*>(actor)->choose(observation, step, is_deterministic);
}

template <class T>
void actor_destroy(ActorHandle* actor) {
    delete static_cast<Actor<T>*>(actor);
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
