"""What a kernel case is, and the random inputs that the cases of many families share; ``cases`` has the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg import kernels
from fastpg.kernels.layout import Activation, ActorCriticLayout, HeadLayout, MLPLayout

Array = NDArray[Any]
Inputs = dict[str, Any]

#: Empty, one, two, odd, one tile of 64 rows less one, a tile and a ragged tail.
BATCH_SIZES = (0, 1, 2, 7, 63, 130)

#: Lengths of vectors: empty, one, two, odd, one panel of 16, two and one more, the parameters of two 64x64 networks.
VECTOR_SIZES = (0, 1, 2, 7, 16, 33, 9155)

#: Reasons for tolerances.
WHY_NETWORK = "sums of up to 64 products per layer and tanh within 4 epsilon, through three or four layers"
WHY_HEAD = "exp and log within 2 epsilon each, sums of at most ten terms, one cancellation"
WHY_KL = WHY_HEAD + ", of log-probabilities of about one against divergences of 0.02 and more"


@dataclass(frozen=True, kw_only=True)
class KernelCase:
    """One kernel on one kind of input.

    Attributes:
        name: unique.
        family: module of ``fastpg.kernels``.
        function: the entry point, or a wrapper of the same keyword arguments.
        make_inputs: (size, dtype, rng) to the keyword arguments of ``function``.
        outputs: result of ``function`` to a tuple of arrays; the first ``n_out`` are those of ``out``.
        n_out: number of arrays in ``out``; 0 where there is no such argument.
        in_place: for every ``out`` array the input that it may be.
        sizes: for the tests.
        bench_sizes: for the benchmarks.
        units: allowed error in units of machine epsilon times the largest magnitude of each output.
        why: reason for ``units``.
        single: computed in float32 whatever the dtype.
        has_threads: takes ``n_threads``.
        flops: (size) floating-point operations, a multiply-add counting two; 0 where they are not what it costs.
        bytes: (size, itemsize) bytes read and written at least.
    """

    name: str
    family: str
    function: Callable[..., Any]
    make_inputs: Callable[[int, Any, np.random.Generator], Inputs]
    outputs: Callable[[Any], tuple[Array, ...]] = lambda result: (result,)
    n_out: int = 1
    in_place: tuple[str, ...] = ()
    sizes: tuple[int, ...] = BATCH_SIZES
    bench_sizes: tuple[int, ...] = (64, 2048)
    units: float
    why: str
    single: bool = False
    has_threads: bool = False
    flops: Callable[[int], int] = lambda size: 0
    bytes: Callable[[int, int], int] = lambda size, itemsize: 0

    def inputs(self, size: int, dtype: Any, seed: int = 0) -> Inputs:
        """Inputs that depend on (name, size, seed) alone; float32 and float64 get the same numbers up to rounding."""
        rng = np.random.default_rng([seed, size, *self.name.encode()])
        return self.make_inputs(size, np.dtype(dtype), rng)

    def call(self, backend: str, inputs: Inputs, **extra: Any) -> tuple[Array, ...]:
        """Run on ``backend``; ``extra`` may be ``out`` and, where ``has_threads``, ``n_threads``."""
        return self.outputs(self.function(**{**inputs, **extra}, backend=backend))

    def assert_close(self, actual: tuple[Array, ...], expected: tuple[Array, ...], dtype: Any) -> None:
        """Equal within the tolerance; integers exactly; NaN and infinity in the same places."""
        assert len(actual) == len(expected)
        epsilon = np.finfo(np.float32 if self.single else dtype).eps
        for ours, theirs in zip(actual, expected, strict=True):
            assert ours.shape == theirs.shape
            if theirs.dtype.kind != "f":
                np.testing.assert_array_equal(ours, theirs)
                continue
            finite = theirs[np.isfinite(theirs)]
            scale = np.abs(finite).max() if finite.size else 0.0
            np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=self.units * epsilon * scale)


def actor_critic(
    head: HeadLayout, *, observation_size: int = 4, hidden: tuple[int, ...] = (64, 64), activation: Activation = "tanh"
) -> ActorCriticLayout:
    """Two networks of the same hidden sizes under ``head``."""
    return ActorCriticLayout(
        MLPLayout((observation_size, *hidden, head.n_inputs), activation),
        MLPLayout((observation_size, *hidden, 1), activation),
        head,
    )


CATEGORICAL = HeadLayout("categorical", (2,))
MULTI_CATEGORICAL = HeadLayout("categorical", (3, 2, 5))
BERNOULLI = HeadLayout("bernoulli", (1, 1, 1))
GAUSSIAN = HeadLayout("gaussian", (1, 1))
HEADS = {
    "categorical": CATEGORICAL,
    "multi_categorical": MULTI_CATEGORICAL,
    "bernoulli": BERNOULLI,
    "gaussian": GAUSSIAN,
}

#: name -> layout of the losses and updates; the first two are those of the peers' benchmarks.
LAYOUTS = {
    "cartpole": actor_critic(CATEGORICAL),
    "halfcheetah": actor_critic(HeadLayout("gaussian", (1,) * 6), observation_size=17),
    "multi_categorical_relu": actor_critic(MULTI_CATEGORICAL, hidden=(7, 5), activation="relu"),
    "bernoulli_linear": actor_critic(BERNOULLI, hidden=()),
    "gaussian_wide": actor_critic(GAUSSIAN, observation_size=3, hidden=(33, 18, 40), activation="relu"),
}


def random_params(layout: MLPLayout, dtype: Any, rng: np.random.Generator) -> Array:
    """Weights of scale 1/sqrt(inputs), so that activations neither vanish nor saturate; biases of scale 0.1."""
    params = np.empty(layout.n_params)
    for weight, bias in layout.views(params):
        weight[:] = rng.standard_normal(weight.shape) / np.sqrt(len(weight))
        bias[:] = 0.1 * rng.standard_normal(bias.shape)
    return params.astype(dtype)


def random_actor_critic_params(layout: ActorCriticLayout, dtype: Any, rng: np.random.Generator) -> Array:
    """As ``random_params``, with log standard deviations about -0.5."""
    log_std = -0.5 + 0.2 * rng.standard_normal(layout.head.n_log_std)
    networks = (
        random_params(layout.policy, dtype, rng),
        log_std.astype(dtype),
        random_params(layout.value, dtype, rng),
    )
    return np.concatenate(networks)


def random_actions(head: HeadLayout, size: int, dtype: Any, rng: np.random.Generator) -> Array:
    """Any actions that the head allows."""
    if head.kind == "gaussian":
        return rng.standard_normal((size, head.n_actions)).astype(dtype)
    n_choices = np.array([2] * head.n_actions if head.kind == "bernoulli" else head.sizes)
    return (rng.random((size, head.n_actions)) * n_choices).astype(np.int32)


def random_head(head: HeadLayout, size: int, dtype: Any, rng: np.random.Generator) -> tuple[Array, Array]:
    """(head inputs, log_std)."""
    inputs = (1.5 * rng.standard_normal((size, head.n_inputs))).astype(dtype)
    return inputs, (0.3 * rng.standard_normal(head.n_log_std)).astype(dtype)


def random_samples(layout: ActorCriticLayout, params: Array, size: int, rng: np.random.Generator) -> Inputs:
    """The arrays of a minibatch; ratios spread over (0.5, 2), so that clipping is active on both sides."""
    dtype = params.dtype
    observations = rng.standard_normal((size, layout.observation_size)).astype(dtype)
    actions = random_actions(layout.head, size, dtype, rng)
    policy, log_std, value = layout.split(params)
    head_inputs = kernels.mlp_forward(policy, observations, layout=layout.policy, backend="reference")
    log_probs = kernels.log_prob(head_inputs, log_std, actions, head=layout.head, backend="reference")
    values = kernels.mlp_forward(value, observations, layout=layout.value, backend="reference")[:, 0]
    return {
        "observations": observations,
        "actions": actions,
        "old_log_probs": (log_probs + rng.uniform(-0.6, 0.6, size)).astype(dtype),
        "advantages": (0.3 + 2.0 * rng.standard_normal(size)).astype(dtype),
        "returns": (values + rng.standard_normal(size)).astype(dtype),
        "old_values": (values + 0.3 * rng.standard_normal(size)).astype(dtype),
    }


def mlp_flops(layout: MLPLayout, *, backward: bool) -> Callable[[int], int]:
    """Two per weight and sample forward; backward as much again for dW, and for dX of all layers but the first."""
    weights = [n_in * n_out for n_in, n_out in zip(layout.sizes, layout.sizes[1:], strict=False)]
    per_sample = 2 * sum(weights) + (2 * sum(weights) + 2 * sum(weights[1:]) if backward else 0)
    return lambda size: size * per_sample


def loss_flops(layout: ActorCriticLayout) -> Callable[[int], int]:
    """Both networks, forward and backward."""
    policy, value = mlp_flops(layout.policy, backward=True), mlp_flops(layout.value, backward=True)
    return lambda size: policy(size) + value(size)
