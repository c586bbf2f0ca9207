"""Writes ``trpo_<case>.npz``: what TRPO of sb3-contrib makes of given parameters and a given rollout.

Run by hand where sb3-contrib (2.4 to 2.9) and torch are installed; the tests need only the files::

    python -m tests.references.make_trpo_references

The update is sb3-contrib's own code, unchanged, in float64 as in ``make_sb3_references``; Bernoulli actions are cast to
float64 too, without which torch computes their gradient in float32. Around it are replaced the permutation of the
critic's minibatches (ours) and the random start of conjugate gradient, which is stored. Recorded on the way: the
gradient, the solution of conjugate gradient with its curvature x'(F + damping)x, and the number of candidates that the
line search rejected.

Its conventions, which the tests switch on: KL(new || old) instead of KL(old || new); for Gaussian and Bernoulli heads
the divergence is averaged over action dimensions instead of summed, hence so is the Fisher matrix, but not the damping;
conjugate gradient starts at noise and stops at an absolute residual of 1e-5 (1e-10 for its square).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import sb3_contrib
import torch
from sb3_contrib import TRPO
from sb3_contrib.trpo import trpo as trpo_module
from stable_baselines3.common import policies
from stable_baselines3.common.distributions import BernoulliDistribution
from stable_baselines3.common.logger import configure

from fastpg.bench.peers.sb3_bridge import SpacesOnly, fill_buffer, flat_parameters, parameters_in_order
from tests.references.make_sb3_references import HEADS, SEED, Case, draw_parameters, draw_rollout, permutation

HERE = Path(__file__).parent


@dataclass(frozen=True)
class TRPOCase:
    """One reference: networks, action space and number of updates as in ``Case``, and the arguments of TRPO."""

    networks: Case
    trpo: dict[str, Any] = field(default_factory=dict)
    seed: int = 2000

    def arguments(self) -> dict[str, Any]:
        """The arguments of TRPO, the same in fastpg and in sb3-contrib."""
        defaults = {
            "learning_rate": 1e-3,
            "batch_size": 64,
            "cg_max_steps": 15,
            "cg_damping": 0.1,
            "line_search_shrinking_factor": 0.8,
            "line_search_max_iter": 10,
            "n_critic_updates": 3,
            "normalize_advantage": True,
            "target_kl": 0.01,
            "sub_sampling_factor": 1,
        }
        return {**defaults, **self.trpo}


#: A policy so small that conjugate gradient solves its system, with a radius in which the local model is wrong.
_LINEAR = partial(Case, action_space="box", policy_net=())

CASES = (
    TRPOCase(Case("cartpole", "discrete", policy_net=(64, 64), value_net=(64, 64))),
    TRPOCase(Case("two_updates", "discrete", n_updates=2), {"batch_size": 50}),
    TRPOCase(Case("box", "box", observation_size=5), {"cg_max_steps": 10}),
    TRPOCase(Case("box_relu", "box", policy_net=(24, 8), value_net=(12,), activation="relu")),
    TRPOCase(Case("multidiscrete", "multidiscrete")),
    TRPOCase(Case("multibinary", "multibinary"), {"target_kl": 0.02}),
    TRPOCase(Case("no_normalisation", "discrete", n_samples=192), {"normalize_advantage": False}),
    TRPOCase(
        _LINEAR("backtracking"),
        {"target_kl": 2.0, "cg_damping": 1e-3, "line_search_shrinking_factor": 0.95},
        seed=2008,
    ),
    TRPOCase(_LINEAR("failure"), {"target_kl": 2.0, "cg_damping": 1e-3, "line_search_max_iter": 1}, seed=2008),
)


class Recorder:
    """Gives conjugate gradient its start and keeps what it was asked and what it answered."""

    def __init__(self, model: TRPO, starts: list[np.ndarray]) -> None:
        self.model = model
        self.starts = iter(starts)
        self.gradient = self.solution = np.empty(0)
        self.curvature = 0.0

    def start(self, like: torch.Tensor) -> torch.Tensor:
        """The noise (before its factor 1e-4) of the next solve."""
        noise = torch.zeros(sum(p.numel() for p in self._actor()), dtype=like.dtype)
        noise.copy_(torch.from_numpy(self._from_fastpg(next(self.starts))))
        return noise

    def solve(self, product: Any, gradient: torch.Tensor, max_iter: int) -> torch.Tensor:
        """sb3-contrib's solver, watched."""
        solution = _SOLVE(product, gradient, max_iter=max_iter)
        self.gradient, self.solution = self._to_fastpg(gradient), self._to_fastpg(solution)
        self.curvature = float(solution @ product(solution))
        return solution

    def _actor(self) -> list[torch.nn.Parameter]:
        """The parameters that TRPO changes, in its order."""
        return [p for name, p in self.model.policy.named_parameters() if "value" not in name]

    def _to_fastpg(self, vector: torch.Tensor) -> np.ndarray:
        """A vector over the actor's parameters in fastpg's order."""
        parts = vector.detach().split([p.numel() for p in self._actor()])
        by_parameter = {id(p): part.reshape(p.shape) for p, part in zip(self._actor(), parts, strict=True)}
        ordered = [(by_parameter[id(p)], is_weight) for p, is_weight in self._in_order()]
        return np.concatenate([(part.T if is_weight else part).numpy().reshape(-1) for part, is_weight in ordered])

    def _from_fastpg(self, vector: np.ndarray) -> np.ndarray:
        """The inverse of ``_to_fastpg``."""
        start, by_parameter = 0, {}
        for p, is_weight in self._in_order():
            part = vector[start : start + p.numel()]
            by_parameter[id(p)] = part.reshape(p.T.shape).T if is_weight else part
            start += p.numel()
        return np.concatenate([by_parameter[id(p)].reshape(-1) for p in self._actor()])

    def _in_order(self) -> list[tuple[torch.nn.Parameter, bool]]:
        actor = {id(p) for p in self._actor()}
        return [pair for pair in parameters_in_order(self.model.policy) if id(pair[0]) in actor]


_LOG_PROB = BernoulliDistribution.log_prob
_SOLVE = trpo_module.conjugate_gradient_solver


def make_model(case: TRPOCase, dtype: torch.dtype) -> TRPO:
    networks = case.networks
    activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[networks.activation]
    net_arch = {"pi": list(networks.policy_net), "vf": list(networks.value_net)}
    model = TRPO(
        "MlpPolicy",
        SpacesOnly(networks.observation_size, HEADS[networks.action_space][0]),
        n_steps=networks.n_samples,
        policy_kwargs={"net_arch": net_arch, "activation_fn": activation},
        device="cpu",
        **case.arguments(),
    )
    model.set_logger(configure(None, []))
    model.policy.to(dtype)
    return model


def run(
    case: TRPOCase, rollout: dict[str, np.ndarray], starts: list[np.ndarray], seed: int, dtype: str
) -> tuple[TRPO, np.ndarray, Recorder, dict[str, float]]:
    """The model after ``n_updates`` calls of train(), its initial parameters, and what the last call did."""
    torch_dtype, numpy_dtype = getattr(torch, dtype), getattr(np, dtype)
    model = make_model(case, torch_dtype)
    draw_parameters(model, np.random.default_rng(seed + 1))
    initial = flat_parameters(model.policy)
    recorder = Recorder(model, starts)
    n_candidates = 0
    for update in range(case.networks.n_updates):
        epochs = range(update << 16, (update << 16) + case.arguments()["n_critic_updates"])
        orders = iter([np.arange(case.networks.n_samples), *(permutation(case.networks.n_samples, e) for e in epochs)])
        fill_buffer(model, rollout, numpy_dtype)
        with (
            mock.patch("numpy.random.permutation", lambda n, orders=orders: next(orders)),
            mock.patch.object(torch, "randn_like", recorder.start),
            mock.patch.object(trpo_module, "conjugate_gradient_solver", recorder.solve),
            mock.patch.object(policies, "preprocess_obs", lambda obs, *_, **__: obs.to(torch_dtype)),
            mock.patch.object(
                BernoulliDistribution, "log_prob", lambda self, actions: _LOG_PROB(self, actions.to(torch_dtype))
            ),
            mock.patch.object(model.policy, "get_distribution", wraps=model.policy.get_distribution) as distributions,
        ):
            model.train()
        n_candidates = distributions.call_count - 2  # the old policy twice: with and without its graph
    logged = model.logger.name_to_value
    keys = ("policy_objective", "value_loss", "kl_divergence_loss", "is_line_search_success")
    stats = {key: float(logged[f"train/{key}"]) for key in keys}
    is_success = bool(stats["is_line_search_success"])
    stats["n_backtracks"] = n_candidates - is_success
    stats["curvature"] = recorder.curvature
    return model, initial, recorder, stats


def make(case: TRPOCase, seed: int) -> dict[str, np.ndarray]:
    networks = case.networks
    rollout = draw_rollout(networks, seed)
    n_actor = sum(p.numel() for n, p in make_model(case, torch.float32).policy.named_parameters() if "value" not in n)
    noise = np.random.default_rng(seed + 2).standard_normal((networks.n_updates, n_actor)).astype(np.float32)
    model, initial, recorder, stats = run(case, rollout, list(noise), seed, "float64")
    rounded, *_ = run(case, rollout, list(noise), seed, "float32")
    final, final32 = flat_parameters(model.policy), flat_parameters(rounded.policy)
    _, kind, sizes = HEADS[networks.action_space]
    description = {
        "observation_size": networks.observation_size,
        "policy_net": networks.policy_net,
        "value_net": networks.value_net,
        "activation": networks.activation,
        "head": {"kind": kind, "sizes": sizes},
        "n_updates": networks.n_updates,
        "seed": SEED,
        "arguments": case.arguments(),
        "stats": stats,
        "float32_error": float(np.linalg.norm(final32 - final) / np.linalg.norm(final - initial)),
        "made_with": {"sb3_contrib": sb3_contrib.__version__, "torch": torch.__version__},
    }
    assert np.array_equal(initial, initial.astype(np.float32))
    return {
        **rollout,
        "initial_params": initial.astype(np.float32),
        "final_params": final,
        "cg_noise": noise,
        "gradient": recorder.gradient,
        "solution": recorder.solution,
        "description": np.array(json.dumps(description)),
    }


def main() -> None:
    torch.set_num_threads(1)
    for case in CASES:
        arrays = make(case, case.seed)
        path = HERE / f"trpo_{case.networks.name}.npz"
        np.savez_compressed(path, **arrays)
        description = json.loads(str(arrays["description"]))
        stats = {key: round(value, 6) for key, value in description["stats"].items()}
        print(path.name, path.stat().st_size, f"float32 error {description['float32_error']:.1e}", stats)  # noqa: T201


if __name__ == "__main__":
    main()
