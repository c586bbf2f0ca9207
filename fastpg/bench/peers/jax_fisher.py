"""Gauss-Newton products and conjugate gradient in JAX, jitted: forward pass, J v, Fisher matrix of the head, J' u."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fastpg.bench.peers.jax_ppo import Params, _mlp
from fastpg.bench.problems import FisherProblem
from fastpg.bench.timing import Run

Product = Callable[[Params], Params]


def _product(problem: FisherProblem, params: Params, observations: jax.Array, damping: float) -> Product:
    """Maps v to (F + damping) v at ``params``; one forward pass per trace, however often this is called."""
    layout = problem.layout
    n_network = layout.policy.n_params

    def head_inputs(network: Params) -> jax.Array:
        return _mlp(network, observations, layout.policy)

    outputs, tangent_of = jax.linearize(head_inputs, params[:n_network])
    cotangent_of = jax.linear_transpose(tangent_of, params[:n_network])
    log_std = params[n_network:]

    def product(vector: Params) -> Params:
        tangent = tangent_of(vector[:n_network])
        if log_std.size:
            weighted = tangent * jnp.exp(-2.0 * log_std)
        else:
            probabilities = jax.nn.softmax(outputs)
            weighted = probabilities * (tangent - (probabilities * tangent).sum(-1, keepdims=True))
        (network,) = cotangent_of(weighted / len(observations))
        return jnp.concatenate([network, 2.0 * vector[n_network:]]) + damping * vector

    return product


def fisher_product(problem: FisherProblem) -> Run:
    """One product per call."""

    @jax.jit
    def run(params: Params, observations: jax.Array, vector: Params) -> Params:
        return _product(problem, params, observations, 0.0)(vector)

    arrays = [jnp.asarray(array) for array in (problem.params, problem.observations, problem.vector)]
    return lambda: np.asarray(run(*arrays))


def conjugate_gradient(problem: FisherProblem, n_iterations: int) -> Run:
    """The whole solve in one call, activations computed once."""

    @jax.jit
    def run(params: Params, observations: jax.Array, gradient: Params) -> Params:
        apply = _product(problem, params, observations, problem.damping)

        def step(_: int, carry: tuple[Params, Params, Params, jax.Array]) -> tuple[Params, Params, Params, jax.Array]:
            x, residual, direction, squared = carry
            image = apply(direction)
            length = squared / (direction @ image)
            x, residual = x + length * direction, residual - length * image
            new_squared = residual @ residual
            return x, residual, residual + new_squared / squared * direction, new_squared

        start = (jnp.zeros_like(gradient), gradient, gradient, gradient @ gradient)
        return lax.fori_loop(0, n_iterations, step, start)[0]

    arrays = [jnp.asarray(array) for array in (problem.params, problem.observations, problem.gradient)]
    return lambda: np.asarray(run(*arrays))
