// Shapes out of the layout objects of fastpg/kernels/layout.py, whose attributes are read once per call.
#pragma once

#include "fastpg/api.hpp"

#include <pybind11/pybind11.h>

#include <vector>

namespace fastpg::bindings {

namespace py = pybind11;

// Owns the sizes that an MlpShape points to.
class MlpLayout {
public:
    explicit MlpLayout(const py::handle& layout);
    MlpShape shape() const {
        return {sizes_.data(), static_cast<Index>(sizes_.size()), activation_};
    }
    Index n_params() const;
    Index n_inputs() const {
        return sizes_.front();
    }
    Index n_outputs() const {
        return sizes_.back();
    }

private:
    std::vector<Index> sizes_;
    Activation activation_;
};

class HeadLayout {
public:
    explicit HeadLayout(const py::handle& layout);
    HeadShape shape() const {
        return {kind_, sizes_.data(), n_actions(), n_inputs()};
    }
    HeadKind kind() const {
        return kind_;
    }
    Index n_actions() const {
        return static_cast<Index>(sizes_.size());
    }
    Index n_inputs() const;
    Index n_log_std() const {
        return kind_ == HeadKind::kGaussian ? n_actions() : 0;
    }

private:
    HeadKind kind_;
    std::vector<Index> sizes_;
};

// A policy alone; throws ValueError if network and head do not fit together.
class PolicyLayout {
public:
    explicit PolicyLayout(const py::handle& layout);
    PolicyShape shape() const {
        return {policy.shape(), head.shape()};
    }
    Index n_params() const {
        return policy.n_params() + head.n_log_std();
    }

    MlpLayout policy;
    HeadLayout head;
};

// Both networks and the head; throws ValueError if they do not fit together.
class ActorCriticLayout {
public:
    explicit ActorCriticLayout(const py::handle& layout);
    ActorCriticShape shape() const {
        return {policy.shape(), value.shape(), head.shape()};
    }
    Index n_params() const {
        return policy.n_params() + head.n_log_std() + value.n_params();
    }

    MlpLayout policy;
    MlpLayout value;
    HeadLayout head;
};

}  // namespace fastpg::bindings
