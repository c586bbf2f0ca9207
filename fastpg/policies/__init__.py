"""MLP policies: a flat parameter vector, how it is initialised, and what it computes."""

from fastpg.policies.actor_critic import ActorCritic
from fastpg.policies.architecture import actor_critic_layout

__all__ = ["ActorCritic", "actor_critic_layout"]
