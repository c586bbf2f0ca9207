"""What an update asks of the samples and the policy: protocols, so that step rules can be tested on a quadratic."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from fastpg.kernels.layout import ActorCriticLayout, PolicyLayout
from fastpg.types import Array, Batch
from fastpg.updates.report import UpdateReport
from fastpg.updates.state import OptimizerState

FisherKind = Literal["exact", "empirical"]
DenseSolver = Literal["cholesky", "woodbury"]


class SampledData(Protocol):
    """B samples, the networks, and how kernels run."""

    @property
    def batch(self) -> Batch:
        """The samples, drawn with the old policy."""

    @property
    def layout(self) -> ActorCriticLayout:
        """How theta describes the networks."""

    @property
    def n_threads(self) -> int:
        """Threads of the kernels; no result depends on it."""

    @property
    def backend(self) -> str | None:
        """Implementation of the kernels, None for the default."""


class Value(Protocol):
    """The surrogate at some theta."""

    @property
    def surrogate(self) -> float:
        """L(theta), to be maximised."""

    @property
    def entropy(self) -> float:
        """Mean entropy of the policy, nats."""


class Evaluation(Value, Protocol):
    """What one forward pass at a candidate tells, beside the surrogate; nats, NaN and infinity where they occur."""

    @property
    def kl_old_new(self) -> float:
        """Mean over samples of KL(old || new), summed over action dimensions."""

    @property
    def kl_old_new_max(self) -> float:
        """Its largest value over the samples."""

    @property
    def kl_new_old(self) -> float:
        """Mean over samples of KL(new || old), summed over action dimensions."""

    @property
    def kl_new_old_max(self) -> float:
        """Its largest value over the samples."""

    @property
    def approx_kl(self) -> float:
        """mean((r - 1) - log r) over the actions that were taken."""

    @property
    def ratio_max(self) -> float:
        """The largest ratio."""


class Curvature(Protocol):
    """The Fisher matrix F at theta_old, never formed. Vectors are (P,) of the dtype of the parameters."""

    def product(self, vector: Array, *, damping: float = 0.0, damping_scale: Array | None = None) -> Array:
        """(F + damping diag(scale)) ``vector``; the scale is the identity where it is None."""

    def diagonal(self) -> Array:
        """The diagonal of F, >= 0."""

    def solve(
        self,
        gradient: Array,
        *,
        damping: float = 0.0,
        damping_scale: Array | None = None,
        max_iterations: int,
        relative_tolerance: float,
        absolute_tolerance: float,
        start: Array | None = None,
        spacing: float | None = None,
    ) -> Any:
        """Conjugate gradient for (F + damping diag(scale)) x = ``gradient``: a ``CGSolution``."""


class PolicyProblem(Protocol):
    """The policy's part of an update: everything is at theta_old unless parameters are given.

    Gradients and matrices cost what they cost; ``evaluate`` is one forward pass. What can be cached is.
    """

    @property
    def params(self) -> Array:
        """theta_old (P,), of the policy alone."""

    @property
    def n_samples(self) -> int:
        """B."""

    @property
    def kl_terms(self) -> int:
        """Independent divergences that add up to that of a sample: D for Gaussian and Bernoulli actions, else 1."""

    @property
    def layout(self) -> PolicyLayout:
        """Network and head."""

    @property
    def backend(self) -> str | None:
        """Implementation of the kernels, None for the default."""

    def surrogate_gradient(self, params: Array | None = None) -> tuple[Array, Value]:
        """The gradient of L (the direction of ascent) and L, at ``params``."""

    def evaluate(self, params: Array) -> Evaluation:
        """L and the divergences at ``params``, without a gradient."""

    def fisher(self, kind: FisherKind = "exact") -> Curvature:
        """F: the Hessian of the mean KL divergence, or the mean outer product of the scores of the actions taken."""

    def solve_dense(
        self,
        gradient: Array,
        *,
        solver: DenseSolver,
        kind: FisherKind = "exact",
        damping: float = 0.0,
        damping_scale: Array | None = None,
    ) -> Any:
        """(F + damping diag(scale))^-1 ``gradient`` by factorisation in float64, for small problems.

        Returns a solution with the same attributes as a ``CGSolution``.
        """

    def hessian_vector_product(self, vector: Array) -> Array:
        """The Hessian of the surrogate times ``vector`` (P,)."""

    def kl_old_new(self, params: Array) -> Array:
        """KL(old || new) of every sample (B,) with the new policy at ``params``, summed over action dimensions."""

    def kl_gradient(self, params: Array, weights: Array | None = None) -> tuple[Array, float]:
        """The gradient of the sum of ``weights`` (B,) times KL(old || new), and that sum; None: the mean."""

    def part(self, index: int, n_parts: int) -> PolicyProblem:
        """The problem with every ``n_parts``-th sample from number ``index`` on; all where they are too few."""

    def select(self, rows: Array) -> PolicyProblem:
        """The problem with the samples ``rows`` (n,) int64; samples are in the order of time."""

    def in_double(self) -> PolicyProblem:
        """The same problem in float64."""

    @property
    def max_abs_advantage(self) -> float:
        """The largest absolute advantage, as the surrogate weighs them; 0 without samples."""


class PolicyData(SampledData, Protocol):
    """Samples that a policy problem can be made of."""

    def policy_problem(
        self, params: Array, *, normalize_advantage: bool, ent_coef: float = 0.0, samples: Array | None = None
    ) -> PolicyProblem:
        """The problem of the policy at ``params`` = theta_old.

        Args:
            params: (P,) all parameters, those of the policy first.
            normalize_advantage: standardise the advantages over the batch.
            ent_coef: weight of the mean entropy in the surrogate.
            samples: (n,) int64, the samples to use; None for all.
        """


class Update(Protocol):
    """How theta_old becomes theta_new: what an algorithm composes and the training loop calls once per iteration."""

    def __call__(
        self, old: OptimizerState, problem: Any, *, progress_remaining: float, seed: int, update_index: int
    ) -> tuple[OptimizerState, UpdateReport]:
        """The state after one update from ``old`` on the samples of ``problem``, and its report."""
