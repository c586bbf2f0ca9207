"""Writes ``sb3_ppo_<case>.npz``: what PPO of stable-baselines3 makes of given parameters and a given rollout.

Run by hand where stable-baselines3 (2.4 to 2.9) and torch are installed; the tests need only the files::

    python -m tests.references.make_sb3_references

The update itself is stable-baselines3's own code, unchanged. Three things around it are replaced:

- the permutation of the minibatches is ours (Philox, written here a second time, in plain Python integers);
- policy, optimizer and buffer are float64, also where stable-baselines3 casts observations and actions to float32, so
  that the reference carries no rounding of its own. All inputs are float32 numbers, so that a float32 kernel starts
  from exactly the same point. A second run in float32 measures how far torch itself strays in float32
  (``float32_error``, relative to the norm of the whole change of the parameters);
- the total gradient norms are recorded as they pass through ``clip_grad_norm_``.

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
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common import policies
from stable_baselines3.common.logger import configure

from fastpg.bench.peers.sb3_bridge import SpacesOnly, fill_buffer, flat_parameters

HERE = Path(__file__).parent
STREAM_SHUFFLE = 2
SEED = 20260

HEADS: dict[str, tuple[spaces.Space[Any], str, tuple[int, ...]]] = {
    "discrete": (spaces.Discrete(2), "categorical", (2,)),
    "multidiscrete": (spaces.MultiDiscrete([3, 2, 4]), "categorical", (3, 2, 4)),
    "multibinary": (spaces.MultiBinary(5), "bernoulli", (1,) * 5),
    "box": (spaces.Box(-1.0, 1.0, (3,), np.float32), "gaussian", (1,) * 3),
}


@dataclass(frozen=True)
class Case:
    """One reference: an action space, a network and the arguments of PPO."""

    name: str
    action_space: str
    observation_size: int = 4
    n_samples: int = 200  # no multiple of batch_size: the last minibatch is short
    policy_net: tuple[int, ...] = (16, 16)
    value_net: tuple[int, ...] = (16, 16)
    activation: str = "tanh"
    n_updates: int = 1
    ppo: dict[str, Any] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """The arguments of PPO, the same in fastpg and in stable-baselines3."""
        defaults = {
            "learning_rate": 1e-3,
            "n_epochs": 3,
            "batch_size": 64,
            "clip_range": 0.2,
            "clip_range_vf": None,
            "vf_coef": 0.5,
            "ent_coef": 0.0,
            "max_grad_norm": 0.5,
            "normalize_advantage": True,
            "target_kl": None,
        }
        return {**defaults, **self.ppo}


CASES = (
    Case("cartpole", "discrete", policy_net=(64, 64), value_net=(64, 64), ppo={"n_epochs": 4}),
    Case("two_updates", "discrete", n_updates=2),
    Case("value_clipping", "discrete", ppo={"clip_range_vf": 0.1, "vf_coef": 0.7}),
    Case("no_normalisation", "discrete", n_samples=192, ppo={"normalize_advantage": False, "max_grad_norm": 100.0}),
    Case("kl_stop", "discrete", ppo={"n_epochs": 20, "target_kl": 0.02, "learning_rate": 8e-3}),
    Case("box", "box", observation_size=5, ppo={"ent_coef": 0.01}),
    Case("box_relu", "box", policy_net=(24, 8), value_net=(12,), activation="relu", ppo={"clip_range_vf": 0.2}),
    Case("multidiscrete", "multidiscrete", ppo={"ent_coef": 0.02}),
    Case("multibinary", "multibinary", ppo={"ent_coef": 0.02, "batch_size": 50}),
    Case("linear_policy", "box", policy_net=(), value_net=(16, 16, 16), ppo={"batch_size": 200, "n_epochs": 5}),
)


def philox4x32(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """Philox4x32-10 of Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3"."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        product0, product1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (
            (product1 >> 32) ^ c1 ^ k0,
            product1 & 0xFFFFFFFF,
            (product0 >> 32) ^ c3 ^ k1,
            product0 & 0xFFFFFFFF,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [c0, c1, c2, c3]


def permutation(n: int, step: int) -> np.ndarray:
    """Fisher-Yates from n-1 down to 1, swapping i with (word * (i + 1)) >> 32."""
    key = (SEED & 0xFFFFFFFF, SEED >> 32)
    order = list(range(n))
    for k, i in enumerate(range(n - 1, 0, -1)):
        word = philox4x32((k // 4, 0, step & 0xFFFFFFFF, (STREAM_SHUFFLE << 24) | (step >> 32)), key)[k % 4]
        j = (word * (i + 1)) >> 32
        order[i], order[j] = order[j], order[i]
    return np.array(order)


def make_model(case: Case, dtype: torch.dtype) -> PPO:
    activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[case.activation]
    net_arch = {"pi": list(case.policy_net), "vf": list(case.value_net)}
    model = PPO(
        "MlpPolicy",
        SpacesOnly(case.observation_size, HEADS[case.action_space][0]),
        n_steps=case.n_samples,
        policy_kwargs={"net_arch": net_arch, "activation_fn": activation},
        device="cpu",
        **case.arguments(),
    )
    model.set_logger(configure(None, []))
    model.policy.to(dtype)
    evaluate_actions = model.policy.evaluate_actions
    model.policy.evaluate_actions = lambda obs, actions: evaluate_actions(obs, actions.to(dtype))
    return model


def draw_parameters(model: PPO, rng: np.random.Generator) -> None:
    """Weights of a trained size (gain about 1), biases and log_std off zero, all of them float32 numbers."""
    with torch.no_grad():
        for parameter in model.policy.parameters():
            scale = 1.0 / np.sqrt(parameter.shape[1]) if parameter.ndim == 2 else 0.2
            parameter.copy_(torch.from_numpy((scale * rng.standard_normal(parameter.shape)).astype(np.float32)))


def draw_rollout(case: Case, seed: int) -> dict[str, np.ndarray]:
    """Float32 data as a policy close to the one of the case would have collected it."""
    rng = np.random.default_rng(seed)
    observations = rng.standard_normal((case.n_samples, case.observation_size)).astype(np.float32)
    behaviour = make_model(case, torch.float32)
    draw_parameters(behaviour, np.random.default_rng(seed + 1))
    with torch.no_grad():
        for parameter in behaviour.policy.parameters():
            noise = 0.05 * rng.standard_normal(parameter.shape)
            parameter.add_(torch.from_numpy(noise.astype(np.float32)))
        torch.manual_seed(seed)
        actions, values, log_probs = behaviour.policy(torch.from_numpy(observations))
    advantages = (rng.standard_normal(case.n_samples) + 0.3).astype(np.float32)
    values = values.numpy().reshape(-1)
    return {
        "observations": observations,
        "actions": actions.numpy().reshape(case.n_samples, -1).astype(np.float32),
        "old_log_probs": log_probs.numpy(),
        "advantages": advantages,
        "returns": advantages + values,
        "old_values": values,
    }


def run(case: Case, rollout: dict[str, np.ndarray], seed: int, dtype: str) -> tuple[PPO, np.ndarray, dict[str, float]]:
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

    n_updates_before = 0
    for update in range(case.n_updates):
        steps = iter(range(update << 16, (update << 16) + case.arguments()["n_epochs"]))
        norms.clear()
        n_updates_before = model._n_updates
        fill_buffer(model, rollout, numpy_dtype)
        with (
            mock.patch("numpy.random.permutation", lambda n, steps=steps: permutation(n, next(steps))),
            mock.patch.object(torch.nn.utils, "clip_grad_norm_", recording_clip),
            mock.patch.object(policies, "preprocess_obs", lambda obs, *_, **__: obs.to(torch_dtype)),
        ):
            model.train()
    logged = model.logger.name_to_value
    keys = ("policy_gradient_loss", "value_loss", "entropy_loss", "clip_fraction", "approx_kl", "loss")
    stats = {key: float(logged[f"train/{key}"]) for key in keys}
    stats["gradient_norm"] = float(np.mean(norms)) if norms else 0.0
    stats["n_epochs_run"] = model._n_updates - n_updates_before
    stats["n_optimizer_steps"] = len(norms)
    return model, initial, stats


def make(case: Case, seed: int) -> dict[str, np.ndarray]:
    rollout = draw_rollout(case, seed)
    model, initial, stats = run(case, rollout, seed, "float64")
    rounded, _, _ = run(case, rollout, seed, "float32")
    optimizer_state = model.policy.optimizer.state
    final = flat_parameters(model.policy)
    final32 = flat_parameters(rounded.policy)
    _, kind, sizes = HEADS[case.action_space]
    description = {
        "observation_size": case.observation_size,
        "policy_net": case.policy_net,
        "value_net": case.value_net,
        "activation": case.activation,
        "head": {"kind": kind, "sizes": sizes},
        "n_updates": case.n_updates,
        "seed": SEED,
        "arguments": case.arguments(),
        "stats": stats,
        "float32_error": float(np.linalg.norm(final32 - final) / np.linalg.norm(final - initial)),
        "made_with": {"stable_baselines3": stable_baselines3.__version__, "torch": torch.__version__},
    }

    def moment(name: str) -> np.ndarray:
        return flat_parameters(model.policy, lambda p: optimizer_state[p][name].numpy()).astype(np.float32)

    assert np.array_equal(initial, initial.astype(np.float32))
    return {
        **rollout,
        "initial_params": initial.astype(np.float32),
        "final_params": final,
        "final_first_moment": moment("exp_avg"),
        "final_second_moment": moment("exp_avg_sq"),
        "first_permutation": permutation(case.n_samples, 0).astype(np.int16),
        "description": np.array(json.dumps(description)),
    }


def main() -> None:
    torch.set_num_threads(1)
    for number, case in enumerate(CASES):
        arrays = make(case, seed=1000 + number)
        path = HERE / f"sb3_ppo_{case.name}.npz"
        np.savez_compressed(path, **arrays)
        description = json.loads(str(arrays["description"]))
        stats = {key: round(value, 6) for key, value in description["stats"].items()}
        print(path.name, path.stat().st_size, f"float32 error {description['float32_error']:.1e}", stats)  # noqa: T201


if __name__ == "__main__":
    main()
