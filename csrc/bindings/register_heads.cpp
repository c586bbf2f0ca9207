// heads: log_prob, entropy, kl_old_new, sample, mode.
#include "action_args.hpp"
#include "array_args.hpp"
#include "layout_args.hpp"
#include "register.hpp"

namespace fastpg::bindings {
namespace {

template <class T>
HeadArgs<T> head_args(const py::array& head_inputs, const py::array& log_std, const HeadLayout& head, Index n_rows) {
    return {input<T>(head_inputs, "head_inputs", {n_rows, head.n_inputs()}),
            input<T>(log_std, "log_std", {head.n_log_std()}), n_rows};
}

void log_prob(const py::array& head_inputs, const py::array& log_std, const py::array& actions, const py::object& head,
              const py::array& out) {
    const HeadLayout layout(head);
    const Index n_rows = axis_length(head_inputs, "head_inputs", 2, 0);
    by_dtype(head_inputs, "head_inputs", [&](auto tag) {
        using T = decltype(tag);
        const HeadArgs<T> args = head_args<T>(head_inputs, log_std, layout, n_rows);
        const Actions<T> given = input_actions<T>(actions, layout, {n_rows, layout.n_actions()});
        T* to = output<T>(out, "out", {n_rows});
        const auto kernel = kernels<T>().log_prob;
        const py::gil_scoped_release unlocked;
        kernel(layout.shape(), args, given, to);
    });
}

void entropy(const py::array& head_inputs, const py::array& log_std, const py::object& head, const py::array& out) {
    const HeadLayout layout(head);
    const Index n_rows = axis_length(head_inputs, "head_inputs", 2, 0);
    by_dtype(head_inputs, "head_inputs", [&](auto tag) {
        using T = decltype(tag);
        const HeadArgs<T> args = head_args<T>(head_inputs, log_std, layout, n_rows);
        T* to = output<T>(out, "out", {n_rows});
        const auto kernel = kernels<T>().entropy;
        const py::gil_scoped_release unlocked;
        kernel(layout.shape(), args, to);
    });
}

void kl_old_new(const py::array& old_head_inputs, const py::array& old_log_std, const py::array& new_head_inputs,
                const py::array& new_log_std, const py::object& head, const py::array& out) {
    const HeadLayout layout(head);
    const Index n_rows = axis_length(old_head_inputs, "old_head_inputs", 2, 0);
    by_dtype(old_head_inputs, "old_head_inputs", [&](auto tag) {
        using T = decltype(tag);
        const HeadArgs<T> old_policy = head_args<T>(old_head_inputs, old_log_std, layout, n_rows);
        const HeadArgs<T> new_policy = head_args<T>(new_head_inputs, new_log_std, layout, n_rows);
        T* to = output<T>(out, "out", {n_rows});
        const auto kernel = kernels<T>().kl_old_new;
        const py::gil_scoped_release unlocked;
        kernel(layout.shape(), old_policy, new_policy, to);
    });
}

void sample(const py::array& head_inputs, const py::array& log_std, const py::object& head, std::uint64_t seed,
            std::uint32_t stream, std::uint64_t step, const py::array& out) {
    const HeadLayout layout(head);
    const PhiloxKey key = make_key(seed, stream, step);
    const Index n_rows = axis_length(head_inputs, "head_inputs", 2, 0);
    by_dtype(head_inputs, "head_inputs", [&](auto tag) {
        using T = decltype(tag);
        const HeadArgs<T> args = head_args<T>(head_inputs, log_std, layout, n_rows);
        const ActionsOut<T> to = output_actions<T>(out, layout, {n_rows, layout.n_actions()});
        const auto kernel = kernels<T>().sample;
        const py::gil_scoped_release unlocked;
        kernel(layout.shape(), args, key, to);
    });
}

void mode(const py::array& head_inputs, const py::array& log_std, const py::object& head, const py::array& out) {
    const HeadLayout layout(head);
    const Index n_rows = axis_length(head_inputs, "head_inputs", 2, 0);
    by_dtype(head_inputs, "head_inputs", [&](auto tag) {
        using T = decltype(tag);
        const HeadArgs<T> args = head_args<T>(head_inputs, log_std, layout, n_rows);
        const ActionsOut<T> to = output_actions<T>(out, layout, {n_rows, layout.n_actions()});
        const auto kernel = kernels<T>().mode;
        const py::gil_scoped_release unlocked;
        kernel(layout.shape(), args, to);
    });
}

}  // namespace

void register_heads(py::module_& module) {
    using namespace py::literals;
    const py::kw_only keywords;
    module.def("log_prob", &log_prob, "head_inputs"_a, "log_std"_a, "actions"_a, keywords, "head"_a, "out"_a);
    module.def("entropy", &entropy, "head_inputs"_a, "log_std"_a, keywords, "head"_a, "out"_a);
    module.def("kl_old_new", &kl_old_new, "old_head_inputs"_a, "old_log_std"_a, "new_head_inputs"_a, "new_log_std"_a,
               keywords, "head"_a, "out"_a);
    module.def("sample", &sample, "head_inputs"_a, "log_std"_a, keywords, "head"_a, "seed"_a, "stream"_a, "step"_a,
               "out"_a);
    module.def("mode", &mode, "head_inputs"_a, "log_std"_a, keywords, "head"_a, "out"_a);
}

}  // namespace fastpg::bindings
