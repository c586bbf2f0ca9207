"""The same arithmetic in JAX, jitted: one call runs all minibatches in a ``lax.scan``, nothing returns to Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fastpg.bench.problems import PolicyProblem, UpdateProblem
from fastpg.bench.timing import Run
from fastpg.kernels.layout import ActorCriticLayout, MLPLayout

Params = jax.Array
LOG_SQRT_2PI = 0.5 * float(np.log(2.0 * np.pi))


def _mlp(params: Params, inputs: jax.Array, layout: MLPLayout) -> jax.Array:
    activation: Callable[[jax.Array], jax.Array] = {"tanh": jnp.tanh, "relu": jax.nn.relu}[layout.activation]
    start, hidden = 0, inputs
    for number, (n_in, n_out) in enumerate(zip(layout.sizes, layout.sizes[1:], strict=False)):
        bias_at = start + n_in * n_out
        hidden = hidden @ params[start:bias_at].reshape(n_in, n_out) + params[bias_at : bias_at + n_out]
        hidden = activation(hidden) if number < len(layout.sizes) - 2 else hidden
        start = bias_at + n_out
    return hidden


def _split(params: Params, layout: ActorCriticLayout) -> tuple[Params, Params, Params]:
    log_std_at = layout.policy.n_params
    value_at = log_std_at + layout.head.n_log_std
    return params[:log_std_at], params[log_std_at:value_at], params[value_at:]


def _log_prob_and_entropy(
    head_inputs: jax.Array, log_std: jax.Array, actions: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Of one categorical (no ``log_std``) or of a diagonal Gaussian."""
    if log_std.size:
        z = (actions - head_inputs) * jnp.exp(-log_std)
        log_prob = (-0.5 * z**2 - log_std - LOG_SQRT_2PI).sum(-1)
        return log_prob, jnp.broadcast_to((log_std + 0.5 + LOG_SQRT_2PI).sum(), log_prob.shape)
    log_probs = jax.nn.log_softmax(head_inputs)
    chosen = jnp.take_along_axis(log_probs, actions, axis=1)[:, 0]
    return chosen, -(jnp.exp(log_probs) * log_probs).sum(-1)


def _loss(params: Params, batch: dict[str, jax.Array], layout: ActorCriticLayout, arguments: dict[str, Any]) -> Any:
    policy, log_std, value = _split(params, layout)
    head_inputs = _mlp(policy, batch["observations"], layout.policy)
    log_prob, entropy = _log_prob_and_entropy(head_inputs, log_std, batch["actions"])
    advantages = batch["advantages"]
    advantages = (advantages - advantages.mean()) / (advantages.std(ddof=1) + 1e-8)
    log_ratio = log_prob - batch["old_log_probs"]
    ratio = jnp.exp(log_ratio)
    clip_range = arguments["clip_range"]
    clipped = jnp.clip(ratio, 1 - clip_range, 1 + clip_range)
    policy_loss = -jnp.minimum(advantages * ratio, advantages * clipped).mean()
    value_loss = ((batch["returns"] - _mlp(value, batch["observations"], layout.value)[:, 0]) ** 2).mean()
    loss = policy_loss - arguments["ent_coef"] * entropy.mean() + arguments["vf_coef"] * value_loss
    statistics = (policy_loss, value_loss, entropy.mean(), (ratio - 1 - log_ratio).mean())
    return loss, (*statistics, (jnp.abs(ratio - 1) > clip_range).mean())


def ppo_update(problem: UpdateProblem) -> Run:
    """One epoch: gather the minibatches, then scan gradient, norm clip and Adam over them."""
    layout, arguments = problem.policy.layout, problem.arguments
    batch_size, n_minibatches = arguments["batch_size"], len(problem.order) // arguments["batch_size"]
    gradient = jax.grad(lambda params, batch: _loss(params, batch, layout, arguments), has_aux=True)

    def minibatch(carry: Any, batch: dict[str, jax.Array]) -> Any:
        params, first, second, step = carry
        g, statistics = gradient(params, batch)
        norm = jnp.sqrt((g**2).sum())
        g = g * jnp.minimum(1.0, arguments["max_grad_norm"] / (norm + 1e-6))
        step = step + 1
        first = 0.9 * first + 0.1 * g
        second = 0.999 * second + 0.001 * g**2
        corrected = jnp.sqrt(second / (1 - 0.999**step)) + 1e-5
        params = params - arguments["learning_rate"] / (1 - 0.9**step) * first / corrected
        return (params, first, second, step), statistics

    @jax.jit
    def epoch(params: Params, rollout: dict[str, jax.Array], order: jax.Array) -> Any:
        def minibatches(array: jax.Array) -> jax.Array:
            return array[order].reshape(n_minibatches, batch_size, *array.shape[1:])

        zeros = jnp.zeros_like(params)
        carry = (params, zeros, zeros, jnp.float32(0))
        return lax.scan(minibatch, carry, {name: minibatches(array) for name, array in rollout.items()})

    params = jnp.asarray(problem.policy.params)
    rollout = {name: jnp.asarray(array) for name, array in problem.rollout.items() if name != "old_values"}
    order = jnp.asarray(problem.order)

    def run() -> np.ndarray:
        (new_params, *_), _statistics = epoch(params, rollout, order)
        return np.asarray(new_params)

    return run


def act(problem: PolicyProblem, observations: np.ndarray) -> Run:
    """One jitted call from NumPy observations to NumPy actions, log-probabilities and values."""
    layout = problem.layout
    params = jnp.asarray(problem.params)

    @jax.jit
    def step(params: Params, observations: jax.Array, key: jax.Array) -> Any:
        key, draw = jax.random.split(key)
        policy, log_std, value = _split(params, layout)
        head_inputs = _mlp(policy, observations, layout.policy)
        if log_std.size:
            actions = head_inputs + jnp.exp(log_std) * jax.random.normal(draw, head_inputs.shape)
        else:
            actions = jax.random.categorical(draw, head_inputs)[:, None]
        log_prob, _ = _log_prob_and_entropy(head_inputs, log_std, actions)
        return actions, log_prob, _mlp(value, observations, layout.value)[:, 0], key

    keys = [jax.random.key(0)]

    def run() -> tuple[np.ndarray, ...]:
        *results, keys[0] = step(params, observations, keys[0])
        return tuple(np.asarray(result) for result in results)

    return run


def gae(data: dict[str, np.ndarray], gamma: float, gae_lambda: float) -> Run:
    """A reverse ``lax.scan`` over time, vectorised over environments."""

    @jax.jit
    def advantages(rewards: jax.Array, values: jax.Array, next_values: jax.Array, terminated: jax.Array) -> jax.Array:
        going_on = 1.0 - terminated
        td_errors = rewards + gamma * going_on * next_values - values

        def back(carry: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            td_error, weight = row
            carry = td_error + gamma * gae_lambda * weight * carry
            return carry, carry

        return lax.scan(back, jnp.zeros_like(values[0]), (td_errors, going_on), reverse=True)[1]

    arrays = [jnp.asarray(data[name]) for name in ("rewards", "values", "next_values", "terminated")]
    return lambda: np.asarray(advantages(*arrays))
