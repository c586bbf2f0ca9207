"""Writes ``tianshou_npg_<case>.npz``: what one step of tianshou's NPG makes of given parameters and a given rollout.

Run by hand where tianshou 2 and torch are installed (an environment without stable-baselines3 will do); the tests need
only the files::

    python -m tests.references.make_tianshou_references

The step is tianshou's own code, unchanged, in float64 on inputs that are float32 numbers; a second run in float32
measures how far torch strays (``float32_error``, relative to the norm of the change of the parameters).

Its conventions: the gradient is that of mean(log pi(a|s) A), the same as the surrogate's at theta_old; ten iterations
of conjugate gradient from zero on F + 0.1, stopped at an absolute residual of 1e-5 (1e-10 for its square); the step is
``trust_region_size`` (a plain multiplier) times the solution, unchecked. The critic then makes full-batch Adam steps.
Advantages are divided by their standard deviation (ddof 1) without an epsilon.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import tianshou
import torch
from gymnasium import spaces
from tianshou.algorithm import NPG
from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Batch
from torch.distributions import Categorical, Independent, Normal

HERE = Path(__file__).parent
LEARNING_RATE, EPSILON, DAMPING = 1e-3, 1e-5, 0.1


@dataclass(frozen=True)
class Case:
    """One reference: the head, the network of policy and critic, and the arguments of NPG."""

    name: str
    kind: str
    n_outputs: int
    observation_size: int = 4
    hidden: tuple[int, ...] = (16, 16)
    n_samples: int = 200
    trust_region_size: float = 0.5
    optim_critic_iters: int = 5

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """What tianshou asks for."""
        if self.kind == "gaussian":
            return spaces.Box(-1.0, 1.0, (self.n_outputs,), np.float32)
        return spaces.Discrete(self.n_outputs)

    @property
    def head(self) -> dict[str, Any]:
        """fastpg's description of the head."""
        return {"kind": self.kind, "sizes": (1,) * self.n_outputs if self.kind == "gaussian" else (self.n_outputs,)}


CASES = (
    Case("discrete", "categorical", 3),
    Case("gaussian", "gaussian", 2, observation_size=5, trust_region_size=0.1),
)


class Actor(torch.nn.Module):
    """Network and log standard deviation, in the shape that tianshou's policies want."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.network = network(case, case.n_outputs)
        if case.kind == "gaussian":
            self.log_std = torch.nn.Parameter(torch.zeros(case.n_outputs))

    def forward(self, obs: Any, state: Any = None, info: Any = None) -> Any:
        """(logits or (mean, standard deviation), state)."""
        outputs = self.network(torch.as_tensor(obs))
        if hasattr(self, "log_std"):
            return (outputs, self.log_std.exp().expand_as(outputs)), state
        return outputs, state


def network(case: Case, n_outputs: int) -> torch.nn.Sequential:
    """Tanh after every layer but the last."""
    sizes = (case.observation_size, *case.hidden, n_outputs)
    layers: list[torch.nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


def distribution(outputs: Any) -> Any:
    """Of the actor's outputs."""
    if isinstance(outputs, tuple):
        return Independent(Normal(*outputs), 1)
    return Categorical(logits=outputs)


def draw_parameters(actor: Actor, critic: torch.nn.Module, rng: np.random.Generator) -> None:
    """Weights of a trained size (gain about 1), biases and log_std off zero, all of them float32 numbers."""
    with torch.no_grad():
        for p in [*actor.parameters(), *critic.parameters()]:
            scale = 1.0 / np.sqrt(p.shape[1]) if p.ndim == 2 else 0.2
            p.copy_(torch.from_numpy((scale * rng.standard_normal(p.shape)).astype(np.float32)))


def flat_parameters(actor: Actor, critic: torch.nn.Module) -> np.ndarray:
    """All parameters in fastpg's order: policy network, log_std, value network, each ``W`` as (in, out)."""
    log_std = [actor.log_std] if hasattr(actor, "log_std") else []
    ordered = [*actor.network.parameters(), *log_std, *critic.parameters()]
    return np.concatenate([p.detach().double().numpy().T.reshape(-1) for p in ordered])


def draw_rollout(case: Case, seed: int) -> dict[str, np.ndarray]:
    """Float32 data; the step does not ask how likely the actions were."""
    rng = np.random.default_rng(seed)
    gaussian = case.kind == "gaussian"
    shape = (case.n_samples, case.n_outputs if gaussian else 1)
    actions = rng.standard_normal(shape) if gaussian else rng.integers(0, case.n_outputs, shape)
    advantages = rng.standard_normal(case.n_samples) + 0.3
    return {
        "observations": rng.standard_normal((case.n_samples, case.observation_size)).astype(np.float32),
        "actions": actions.astype(np.float32),
        "advantages": advantages.astype(np.float32),
        "returns": (2.0 * rng.standard_normal(case.n_samples)).astype(np.float32),
    }


def run(case: Case, rollout: dict[str, np.ndarray], seed: int, dtype: str) -> tuple[np.ndarray, np.ndarray, Any]:
    """Parameters before and after one step, and tianshou's statistics."""
    torch_dtype = getattr(torch, dtype)
    actor, critic = Actor(case), network(case, 1)
    draw_parameters(actor, critic, np.random.default_rng(seed + 1))
    actor.to(torch_dtype)
    critic.to(torch_dtype)
    initial = flat_parameters(actor, critic)
    policy = ProbabilisticActorPolicy(
        actor=actor, dist_fn=distribution, action_space=case.action_space, action_scaling=False
    )
    algorithm = NPG(
        policy=policy,
        critic=critic,
        optim=AdamOptimizerFactory(lr=LEARNING_RATE, eps=EPSILON),
        optim_critic_iters=case.optim_critic_iters,
        trust_region_size=case.trust_region_size,
    )
    arrays = {name: torch.from_numpy(array).to(torch_dtype) for name, array in rollout.items()}
    actions = arrays["actions"] if case.kind == "gaussian" else arrays["actions"].long().flatten()
    advantages = (arrays["advantages"] - arrays["advantages"].mean()) / arrays["advantages"].std()
    batch = Batch(obs=arrays["observations"], act=actions, adv=advantages, returns=arrays["returns"], info={})
    statistics = algorithm._update_with_batch(batch, batch_size=None, repeat=1)
    return initial, flat_parameters(actor, critic), statistics


def make(case: Case, seed: int) -> dict[str, np.ndarray]:
    rollout = draw_rollout(case, seed)
    initial, final, statistics = run(case, rollout, seed, "float64")
    _, final32, _ = run(case, rollout, seed, "float32")
    description = {
        "observation_size": case.observation_size,
        "policy_net": case.hidden,
        "value_net": case.hidden,
        "activation": "tanh",
        "head": case.head,
        "arguments": {
            "step_size": case.trust_region_size,
            "cg_max_steps": 10,
            "cg_damping": DAMPING,
            "learning_rate": LEARNING_RATE,
            "n_critic_updates": case.optim_critic_iters,
        },
        "stats": {"kl_old_new": statistics.kl.mean, "value_loss_last": statistics.vf_loss.mean},
        "float32_error": float(np.linalg.norm(final32 - final) / np.linalg.norm(final - initial)),
        "made_with": {"tianshou": tianshou.__version__, "torch": torch.__version__},
    }
    assert np.array_equal(initial, initial.astype(np.float32))
    arrays = {**rollout, "initial_params": initial.astype(np.float32), "final_params": final}
    return {**arrays, "description": np.array(json.dumps(description))}


def main() -> None:
    torch.set_num_threads(1)
    for number, case in enumerate(CASES):
        arrays = make(case, seed=3000 + number)
        path = HERE / f"tianshou_npg_{case.name}.npz"
        np.savez_compressed(path, **arrays)
        description = json.loads(str(arrays["description"]))
        print(path.name, path.stat().st_size, f"{description['float32_error']:.1e}", description["stats"])  # noqa: T201


if __name__ == "__main__":
    main()
