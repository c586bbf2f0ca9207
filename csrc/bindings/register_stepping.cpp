// stepping: PlainSteps, StepRows. No kernels: they call Python objects, and look at what those return.
#include "array_args.hpp"
#include "register.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace fastpg::bindings {
namespace {

constexpr const char* kPlainStepsDoc = "See fastpg.rollout.plain_steps.Stepper. Not for use by two threads at once.";
constexpr const char* kStepRowsDoc = "See fastpg.rollout.plain_steps.plain_store. Not for use by two threads at once.";

// Whether `object` is exactly a numpy.ndarray, C-contiguous and aligned, of this very dtype object and this shape.
bool is_plain_array(PyObject* object, const PyObject* dtype, int n_axes, const Index* shape) {
    static const PyTypeObject* const ndarray = py::detail::npy_api::get().PyArray_Type_;
    if (Py_TYPE(object) != ndarray) return false;
    const auto* const array = py::detail::array_proxy(object);
    constexpr int kFlags = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    if (array->descr != dtype || array->nd != n_axes || (array->flags & kFlags) != kFlags) return false;
    for (int axis = 0; axis < n_axes; ++axis) {
        if (array->dimensions[axis] != shape[axis]) return false;
    }
    return true;
}

const char* data_of(PyObject* array) {
    return py::detail::array_proxy(array)->data;
}

// Reads exactly an int that an int64 can hold; false for anything else.
bool read_int64(PyObject* object, std::int64_t& number) {
    if (!PyLong_CheckExact(object)) return false;
    int has_overflown = 0;
    number = PyLong_AsLongLongAndOverflow(object, &has_overflown);
    return has_overflown == 0;
}

// Rows of an array, each to be filled with one observation.
class ObservationRows {
public:
    explicit ObservationRows(const py::array& rows) : rows_(rows[py::ellipsis()]) {
        if (rows_.ndim() < 1) throw py::value_error("observations: expected at least one axis, got none.");
        if (rows_.dtype().attr("hasobject").cast<bool>()) {
            throw py::type_error("observations: expected numbers, got dtype object.");
        }
        if ((rows_.flags() & py::array::c_style) == 0 || !rows_.writeable()) {
            throw py::value_error("observations: expected a C-contiguous, writeable array.");
        }
        row_bytes_ = rows_.itemsize();
        for (Index axis = 1; axis < rows_.ndim(); ++axis) row_bytes_ *= rows_.shape(axis);
        takes_int_ = rows_.ndim() == 1 && rows_.dtype().equal(py::dtype::of<std::int64_t>());
    }

    Index size() const {
        return rows_.shape(0);
    }

    // Stores exactly a numpy.ndarray of the dtype and shape of a row, or an int where a row is one int64; false for
    // anything else.
    bool store(Index row, PyObject* observation) {
        const auto* const rows = py::detail::array_proxy(rows_.ptr());
        char* const to = rows->data + row * row_bytes_;
        if (is_plain_array(observation, rows->descr, rows->nd - 1, rows->dimensions + 1)) {
            std::memmove(to, data_of(observation), static_cast<std::size_t>(row_bytes_));
            return true;
        }
        std::int64_t number = 0;
        if (!takes_int_ || !read_int64(observation, number)) return false;
        std::memcpy(to, &number, sizeof(number));
        return true;
    }

private:
    py::array rows_;  // a view of our own, whose shape nobody else changes
    Index row_bytes_ = 0;
    bool takes_int_ = false;
};

// See fastpg/rollout/plain_steps.py.
class PlainSteps {
public:
    explicit PlainSteps(const py::array& observations) : observations_(observations) {}

    Index index() const {
        return index_;
    }

    py::object run(const py::object& envs, const py::object& actions, Index first, py::array& rewards, bool has_infos) {
        if (first < 0) throw py::value_error("first: expected an integer >= 0, got " + std::to_string(first) + ".");
        const Index n_envs = observations_.size();
        if (!is_plain_array(rewards.ptr(), float64_.ptr(), 1, &n_envs)) output<double>(rewards, "rewards", {n_envs});
        auto* const to = static_cast<double*>(rewards.mutable_data());
        for (Index index = first; index < n_envs; ++index) {
            index_ = index;
            py::object result = step(envs, actions, index);
            if (!store(result.ptr(), index, to[index], has_infos)) return py::make_tuple(index, std::move(result));
        }
        return py::none();
    }

private:
    py::object step(const py::object& envs, const py::object& actions, Index index) const {
        const auto env = owned(PySequence_GetItem(envs.ptr(), index));
        const auto action = owned(PySequence_GetItem(actions.ptr(), index));
        PyObject* const arguments[] = {env.ptr(), action.ptr()};
        return owned(PyObject_VectorcallMethod(step_.ptr(), arguments, 2, nullptr));
    }

    static py::object owned(PyObject* object) {
        if (object == nullptr) throw py::error_already_set();
        return py::reinterpret_steal<py::object>(object);
    }

    // Stores what a step returned; false if it needs a second look, whatever is stored by then.
    bool store(PyObject* result, Index index, double& reward, bool has_infos) {
        if (!PyTuple_Check(result) || PyTuple_GET_SIZE(result) != 5) return false;
        return is_false(PyTuple_GET_ITEM(result, 2)) && is_false(PyTuple_GET_ITEM(result, 3)) &&
               !(has_infos && !is_empty(PyTuple_GET_ITEM(result, 4))) &&
               store_reward(PyTuple_GET_ITEM(result, 1), reward) &&
               observations_.store(index, PyTuple_GET_ITEM(result, 0));
    }

    bool is_false(PyObject* flag) const {
        return flag == Py_False || flag == numpy_false_.ptr();
    }

    static bool is_empty(PyObject* info) {
        return PyDict_CheckExact(info) && PyDict_GET_SIZE(info) == 0;
    }

    bool store_reward(PyObject* reward, double& to) const {
        std::int64_t number = 0;
        if (PyFloat_Check(reward)) {
            to = PyFloat_AS_DOUBLE(reward);
        } else if (read_int64(reward, number)) {
            to = static_cast<double>(number);
        } else if (Py_TYPE(reward) == reinterpret_cast<PyTypeObject*>(float32_scalar_.ptr())) {
            to = py::handle(reward).cast<double>();
        } else {
            return false;
        }
        return true;
    }

    ObservationRows observations_;
    py::object step_ = owned(PyUnicode_InternFromString("step"));
    py::object float32_scalar_ = py::module_::import("numpy").attr("float32");
    py::dtype float64_ = py::dtype::of<double>();
    py::object numpy_false_ = py::module_::import("numpy").attr("False_");
    Index index_ = 0;  // of the environment that was stepped last
};

// See plain_store in fastpg/rollout/plain_steps.py.
class StepRows {
public:
    StepRows(py::array observations, py::array rewards, py::array raw_rewards, py::array episode_returns)
        : observations_(std::move(observations)),
          rewards_(std::move(rewards)),
          raw_rewards_(std::move(raw_rewards)),
          returns_(std::move(episode_returns)),
          n_steps_(axis_length(rewards_, "rewards", 2, 0)),
          n_envs_(axis_length(rewards_, "rewards", 2, 1)),
          size_(axis_length(observations_, "observations", 3, 2)),
          observations_to_(output<float>(observations_, "observations", {n_steps_ + 1, n_envs_, size_})),
          rewards_to_(output<float>(rewards_, "rewards", {n_steps_, n_envs_})),
          raw_rewards_to_(output<double>(raw_rewards_, "raw_rewards", {n_envs_})),
          returns_to_(output<double>(returns_, "episode_returns", {n_envs_})) {}

    bool store(Index t, const py::handle& observations, const py::handle& rewards, const py::handle& terminated,
               const py::handle& truncated) {
        if (t < 0 || t >= n_steps_) {
            throw py::index_error("t: expected an integer in [0, " + std::to_string(n_steps_ - 1) + "], got " +
                                  std::to_string(t) + ".");
        }
        const Index shape[] = {n_envs_, size_};
        if (!is_plain_array(observations.ptr(), float32_.ptr(), 2, shape) ||
            !is_plain_array(rewards.ptr(), float64_.ptr(), 1, shape) || has_flag(terminated) || has_flag(truncated)) {
            return false;
        }
        const Isa& isa = active_isa();
        const Index row = n_envs_ * size_;
        const auto* const from = reinterpret_cast<const float*>(data_of(observations.ptr()));
        return isa.copy_finite(from, row, observations_to_ + (t + 1) * row) &&
               isa.store_rewards(reinterpret_cast<const double*>(data_of(rewards.ptr())), n_envs_, raw_rewards_to_,
                                 rewards_to_ + t * n_envs_, returns_to_);
    }

private:
    // Also where `flags` are not plain.
    bool has_flag(const py::handle& flags) const {
        if (!is_plain_array(flags.ptr(), bool_.ptr(), 1, &n_envs_)) return true;
        const char* const from = data_of(flags.ptr());
        return std::any_of(from, from + n_envs_, [](char flag) { return flag != 0; });
    }

    py::array observations_;  // kept alive, like the others
    py::array rewards_;
    py::array raw_rewards_;
    py::array returns_;
    Index n_steps_;
    Index n_envs_;
    Index size_;
    float* observations_to_;
    float* rewards_to_;
    double* raw_rewards_to_;
    double* returns_to_;
    py::dtype float32_ = py::dtype::of<float>();
    py::dtype float64_ = py::dtype::of<double>();
    py::dtype bool_ = py::dtype::of<bool>();
};

}  // namespace

void register_stepping(py::module_& module) {
    py::class_<PlainSteps>(module, "PlainSteps", kPlainStepsDoc)
        .def(py::init<const py::array&>(), py::arg("observations"))
        .def_property_readonly("index", &PlainSteps::index)
        .def("run", &PlainSteps::run);
    py::class_<StepRows>(module, "StepRows", kStepRowsDoc)
        .def(py::init<py::array, py::array, py::array, py::array>(), py::arg("observations"), py::arg("rewards"),
             py::arg("raw_rewards"), py::arg("episode_returns"))
        .def("store", &StepRows::store);
}

}  // namespace fastpg::bindings
