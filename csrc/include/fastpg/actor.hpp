// Acting for N environments on bound buffers: both networks, a sample (or the mode), its log-probability, the value.
// Tile by tile of 64 environments, which threads share out among them.
#pragma once

#include "fastpg/chunks.hpp"
#include "fastpg/heads.hpp"

namespace fastpg {

struct ActorHandle {};

namespace FASTPG_ISA {

// What one thread needs to act on a tile of rows, parameters apart. The inputs stay where they are for the second
// network: the activations of both lie in the same memory.
template <class T>
class ActingTile {
public:
    ActingTile(const HeadShape& head, const MlpPlan& policy, const MlpPlan& value, Index max_rows, const T* log_std)
        : policy_(policy, max_rows),
          value_(value, max_rows),
          head_(head, policy_.capacity()),
          activations_(larger(policy_.n_activations(), value_.n_activations())) {
        policy_.use_activations(activations_.data());
        value_.use_activations(activations_.data());
        head_.bind(policy_.outputs(), policy_.output_gradient(), log_std);
    }

    // Rows first_row ... of `observations` (B, O); `choose` writes the actions of n_rows rows into the head.
    template <class Choose>
    FASTPG_INLINE HeadTile<T>& act(const T* observations, Index first_row, Index n_rows, const T* params,
                                   Choose choose) {
        policy_.load_inputs(observations, nullptr, first_row, n_rows);
        policy_.forward(params, n_rows);
        choose(head_);
        return head_;
    }

    // V of the rows that `act` has loaded.
    const T* values(const T* params, Index n_rows) {
        value_.forward(params, n_rows);
        return value_.outputs();
    }

private:
    MlpTile<T> policy_;
    MlpTile<T> value_;
    HeadTile<T> head_;
    Buffer<T> activations_;
};

template <class T>
class Actor : public ActorHandle {
public:
    Actor(const ActorCriticShape& shape, const ActorBuffers<T>& buffers, std::uint64_t seed, std::uint32_t stream,
          int n_threads)
        : buffers_(buffers),
          seed_(seed),
          stream_(stream),
          head_(shape.head),
          policy_(shape.policy),
          value_(shape.value),
          policy_params_(policy_.packed_size()),
          value_params_(value_.packed_size()),
          log_std_(n_log_std(shape.head)),
          n_tiles_((buffers.n_envs + kTileRows - 1) / kTileRows),
          tiles_(larger<Index>(smaller<Index>(n_threads, n_useful_threads()), 1)) {
        reserve(1);
    }

    // The most threads that `act` makes use of.
    int n_threads() const {
        return static_cast<int>(tiles_.capacity());
    }

    void set_parameters(const T* params) {
        policy_.pack(params, policy_params_.data());
        copy(params + policy_.dense_size(), n_log_std(head_), log_std_.data());
        value_.pack(params + policy_.dense_size() + n_log_std(head_), value_params_.data());
    }

    void act(Index t, std::uint64_t step, const Host& host) {
        const PhiloxKey key{seed_, stream_, step};
        run(t, host, [key](HeadTile<T>& head, Index first, Index n_rows) { head.sample(key, first, n_rows); });
    }

    void act_deterministic(Index t, const Host& host) {
        run(t, host, [](HeadTile<T>& head, Index, Index n_rows) { head.mode(n_rows); });
    }

    // Into actions[0, 0], and nowhere else, what `act` would choose for one observation (O,) in row 0.
    void choose(const T* observation, std::uint64_t step, bool is_deterministic) {
        const PhiloxKey key{seed_, stream_, step};
        tiles_[0]
            .act(observation, 0, 1, policy_params_.data(),
                 [&](HeadTile<T>& head) { is_deterministic ? head.mode(1) : head.sample(key, 0, 1); })
            .store_actions(buffers_.actions, 0, 1);
    }

private:
    // Multiply-adds from which on it pays to wake a thread up, about a hundred microseconds of them.
    static constexpr Index kManyProducts = Index{1} << 22;

    Index n_useful_threads() const {
        const Index n_params = policy_.packed_size() + value_.packed_size();
        return buffers_.n_envs >= kManyProducts / n_params ? n_tiles_ : 1;
    }

    void reserve(Index n_threads) {
        while (tiles_.size() < smaller(n_threads, tiles_.capacity())) {
            tiles_.add(new ActingTile<T>(head_, policy_, value_, buffers_.n_envs, log_std_.data()));
        }
    }

    // Rows do not depend on each other, so that any thread may do any tile.
    template <class Choose>
    FASTPG_INLINE void run(Index t, const Host& host, Choose choose) {
        reserve(host.n_threads);
        share_out(host, n_tiles_, [&](int thread, Index tile) {
            const Index first = tile * kTileRows;
            act_on(tiles_[thread], t * buffers_.n_envs, first, smaller(kTileRows, buffers_.n_envs - first), choose);
        });
    }

    template <class Choose>
    void act_on(ActingTile<T>& tile, Index start, Index first, Index n_rows, Choose choose) {
        HeadTile<T>& head = tile.act(buffers_.observations, start + first, n_rows, policy_params_.data(),
                                     [&](HeadTile<T>& h) { choose(h, first, n_rows); });
        head.store_actions(buffers_.actions, start + first, n_rows);
        head.evaluate(n_rows);
        copy(head.log_prob(), n_rows, buffers_.log_probs + start + first);
        copy(tile.values(value_params_.data(), n_rows), n_rows, buffers_.values + start + first);
    }

    ActorBuffers<T> buffers_;
    std::uint64_t seed_;
    std::uint32_t stream_;
    HeadShape head_;
    MlpPlan policy_;
    MlpPlan value_;
    Buffer<T> policy_params_;
    Buffer<T> value_params_;
    Buffer<T> log_std_;
    Index n_tiles_;
    Owners<ActingTile<T>> tiles_;  // one for each thread that has been needed
};

template <class T>
ActorHandle* actor_create(const ActorCriticShape& shape, const ActorBuffers<T>& buffers, std::uint64_t seed,
                          std::uint32_t stream, int n_threads) {
    return new Actor<T>(shape, buffers, seed, stream, n_threads);
}

template <class T>
int actor_n_threads(const ActorHandle* actor) {
    return static_cast<const Actor<T>*>(actor)->n_threads();
}

template <class T>
void actor_set_parameters(ActorHandle* actor, const T* params) {
    static_cast<Actor<T>*>(actor)->set_parameters(params);
}

template <class T>
void actor_act(ActorHandle* actor, Index t, std::uint64_t step, const Host& host) {
    static_cast<Actor<T>*>(actor)->act(t, step, host);
}

template <class T>
void actor_act_deterministic(ActorHandle* actor, Index t, const Host& host) {
    static_cast<Actor<T>*>(actor)->act_deterministic(t, host);
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
