#include "layout_args.hpp"

#include <string>

namespace fastpg::bindings {
namespace {

std::vector<Index> positive_sizes(const py::handle& layout, std::size_t at_least) {
    std::vector<Index> sizes;
    for (const py::handle& size : layout.attr("sizes")) sizes.push_back(size.cast<Index>());
    bool is_valid = sizes.size() >= at_least;
    for (const Index size : sizes) is_valid = is_valid && size >= 1;
    if (!is_valid) {
        throw py::value_error("layout.sizes: expected at least " + std::to_string(at_least) +
                              " sizes, all positive, got " + std::string(py::str(layout.attr("sizes"))) + ".");
    }
    return sizes;
}

Activation read_activation(const py::handle& layout) {
    const auto name = layout.attr("activation").cast<std::string>();
    if (name == "tanh") return Activation::kTanh;
    if (name == "relu") return Activation::kRelu;
    throw py::value_error("layout.activation: expected 'tanh' or 'relu', got '" + name + "'.");
}

HeadKind read_kind(const py::handle& layout) {
    const auto name = layout.attr("kind").cast<std::string>();
    if (name == "categorical") return HeadKind::kCategorical;
    if (name == "bernoulli") return HeadKind::kBernoulli;
    if (name == "gaussian") return HeadKind::kGaussian;
    throw py::value_error("head.kind: expected 'categorical', 'bernoulli' or 'gaussian', got '" + name + "'.");
}

}  // namespace

MlpLayout::MlpLayout(const py::handle& layout)
    : sizes_(positive_sizes(layout, 2)), activation_(read_activation(layout)) {}

Index MlpLayout::n_params() const {
    Index n = 0;
    for (std::size_t l = 0; l + 1 < sizes_.size(); ++l) n += (sizes_[l] + 1) * sizes_[l + 1];
    return n;
}

HeadLayout::HeadLayout(const py::handle& layout) : kind_(read_kind(layout)), sizes_(positive_sizes(layout, 1)) {
    if (kind_ != HeadKind::kCategorical && n_inputs() != n_actions()) {
        throw py::value_error("head.sizes: expected 1 for every action dimension of this kind of head.");
    }
}

Index HeadLayout::n_inputs() const {
    Index n = 0;
    for (const Index size : sizes_) n += size;
    return n;
}

PolicyLayout::PolicyLayout(const py::handle& layout) : policy(layout.attr("policy")), head(layout.attr("head")) {
    if (policy.n_outputs() != head.n_inputs()) {
        throw py::value_error("layout: expected a policy network with as many outputs as the head has inputs.");
    }
}

ActorCriticLayout::ActorCriticLayout(const py::handle& layout)
    : policy(layout.attr("policy")), value(layout.attr("value")), head(layout.attr("head")) {
    if (policy.n_outputs() != head.n_inputs() || value.n_outputs() != 1 || value.n_inputs() != policy.n_inputs()) {
        throw py::value_error(
            "layout: expected a policy network with as many outputs as the head has inputs, and a value network with "
            "the same inputs and one output.");
    }
}

}  // namespace fastpg::bindings
