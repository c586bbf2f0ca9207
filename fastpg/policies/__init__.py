"""MLP policies: a flat parameter vector, how it is initialised, and what it computes."""

from fastpg.policies.actor_critic import ActorCritic
from fastpg.policies.architecture import parse_activation, parse_net_arch

__all__ = ["ActorCritic", "parse_activation", "parse_net_arch"]
