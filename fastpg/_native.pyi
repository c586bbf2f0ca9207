"""Types of the compiled extension; ``fastpg.kernels`` documents the functions."""

from typing import Any

from numpy.typing import NDArray

from fastpg.kernels.layout import MLPLayout

Array = NDArray[Any]

def build_info() -> dict[str, Any]: ...
def select_isa(name: str) -> None: ...
def measure_fma_peak(seconds: float) -> float: ...
def uniform(seed: int, stream: int, step: int, *, out: Array) -> None: ...
def normal(seed: int, stream: int, step: int, *, out: Array) -> None: ...
def permutation(seed: int, stream: int, step: int, *, out: Array) -> None: ...
def gae(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    truncated: Array,
    *,
    gamma: float,
    gae_lambda: float,
    out: Array,
    n_threads: int,
) -> None: ...
def adam_step(
    params: Array,
    gradient: Array,
    first_moment: Array,
    second_moment: Array,
    *,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    out: tuple[Array, Array, Array],
) -> None: ...
def clip_global_norm(gradient: Array, *, max_norm: float, out: Array, stats: Array) -> None: ...
def update_moments(mean: Array, variance: Array, count: float, batch: Array, *, out: tuple[Array, Array]) -> None: ...
def normalize(inputs: Array, mean: Array, variance: Array, *, epsilon: float, clip: float, out: Array) -> None: ...
def mlp_forward(params: Array, inputs: Array, *, layout: MLPLayout, out: Array, n_threads: int) -> None: ...
def mlp_backward(
    params: Array, inputs: Array, output_gradient: Array, *, layout: MLPLayout, out: Array, n_threads: int
) -> None: ...
