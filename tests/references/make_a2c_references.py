"""Writes ``sb3_a2c_<case>.npz``: what A2C of stable-baselines3 makes of given parameters and a given rollout.

Run by hand where stable-baselines3 (2.4 to 2.9) and torch are installed; the tests need only the files::

    python -m tests.references.make_a2c_references

The update is stable-baselines3's own code, unchanged; policy, optimizer and buffer are float64, also where
stable-baselines3 casts observations and actions to float32. All inputs are float32 numbers. A second run in float32
measures how far torch itself strays (``float32_error``, relative to the norm of the change of the parameters).
Weights are stored in fastpg's order: policy network, log_std, value network, each ``W`` as (in, out).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import A2C
from stable_baselines3.common import policies
from stable_baselines3.common.logger import configure

from fastpg.bench.peers.sb3_bridge import SpacesOnly, fill_buffer, flat_parameters
from tests.references.make_sb3_references import HEADS, draw_parameters

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One reference: an action space, networks and the arguments of A2C that are not its defaults."""

    name: str
    action_space: str
    n_samples: int = 40  # 5 steps of 8 environments
    observation_size: int = 4
    policy_net: tuple[int, ...] = (16, 16)
    value_net: tuple[int, ...] = (16, 16)
    activation: str = "tanh"
    n_updates: int = 1
    a2c: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case("cartpole", "discrete", policy_net=(64, 64), value_net=(64, 64)),
    Case("three_updates", "discrete", n_updates=3, a2c={"max_grad_norm": 100.0}),
    Case("box", "box", observation_size=5, n_updates=2, a2c={"ent_coef": 0.01, "normalize_advantage": True}),
    Case("box_relu", "box", policy_net=(24, 8), value_net=(12,), activation="relu", a2c={"rms_prop_eps": 1e-3}),
    Case("multidiscrete", "multidiscrete", n_samples=7, n_updates=2, a2c={"ent_coef": 0.1, "vf_coef": 0.25}),
    Case("multibinary_adam", "multibinary", n_updates=3, a2c={"use_rms_prop": False, "learning_rate": 3e-3}),
)


def make_model(case: Case, dtype: torch.dtype) -> A2C:
    activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[case.activation]
    model = A2C(
        "MlpPolicy",
        SpacesOnly(case.observation_size, HEADS[case.action_space][0]),
        n_steps=case.n_samples,
        policy_kwargs={
            "net_arch": {"pi": list(case.policy_net), "vf": list(case.value_net)},
            "activation_fn": activation,
        },
        device="cpu",
        **case.a2c,
    )
    model.set_logger(configure(None, []))
    model.policy.to(dtype)
    evaluate_actions = model.policy.evaluate_actions
    model.policy.evaluate_actions = lambda obs, actions: evaluate_actions(obs, actions.to(dtype))
    return model


def draw_rollout(case: Case, seed: int) -> dict[str, np.ndarray]:
    """Float32 data; actions are drawn by the policy of the case, so that log-probabilities are of a usual size."""
    rng = np.random.default_rng(seed)
    observations = rng.standard_normal((case.n_samples, case.observation_size)).astype(np.float32)
    model = make_model(case, torch.float32)
    draw_parameters(model, np.random.default_rng(seed + 1))
    torch.manual_seed(seed)
    with torch.no_grad():
        actions, values, log_probs = model.policy(torch.from_numpy(observations))
    advantages = (rng.standard_normal(case.n_samples) + 0.3).astype(np.float32)
    values = values.numpy().reshape(-1)
    return {
        "observations": observations,
        "actions": actions.numpy().reshape(case.n_samples, -1).astype(np.float32),
        "old_log_probs": log_probs.numpy(),  # not used by A2C
        "advantages": advantages,
        "returns": advantages + values,
        "old_values": values,
    }


def run(case: Case, rollout: dict[str, np.ndarray], seed: int, dtype: str) -> tuple[A2C, np.ndarray, dict[str, float]]:
    """The model after ``n_updates`` calls of train(), its initial parameters, and what the last call reported."""
    torch_dtype, numpy_dtype = getattr(torch, dtype), getattr(np, dtype)
    model = make_model(case, torch_dtype)
    draw_parameters(model, np.random.default_rng(seed + 1))
    initial = flat_parameters(model.policy)
    norms: list[float] = []
    clip_grad_norm = torch.nn.utils.clip_grad_norm_

    def recording_clip(parameters: Any, max_norm: float) -> torch.Tensor:
        norm = clip_grad_norm(parameters, max_norm)
        norms.append(norm.item())
        return norm

    for _ in range(case.n_updates):
        fill_buffer(model, rollout, numpy_dtype)
        with (
            mock.patch.object(torch.nn.utils, "clip_grad_norm_", recording_clip),
            mock.patch.object(policies, "preprocess_obs", lambda obs, *_, **__: obs.to(torch_dtype)),
        ):
            model.train()
    logged = model.logger.name_to_value
    stats = {key: float(logged[f"train/{key}"]) for key in ("policy_loss", "value_loss", "entropy_loss")}
    return model, initial, {**stats, "gradient_norm": norms[-1]}


def make(case: Case, seed: int) -> dict[str, np.ndarray]:
    rollout = draw_rollout(case, seed)
    model, initial, stats = run(case, rollout, seed, "float64")
    rounded, _, _ = run(case, rollout, seed, "float32")
    final, final32 = flat_parameters(model.policy), flat_parameters(rounded.policy)
    _, kind, sizes = HEADS[case.action_space]
    description = {
        "observation_size": case.observation_size,
        "policy_net": case.policy_net,
        "value_net": case.value_net,
        "activation": case.activation,
        "head": {"kind": kind, "sizes": sizes},
        "n_updates": case.n_updates,
        "arguments": case.a2c,
        "stats": stats,
        "float32_error": float(np.linalg.norm(final32 - final) / np.linalg.norm(final - initial)),
        "made_with": {"stable_baselines3": stable_baselines3.__version__, "torch": torch.__version__},
    }
    states = model.policy.optimizer.state
    second = "square_avg" if "square_avg" in next(iter(states.values())) else "exp_avg_sq"
    return {
        **{name: array for name, array in rollout.items() if name != "old_log_probs"},
        "initial_params": initial.astype(np.float32),
        "final_params": final,
        "final_second_moment": flat_parameters(model.policy, lambda p: states[p][second].numpy()),
        "description": np.array(json.dumps(description)),
    }


def main() -> None:
    torch.set_num_threads(1)
    for number, case in enumerate(CASES):
        arrays = make(case, seed=2000 + number)
        path = HERE / f"sb3_a2c_{case.name}.npz"
        np.savez_compressed(path, **arrays)
        description = json.loads(str(arrays["description"]))
        stats = {key: round(value, 6) for key, value in description["stats"].items()}
        print(path.name, path.stat().st_size, f"float32 error {description['float32_error']:.1e}", stats)  # noqa: T201


if __name__ == "__main__":
    main()
