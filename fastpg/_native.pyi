"""Types of the compiled extension; ``fastpg.kernels`` documents the functions."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout, PolicyLayout

Array = NDArray[Any]

def build_info() -> dict[str, Any]: ...
def select_isa(name: str) -> None: ...
def set_cpu_limit(n: int) -> None: ...
def n_usable_cpus() -> int: ...
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
def rmsprop_step(
    params: Array,
    gradient: Array,
    square_average: Array,
    *,
    learning_rate: float,
    alpha: float,
    epsilon: float,
    out: tuple[Array, Array],
) -> None: ...
def clip_global_norm(gradient: Array, *, max_norm: float, out: Array, stats: Array) -> None: ...
def update_moments(mean: Array, variance: Array, count: float, batch: Array, out: tuple[Array, Array]) -> None: ...
def normalize(inputs: Array, mean: Array, variance: Array, epsilon: float, clip: float, out: Array) -> None: ...
def mlp_forward(params: Array, inputs: Array, *, layout: MLPLayout, out: Array, n_threads: int) -> None: ...
def mlp_backward(
    params: Array, inputs: Array, output_gradient: Array, *, layout: MLPLayout, out: Array, n_threads: int
) -> None: ...
def log_prob(head_inputs: Array, log_std: Array, actions: Array, *, head: HeadLayout, out: Array) -> None: ...
def entropy(head_inputs: Array, log_std: Array, *, head: HeadLayout, out: Array) -> None: ...
def kl_old_new(
    old_head_inputs: Array,
    old_log_std: Array,
    new_head_inputs: Array,
    new_log_std: Array,
    *,
    head: HeadLayout,
    out: Array,
) -> None: ...
def sample(
    head_inputs: Array, log_std: Array, *, head: HeadLayout, seed: int, stream: int, step: int, out: Array
) -> None: ...
def mode(head_inputs: Array, log_std: Array, *, head: HeadLayout, out: Array) -> None: ...
def clipped_loss_gradient(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    returns: Array,
    old_values: Array,
    *,
    layout: ActorCriticLayout,
    clip_range: float,
    clip_range_vf: float | None,
    vf_coef: float,
    ent_coef: float,
    normalize_advantage: bool,
    surrogate: str,
    constraint_coef: float,
    dual_clip: float | None,
    tsallis_q: float | None,
    kl_coef: float,
    kl_direction: str,
    old_head_inputs: Array | None,
    old_log_std: Array | None,
    out: Array,
    stats: Array,
    n_threads: int,
) -> None: ...
def kl_gradient(
    params: Array,
    observations: Array,
    old_head_inputs: Array,
    old_log_std: Array,
    weights: Array,
    *,
    layout: PolicyLayout,
    direction: str,
    out: Array,
    n_threads: int,
) -> None: ...
def ppo_update(
    params: Array,
    first_moment: Array,
    second_moment: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    returns: Array,
    old_values: Array,
    *,
    layout: ActorCriticLayout,
    n_epochs: int,
    batch_size: int,
    clip_range: float,
    clip_range_vf: float | None,
    vf_coef: float,
    ent_coef: float,
    max_grad_norm: float,
    normalize_advantage: bool,
    surrogate: str,
    constraint_coef: float,
    dual_clip: float | None,
    tsallis_q: float | None,
    kl_coef: float,
    kl_direction: str,
    old_params: Array | None,
    target_kl: float | None,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    adam_step: int,
    seed: int,
    update_index: int,
    first_epoch: int,
    out: tuple[Array, Array, Array],
    stats: Array,
    n_threads: int,
) -> None: ...
def surrogate_gradient(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    *,
    layout: PolicyLayout,
    ent_coef: float,
    out: Array,
    stats: Array,
    n_threads: int,
) -> None: ...
def surrogate_evaluate(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    old_head_inputs: Array,
    old_log_std: Array,
    *,
    layout: PolicyLayout,
    ent_coef: float,
    stats: Array,
    n_threads: int,
) -> None: ...
def surrogate_hessian_vector_product(
    params: Array,
    observations: Array,
    actions: Array,
    old_log_probs: Array,
    advantages: Array,
    vector: Array,
    *,
    layout: PolicyLayout,
    ent_coef: float,
    out: Array,
    n_threads: int,
) -> None: ...
def value_update(
    params: Array,
    first_moment: Array,
    second_moment: Array,
    observations: Array,
    returns: Array,
    old_values: Array,
    *,
    layout: MLPLayout,
    n_epochs: int,
    batch_size: int,
    clip_range_vf: float | None,
    max_grad_norm: float,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    adam_step: int,
    seed: int,
    update_index: int,
    out: tuple[Array, Array, Array],
    stats: Array,
    n_threads: int,
) -> None: ...

class PlainSteps:
    def __init__(self, observations: Array) -> None: ...
    @property
    def index(self) -> int: ...
    def run(
        self, envs: Sequence[Any], actions: Sequence[Any], first: int, rewards: Array, has_infos: bool, /
    ) -> tuple[int, Any] | None: ...

class StepRows:
    def __init__(self, observations: Array, rewards: Array, raw_rewards: Array, episode_returns: Array) -> None: ...
    def store(self, t: int, observations: Any, rewards: Any, terminated: Any, truncated: Any, /) -> bool: ...

class Actor:
    def set_parameters(self, params: Array) -> None: ...
    def act(self, t: int, step: int) -> None: ...
    def act_deterministic(self, t: int) -> None: ...
    def choose(self, observation: Any, step: int, deterministic: bool) -> bool: ...

def bind_actor(
    observations: Array,
    actions: Array,
    log_probs: Array,
    values: Array,
    *,
    layout: ActorCriticLayout,
    seed: int,
    stream: int,
    n_threads: int,
) -> Actor: ...

class Fisher:
    def product(self, vector: Array, *, damping: float, damping_scale: Array | None, out: Array) -> None: ...
    def diagonal(self, *, out: Array) -> None: ...
    def solve(
        self,
        gradient: Array,
        *,
        damping: float,
        damping_scale: Array | None,
        max_iterations: int,
        relative_tolerance: float,
        absolute_tolerance: float,
        start: Array | None,
        schedule: Array,
        out: tuple[Array, Array],
        stats: Array,
    ) -> None: ...

def bind_fisher(
    params: Array, observations: Array, *, layout: PolicyLayout, actions: Array | None, n_threads: int
) -> Fisher: ...
def fisher_factors(
    params: Array, observations: Array, *, layout: PolicyLayout, actions: Array | None, out: Array
) -> None: ...
def cholesky_solve(matrix: Array, rhs: Array, *, damping: float, out: Array, stats: Array) -> None: ...
