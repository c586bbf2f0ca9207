"""Independent float64 formulas to test the reference against: slow, plain, sharing no code with the package."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def gae_by_episode(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    truncated: Array,
    gamma: float,
    gae_lambda: float,
) -> Array:
    """One environment, episode by episode: the sum over k of (gamma lambda)^k td_error_{t+k}, eq. (16) as printed."""
    n_steps = len(rewards)
    advantages = np.zeros(n_steps)
    first = 0
    while first < n_steps:
        last = first
        while last < n_steps - 1 and not (terminated[last] or truncated[last]):
            last += 1
        for t in range(first, last + 1):
            total = 0.0
            for k in range(last - t + 1):
                bootstrap = 0.0 if terminated[t + k] else gamma * float(next_values[t + k])
                total += (gamma * gae_lambda) ** k * (float(rewards[t + k]) + bootstrap - float(values[t + k]))
            advantages[t] = total
        first = last + 1
    return advantages


def softmax(logits: Array) -> Array:
    """Of one vector of moderate logits."""
    weights = np.exp(logits.astype(np.float64))
    return weights / weights.sum()


def probabilities(kind: str, sizes: tuple[int, ...], head_inputs: Array) -> list[Array]:
    """Per action dimension the probability of every choice, for the discrete heads; one row."""
    if kind == "bernoulli":
        return [np.array([1 / (1 + math.exp(x)), 1 / (1 + math.exp(-x))]) for x in head_inputs.tolist()]
    ends = np.cumsum(sizes)
    return [softmax(head_inputs[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def torch_adam(
    params: Array,
    gradient: Array,
    m: Array,
    v: Array,
    step: int,
    rate: float,
    betas: tuple[float, float],
    epsilon: float,
) -> tuple[Array, Array, Array]:
    """The rule in the documentation of torch.optim.Adam, element by element."""
    new = np.zeros((3, len(params)))
    for i in range(len(params)):
        m_t = betas[0] * m[i] + (1 - betas[0]) * gradient[i]
        v_t = betas[1] * v[i] + (1 - betas[1]) * gradient[i] ** 2
        m_hat = m_t / (1 - betas[0] ** step)
        v_hat = v_t / (1 - betas[1] ** step)
        new[:, i] = params[i] - rate * m_hat / (math.sqrt(v_hat) + epsilon), m_t, v_t
    return new[0], new[1], new[2]


_MASK = 0xFFFFFFFF


def philox4x32(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 in Python integers, after the listing of the paper."""
    c, k = list(counter), list(key)
    for _ in range(10):
        product0, product1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(product1 >> 32) ^ c[1] ^ k[0], product1 & _MASK, (product0 >> 32) ^ c[3] ^ k[1], product0 & _MASK]
        k = [(k[0] + 0x9E3779B9) & _MASK, (k[1] + 0xBB67AE85) & _MASK]
    return c
