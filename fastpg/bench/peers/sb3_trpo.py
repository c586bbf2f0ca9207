"""sb3-contrib's TRPO, used as its users use it, and the pieces of its update, on torch's CPU kernels, one thread."""

from __future__ import annotations

import copy
from typing import Any
from unittest import mock

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import TRPO
from sb3_contrib.common.utils import conjugate_gradient_solver
from stable_baselines3.common.distributions import kl_divergence
from stable_baselines3.common.logger import configure

from fastpg.bench.peers.sb3_bridge import (
    SpacesOnly,
    fill_buffer,
    flat_parameters,
    networks_of,
    parameters_in_order,
    set_flat_parameters,
)
from fastpg.bench.problems import FisherProblem, PolicyProblem, TrustRegionProblem
from fastpg.bench.timing import Run

torch.set_num_threads(1)


def _model(problem: PolicyProblem, **arguments: Any) -> TRPO:
    """TRPO on a space that leads to the layout of ``problem``, with its parameters."""
    head = problem.layout.head
    is_gaussian = head.kind == "gaussian"
    action_space: spaces.Space[Any] = (
        spaces.Box(-1.0, 1.0, (head.n_actions,), np.float32) if is_gaussian else spaces.Discrete(head.sizes[0])
    )
    env = SpacesOnly(problem.layout.observation_size, action_space)
    model = TRPO("MlpPolicy", env, device="cpu", policy_kwargs=networks_of(problem.layout.policy), **arguments)
    model.set_logger(configure(None, []))
    set_flat_parameters(model.policy, problem.params)
    return model


class _Operator:
    """The product of ``TRPO.train``, its graph kept; sb3-contrib averages the divergence over action dimensions."""

    def __init__(self, problem: FisherProblem, damping: float) -> None:
        self.n_dimensions = problem.layout.head.n_actions if problem.layout.head.kind == "gaussian" else 1
        self._model = _model(problem.policy, cg_damping=damping / self.n_dimensions)
        observations = torch.from_numpy(problem.observations)
        with torch.no_grad():
            old = copy.copy(self._model.policy.get_distribution(observations))  # there is one object for all calls
        new = self._model.policy.get_distribution(observations)
        divergence = kl_divergence(new, old).mean()
        objective = new.log_prob(new.mode()).mean()  # any function of the actor's parameters
        self._actor, _, self._gradient, _ = self._model._compute_actor_grad(divergence, objective)
        self._order = self._fastpg_order()

    def product(self, vector: torch.Tensor) -> torch.Tensor:
        """(F + damping) v / D, parameters in sb3-contrib's order."""
        return self._model.hessian_vector_product(self._actor, self._gradient, vector)

    def from_fastpg(self, vector: np.ndarray) -> torch.Tensor:
        """A vector over the actor's parameters in fastpg's order in sb3-contrib's."""
        reordered = np.empty_like(vector)
        reordered[self._order] = vector
        return torch.from_numpy(reordered)

    def to_fastpg(self, vector: torch.Tensor) -> np.ndarray:
        """The inverse."""
        return vector.numpy()[self._order]

    def _fastpg_order(self) -> np.ndarray:
        """Where the entries of a vector of fastpg's are in one of sb3-contrib's."""
        sizes = [p.numel() for p in self._actor]
        parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
        place = {id(p): part.reshape(p.shape) for p, part in zip(self._actor, parts, strict=True)}
        in_order = [(p, is_weight) for p, is_weight in parameters_in_order(self._model.policy) if id(p) in place]
        return np.concatenate(
            [(place[id(p)].T if is_weight else place[id(p)]).reshape(-1) for p, is_weight in in_order]
        )


def fisher_product(problem: FisherProblem) -> Run:
    """One product per call, through the kept graph."""
    operator = _Operator(problem, 0.0)
    vector = operator.from_fastpg(problem.vector * operator.n_dimensions)
    return lambda: operator.to_fastpg(operator.product(vector))


def conjugate_gradient(problem: FisherProblem, n_iterations: int) -> Run:
    """The whole solve; the random start (of size 1e-4) is replaced by the zero that the others start at."""
    operator = _Operator(problem, problem.damping)
    gradient = operator.from_fastpg(problem.gradient / operator.n_dimensions)

    def run() -> np.ndarray:
        with mock.patch.object(torch, "randn_like", torch.zeros_like):
            return operator.to_fastpg(
                conjugate_gradient_solver(operator.product, gradient, max_iter=n_iterations, residual_tol=0.0)
            )

    return run


def update(problem: TrustRegionProblem) -> Run:
    """``TRPO.train()`` on a filled buffer; the first call uses the minibatches and the start of the problem."""
    model = _model(problem.policy, n_steps=problem.n_samples, **problem.arguments)
    fill_buffer(model, problem.rollout, np.float32)

    def run() -> np.ndarray:
        orders = [np.arange(problem.n_samples), *problem.orders]
        with (
            mock.patch("numpy.random.permutation", side_effect=orders),
            mock.patch.object(torch, "randn_like", torch.zeros_like),
        ):
            model.train()
        return flat_parameters(model.policy)

    return run
