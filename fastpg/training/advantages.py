"""From a rollout to the samples of an update: generalised advantage estimates (Schulman et al. 2016) and returns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastpg.algorithms.config import OnPolicyConfig
from fastpg.kernels.gae import gae
from fastpg.types import Batch, Rollout


def make_batch(rollout: Rollout, config: OnPolicyConfig) -> Batch:
    """The valid transitions of ``rollout`` with their advantages and returns.

    Without values (REINFORCE) all of them count as 0, also where an episode or the rollout is cut. With an
    ``entropy_reward`` lambda, rewards are r - lambda log pi(a|s): then advantages are those of the regularised problem,
    q(s, a) - lambda log pi(a|s) - V(s) (Shani, Efroni, Mannor 2020, section 3).
    """
    if not config.has_values:
        nothing = np.zeros_like(rollout.values)
        rollout = replace(rollout, values=nothing, next_values=nothing)
    rewards = rollout.rewards
    if config.entropy_reward:
        rewards = rewards - rewards.dtype.type(config.entropy_reward) * rollout.log_probs
    advantages = gae(
        rewards,
        rollout.values,
        rollout.next_values,
        rollout.terminated,
        rollout.truncated,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        n_threads=config.n_threads,
        backend=config.backend,
    )
    return rollout.flatten(advantages)
