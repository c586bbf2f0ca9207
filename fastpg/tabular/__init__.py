"""Policy optimisation on small finite MDPs, in NumPy and without estimation: the theory that the trainers approximate.

A policy is an array (S, A) of probabilities, everything is float64. A method turns a policy into a better one
(``improve``); ``iterate`` repeats it and reports the exact value of every iterate. Rewards are maximised; where a paper
minimises costs, cost = reward_max - reward, so that its C_max is ``MDP.reward_span``.
"""

from fastpg.tabular.conservative import ConservativePolicyIteration
from fastpg.tabular.evaluation import (
    action_values,
    advantages,
    expected_return,
    optimal_policy,
    policy_advantage,
    state_values,
    visitation,
)
from fastpg.tabular.geometry import KL, Euclidean
from fastpg.tabular.iteration import History, iterate
from fastpg.tabular.mdp import MDP, chain_mdp, random_mdp, uniform_policy
from fastpg.tabular.minorant import MinorizeMaximize, improvement_surrogate, lower_bound, penalty_coefficient
from fastpg.tabular.natural_gradient import ExactNPG
from fastpg.tabular.trust_region import SampleBasedTRPO, UniformTRPO

__all__ = [
    "KL",
    "MDP",
    "ConservativePolicyIteration",
    "Euclidean",
    "ExactNPG",
    "History",
    "MinorizeMaximize",
    "SampleBasedTRPO",
    "UniformTRPO",
    "action_values",
    "advantages",
    "chain_mdp",
    "expected_return",
    "improvement_surrogate",
    "iterate",
    "lower_bound",
    "optimal_policy",
    "penalty_coefficient",
    "policy_advantage",
    "random_mdp",
    "state_values",
    "uniform_policy",
    "visitation",
]
