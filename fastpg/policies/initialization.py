"""Initial parameters of an actor-critic, a function of the seed alone.

Orthogonal initialisation is Saxe et al. 2014 (arXiv:1312.6120) with the gains that stable-baselines3 uses; the
alternative is PyTorch's default for a linear layer. No global random state is read or changed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastpg.kernels.layout import ActorCriticLayout, MLPLayout

HIDDEN_GAIN = math.sqrt(2.0)
ACTION_GAIN = 0.01
VALUE_GAIN = 1.0


def initial_params(
    layout: ActorCriticLayout, *, seed: int, ortho_init: bool = True, log_std_init: float = 0.0
) -> NDArray[np.float32]:
    """Flat float32 parameters (P,).

    Args:
        layout: sizes and head.
        seed: of the generator (Philox); the same seed gives the same parameters.
        ortho_init: orthogonal weights (gain sqrt(2), 0.01 before the actions, 1 before the value) and zero biases;
            otherwise weights and biases uniform in +-1/sqrt(inputs).
        log_std_init: of every action dimension (Gaussian head only).
    """
    rng = np.random.Generator(np.random.Philox(seed))
    params = np.zeros(layout.n_params, np.float32)
    policy, log_std, value = layout.split(params)
    log_std[:] = log_std_init
    for network, part, last_gain in ((layout.policy, policy, ACTION_GAIN), (layout.value, value, VALUE_GAIN)):
        if ortho_init:
            _fill_orthogonal(network, part, last_gain, rng)
        else:
            _fill_uniform(network, part, rng)
    return params


def _fill_orthogonal(
    network: MLPLayout, params: NDArray[np.float32], last_gain: float, rng: np.random.Generator
) -> None:
    layers = network.views(params)
    for index, (weight, _bias) in enumerate(layers):
        gain = last_gain if index == len(layers) - 1 else HIDDEN_GAIN
        weight[:] = gain * orthogonal(weight.shape[0], weight.shape[1], rng)


def _fill_uniform(network: MLPLayout, params: NDArray[np.float32], rng: np.random.Generator) -> None:
    for weight, bias in network.views(params):
        bound = 1.0 / math.sqrt(weight.shape[0])
        weight[:] = rng.uniform(-bound, bound, weight.shape)
        bias[:] = rng.uniform(-bound, bound, bias.shape)


def orthogonal(n_rows: int, n_columns: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A random (n_rows, n_columns) matrix with orthonormal rows or columns, whichever are fewer.

    The Q of a QR decomposition of Gaussian numbers, with the signs of R's diagonal moved into Q, which makes the
    distribution uniform (Mezzadri 2007, arXiv:math-ph/0609050).
    """
    q, r = np.linalg.qr(rng.standard_normal((max(n_rows, n_columns), min(n_rows, n_columns))))
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return q if n_rows >= n_columns else q.T
