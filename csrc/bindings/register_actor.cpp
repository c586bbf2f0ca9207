// actor: bind_actor.
#include "action_args.hpp"
#include "host.hpp"
#include "register.hpp"

#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

namespace fastpg::bindings {
namespace {

constexpr const char* kActorDoc =
    "A policy bound to the buffers of a rollout; see fastpg.kernels.actor.Actor. Not for use by two threads at once.";

// Reads the plainest kind of observation at once, without a call of NumPy's.
class PlainObservation {
public:
    // Copies `from` to `to` if it is exactly a numpy.ndarray of to.size() finite float32 or float64; false if not, or
    // if a number is not finite in T. `to` then holds anything.
    template <class T>
    bool read(const py::handle& from, std::vector<T>& to) const {
        if (Py_TYPE(from.ptr()) != ndarray_) return false;
        const auto array = py::reinterpret_borrow<py::array>(from);
        if (array.ndim() != 1 || array.shape(0) != static_cast<py::ssize_t>(to.size())) return false;
        const PyObject* const dtype = array.dtype().ptr();
        if (dtype == float32_.ptr()) return copy<float>(array, to);
        return dtype == float64_.ptr() && copy<double>(array, to);
    }

private:
    template <class From, class T>
    static bool copy(const py::array& array, std::vector<T>& to) {
        const auto* from = static_cast<const char*>(array.data());
        const py::ssize_t stride = array.strides(0);
        bool is_finite = true;
        for (T& number : to) {
            From value;
            std::memcpy(&value, from, sizeof(value));  // of any alignment
            number = static_cast<T>(value);
            is_finite &= std::isfinite(number);
            from += stride;
        }
        return is_finite;
    }

    const PyTypeObject* ndarray_ = py::detail::npy_api::get().PyArray_Type_;
    py::dtype float32_ = py::dtype::of<float>();
    py::dtype float64_ = py::dtype::of<double>();
};

class BoundActor {
public:
    virtual ~BoundActor() = default;
    virtual void set_parameters(const py::array& params) = 0;
    virtual void act(Index t, std::uint64_t step) = 0;
    virtual void act_deterministic(Index t) = 0;
    virtual bool choose(const py::handle& observation, std::uint64_t step, bool deterministic) = 0;
};

template <class T>
class BoundActorOf final : public BoundActor {
public:
    BoundActorOf(py::array observations, py::array actions, py::array log_probs, py::array values,
                 ActorCriticLayout layout, const PhiloxKey& key, int n_threads)
        : layout_(std::move(layout)),
          buffers_{std::move(observations), std::move(actions), std::move(log_probs), std::move(values)},
          table_(kernels<T>()),
          n_steps_(axis_length(buffers_[0], "observations", 3, 0)),
          n_envs_(axis_length(buffers_[0], "observations", 3, 1)),
          observation_(static_cast<std::size_t>(layout_.policy.n_inputs())) {
        const ActorBuffers<T> pointers{
            input<T>(buffers_[0], "observations", {n_steps_, n_envs_, layout_.policy.n_inputs()}),
            output_actions<T>(buffers_[1], layout_.head, {n_steps_, n_envs_, layout_.head.n_actions()}),
            output<T>(buffers_[2], "log_probs", {n_steps_, n_envs_}),
            output<T>(buffers_[3], "values", {n_steps_, n_envs_}),
            n_steps_,
            n_envs_};
        actor_ = {table_.actor_create(layout_.shape(), pointers, key.seed, key.stream, n_threads),
                  table_.actor_destroy};
        n_threads_ = table_.actor_n_threads(actor_.get());
    }

    void set_parameters(const py::array& params) override {
        table_.actor_set_parameters(actor_.get(), input<T>(params, "params", {layout_.n_params()}));
        has_parameters_ = true;
    }

    void act(Index t, std::uint64_t step) override {
        check_ready(t);
        check_step(step);
        unlocked([&](const Host& host) { table_.actor_act(actor_.get(), t, step, host); });
    }

    void act_deterministic(Index t) override {
        check_ready(t);
        unlocked([&](const Host& host) { table_.actor_act_deterministic(actor_.get(), t, host); });
    }

    bool choose(const py::handle& observation, std::uint64_t step, bool deterministic) override {
        check_ready(0);
        if (n_envs_ < 1) throw py::value_error("choose: expected buffers with room for an action.");
        check_step(step);
        if (!plain_.read(observation, observation_)) return false;
        table_.actor_choose(actor_.get(), observation_.data(), step, deterministic);
        return true;
    }

private:
    static constexpr Index kManyEnvs = 32;  // from here on releasing the GIL costs nothing beside the work

    template <class Function>
    void unlocked(Function f) {
        if (n_envs_ < kManyEnvs) return f(kAlone);
        const py::gil_scoped_release released;
        if (n_threads_ < 2) return f(kAlone);
        const KernelHost host(n_threads_);
        f(host.host());
    }

    static void check_step(std::uint64_t step) {
        if (step >= std::uint64_t{1} << 56) throw py::value_error("act: step: expected less than 2^56.");
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
    PlainObservation plain_;
    std::vector<T> observation_;
    std::unique_ptr<ActorHandle, void (*)(ActorHandle*)> actor_{nullptr, nullptr};
    int n_threads_ = 1;  // that are worth their while
    bool has_parameters_ = false;
};

std::unique_ptr<BoundActor> bind_actor(const py::array& observations, const py::array& actions,
                                       const py::array& log_probs, const py::array& values, const py::object& layout,
                                       std::uint64_t seed, std::uint32_t stream, int n_threads) {
    const ActorCriticLayout networks(layout);
    const PhiloxKey key = make_key(seed, stream, 0);
    std::unique_ptr<BoundActor> actor;
    by_dtype(observations, "observations", [&](auto tag) {
        using T = decltype(tag);
        actor = std::make_unique<BoundActorOf<T>>(observations, actions, log_probs, values, networks, key, n_threads);
    });
    return actor;
}

}  // namespace

void register_actor(py::module_& module) {
    using namespace py::literals;
    py::class_<BoundActor>(module, "Actor", kActorDoc)
        .def("set_parameters", &BoundActor::set_parameters, "params"_a)
        .def("act", &BoundActor::act, "t"_a, "step"_a)
        .def("act_deterministic", &BoundActor::act_deterministic, "t"_a)
        .def("choose", &BoundActor::choose, "observation"_a, "step"_a, "deterministic"_a);
    module.def("bind_actor", &bind_actor, "observations"_a, "actions"_a, "log_probs"_a, "values"_a, py::kw_only(),
               "layout"_a, "seed"_a, "stream"_a, "n_threads"_a);
}

}  // namespace fastpg::bindings
