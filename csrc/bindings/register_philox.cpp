// philox: uniform, normal, permutation.
#include "action_args.hpp"
#include "array_args.hpp"
#include "register.hpp"

namespace fastpg::bindings {
namespace {

// Calls pick(table of T) on the rows and columns of `out`.
template <class Pick>
void fill(const PhiloxKey& key, const py::array& out, Pick pick) {
    const Index n_rows = axis_length(out, "out", 2, 0);
    const Index n_columns = axis_length(out, "out", 2, 1);
    by_dtype(out, "out", [&](auto tag) {
        using T = decltype(tag);
        T* to = output<T>(out, "out", {n_rows, n_columns});
        const auto kernel = pick(kernels<T>());
        const py::gil_scoped_release unlocked;
        kernel(key, n_rows, n_columns, to);
    });
}

void uniform(std::uint64_t seed, std::uint32_t stream, std::uint64_t step, const py::array& out) {
    fill(make_key(seed, stream, step), out, [](const auto& table) { return table.uniform; });
}

void normal(std::uint64_t seed, std::uint32_t stream, std::uint64_t step, const py::array& out) {
    fill(make_key(seed, stream, step), out, [](const auto& table) { return table.normal; });
}

void permutation(std::uint64_t seed, std::uint32_t stream, std::uint64_t step, const py::array& out) {
    const PhiloxKey key = make_key(seed, stream, step);
    const Index n = axis_length(out, "out", 1, 0);
    std::int64_t* to = output<std::int64_t>(out, "out", {n});
    const auto kernel = active_isa().permutation;
    const py::gil_scoped_release unlocked;
    kernel(key, n, to);
}

}  // namespace

void register_philox(py::module_& module) {
    using namespace py::literals;
    module.def("uniform", &uniform, "seed"_a, "stream"_a, "step"_a, py::kw_only(), "out"_a);
    module.def("normal", &normal, "seed"_a, "stream"_a, "step"_a, py::kw_only(), "out"_a);
    module.def("permutation", &permutation, "seed"_a, "stream"_a, "step"_a, py::kw_only(), "out"_a);
}

}  // namespace fastpg::bindings
