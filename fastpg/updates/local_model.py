"""One step from a local model: gradient, direction, length, acceptance; then the critic.

    g = grad L(theta_old)                      surrogate
    x with F x = g                             direction     (in the metric of the proximity)
    s = sqrt(2 delta / x'Fx) x                 radius
    theta_new = theta_old + alpha^j s          acceptance    (the first j that is acceptable)

Natural policy gradient (Kakade 2001) and TRPO (Schulman et al. 2015, "Trust Region Policy Optimization", equation 14
and Appendix C) are compositions of these parts. Where no step is possible (zero gradient, no positive curvature,
nothing acceptable) the parameters stay bit for bit, the status says why, a counter grows, and training goes on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from fastpg.errors import NumericsError
from fastpg.kernels.linear_solve import dot
from fastpg.kernels.philox import STREAM_SHUFFLE, permutation
from fastpg.types import Array
from fastpg.updates.acceptance import Acceptance, Search, Trial
from fastpg.updates.critic import Critic, CriticReport, NoCritic, with_head
from fastpg.updates.directions import Context, Direction, Ray
from fastpg.updates.problem import PolicyData, PolicyProblem, Value
from fastpg.updates.proximity import Proximity
from fastpg.updates.radius import TRUST_RADIUS
from fastpg.updates.report import UpdateReport, UpdateStatus, finite
from fastpg.updates.return_review import STEPS_TAKEN_BACK, ReturnReview
from fastpg.updates.signal import signal_share
from fastpg.updates.state import OptimizerState
from fastpg.updates.step_length import StepLength

ADVICE = "Fix: lower target_kl (or the step size), raise cg_damping, or scale the rewards (normalize=True)."
#: Place of the sub-sampling among the shuffles of an update, after the last epoch of a critic.
_SUBSAMPLING = 2**16 - 1
_COUNTERS = {
    UpdateStatus.ZERO_GRADIENT: "n_zero_gradients",
    UpdateStatus.NO_ACCEPTABLE_STEP: "n_line_search_failures",
}
_BREAKDOWNS = "n_cg_breakdowns"
_STAGNATIONS = "n_cg_stagnations"


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """L(theta) = mean(ratio A) + ent_coef * mean entropy. Schulman et al. 2015, equation (14).

    Attributes:
        normalize_advantage: standardise A over the batch (ddof 1, + 1e-8).
        ent_coef: weight of the entropy.
        sub_sampling_factor: use one sample in so many, drawn anew for each update; 1 uses all.
    """

    normalize_advantage: bool = True
    ent_coef: float = 0.0
    sub_sampling_factor: int = 1

    def problem(self, data: PolicyData, params: Array, *, seed: int, update_index: int) -> PolicyProblem:
        """The problem of the policy at ``params`` (P,), all parameters."""
        samples = None
        if self.sub_sampling_factor > 1:
            order = np.empty(len(data.batch), np.int64)
            permutation(seed, STREAM_SHUFFLE, (update_index << 16) | _SUBSAMPLING, out=order, backend=data.backend)
            samples = np.sort(order[:: self.sub_sampling_factor])
        return data.policy_problem(
            params, normalize_advantage=self.normalize_advantage, ent_coef=self.ent_coef, samples=samples
        )


@dataclass(frozen=True, kw_only=True)
class Move:
    """What became of the policy in one update.

    Attributes:
        status: how it ended.
        before: the surrogate at theta_old.
        gradient_norm: Euclidean norm of g.
        params: (P,) the new parameters of the policy; None if they stay.
        ray: the direction, None for a zero gradient.
        length: t of the step t x before the search.
        search: None where no candidate was tried.
        radius: bound on the proximity.
        signal: share of g that is not noise, None where it was not measured.
        scalars: numbers to remember.
    """

    status: UpdateStatus
    before: Value
    gradient_norm: float
    params: Array | None = None
    ray: Ray | None = None
    length: float = 0.0
    search: Search | None = None
    radius: float | None = None
    signal: float | None = None
    scalars: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_accepted(self) -> bool:
        """Whether a step was taken."""
        return self.params is not None

    @property
    def is_at_boundary(self) -> bool:
        """Whether the radius is what limited the step: the accepted candidate has the length that the radius gave."""
        if self.ray is None or self.search is None or not self.is_accepted:
            return False
        return self.search.fraction == 1.0 and not self.ray.is_interior

    @property
    def predicted(self) -> float | None:
        """Improvement that the model promised for the accepted candidate, or for the first one."""
        if self.ray is None or self.search is None:
            return None
        return self.ray.predicted(self.search.fraction * self.length)

    @property
    def actual(self) -> float | None:
        """Improvement of the surrogate there."""
        return None if self.search is None else self.search.evaluation.surrogate - self.before.surrogate


@dataclass(frozen=True, kw_only=True)
class LocalModelUpdate:
    """Maximise a local model of ``surrogate`` within ``proximity``, then let the ``critic`` follow.

    Attributes:
        surrogate: L and its samples.
        proximity: how the distance of a candidate is measured.
        direction: where to go.
        radius: how far.
        acceptance: which of the candidates on the way is taken.
        critic: the update of the value network.
        review: judges the last step by the return of the new samples, None for no such judgement.
        is_signal_measured: radius or damping, which follow it, are told how much of the gradient is signal, not noise.
    """

    surrogate: Ratio
    proximity: Proximity
    direction: Direction
    radius: StepLength
    acceptance: Acceptance
    critic: Critic = field(default_factory=NoCritic)
    review: ReturnReview | None = None
    is_signal_measured: bool = False

    def __call__(
        self, old: OptimizerState, problem: PolicyData, *, progress_remaining: float, seed: int, update_index: int
    ) -> tuple[OptimizerState, UpdateReport]:
        """One update from ``old`` on the samples of ``problem``; ``old`` stays as it is.

        Raises:
            NumericsError: the gradient, a new parameter or the value loss is not finite.
            ConfigError: a schedule returned something else than a number >= 0.
        """
        if self.review is not None:
            old, is_taken_back = self.review.look_back(old, problem.batch)
            if is_taken_back:
                return old, _report_of_return(old)
        policy = self.surrogate.problem(problem, old.params, seed=seed, update_index=update_index)
        move = self.move(policy, old, seed=seed, update_index=update_index)
        new = old.remember(move.scalars, {} if move.ray is None else move.ray.memory)
        new = new.remember(*self._prospect(move, policy, problem))
        del policy  # and the activations that it keeps
        if move.params is not None:
            new = replace(new, params=with_head(old.params, move.params))
        new.check_finite(ADVICE)
        new, fitted = self.critic(
            new, problem, progress_remaining=progress_remaining, seed=seed, update_index=update_index
        )
        return new, self._report(move, fitted, new)

    def _prospect(
        self, move: Move, policy: PolicyProblem, data: PolicyData
    ) -> tuple[Mapping[str, float], Mapping[str, Array]]:
        """What the review has to remember of ``move``."""
        if self.review is None or move.search is None or move.predicted is None or not move.is_accepted:
            return {}, {}
        return self.review.look_ahead(
            policy.params,
            data.batch,
            predicted=move.predicted,
            is_at_boundary=move.is_at_boundary,
            is_standardised=self.surrogate.normalize_advantage,
        )

    def move(self, problem: PolicyProblem, old: OptimizerState, *, seed: int = 0, update_index: int = 0) -> Move:
        """The step of the policy alone, on any problem."""
        gradient, before = problem.surrogate_gradient()
        norm = math.sqrt(dot(gradient, gradient))
        if not math.isfinite(norm):
            raise NumericsError(
                f"gradient: expected finite numbers, got a norm of {norm}. Nothing was committed; the model is as "
                f"after its last finished iteration. {ADVICE}"
            )
        start = Move(status=UpdateStatus.ZERO_GRADIENT, before=before, gradient_norm=norm)
        if norm == 0.0:
            return _counted(start, old)
        context = Context(
            metric_scale=self.proximity.metric_scale(problem),
            radius=self.radius.radius(old.scalars),
            scalars=old.scalars,
            memory=old.memory,
            seed=seed,
            update_index=update_index,
        )
        solved = self.direction(problem, gradient, context)
        ray = self._best_iterate(problem, solved, context.radius)
        move = replace(start, ray=ray, radius=context.radius, length=self.radius.length(ray, context.radius))
        if not (move.length > 0.0 and ray.slope > 0.0 and np.isfinite(ray.vector).all()):
            is_search = ray.is_step and not ray.has_broken_down  # the direction looked, and found nothing better
            status = UpdateStatus.NO_ACCEPTABLE_STEP if is_search else UpdateStatus.CG_BREAKDOWN
            return _counted(self._adapted(replace(move, status=status)), old)
        search = self.acceptance(problem, self._trial(move, ray))
        status = UpdateStatus.NO_ACCEPTABLE_STEP if search.params is None else UpdateStatus.IMPROVED
        move = replace(move, status=status, search=search, params=search.params)
        if self.is_signal_measured and move.is_accepted:
            move = replace(move, signal=signal_share(problem, self.direction, gradient, solved, context))
        return _counted(self._adapted(move), old)

    def _trial(self, move: Move, ray: Ray) -> Trial:
        return Trial(
            ray=ray,
            length=move.length,
            radius=move.radius,
            proximity=self.proximity,
            before=move.before,
        )

    def _best_iterate(self, problem: PolicyProblem, ray: Ray, radius: float | None) -> Ray:
        """Going back through the iterates of the solver, the last one before the surrogate gets worse.

        Martens 2010, "Deep learning via Hessian-free optimization", section 4.6: later iterates are better for the
        model, earlier ones often for the function.
        """
        if not ray.alternatives:
            return ray
        best, best_surrogate = ray, -math.inf
        for iterate in chain([ray], (make() for make in reversed(ray.alternatives))):
            length = self.radius.length(iterate, radius)
            if not length > 0.0:
                continue
            candidate = problem.params + problem.params.dtype.type(length) * iterate.vector
            surrogate = problem.evaluate(candidate).surrogate
            if not surrogate >= best_surrogate:
                break
            best, best_surrogate = iterate, surrogate
        return replace(
            ray,
            alternatives=(),
            vector=best.vector,
            slope=best.slope,
            curvature=best.curvature,
            fisher_curvature=best.fisher_curvature,
            model_curvature=best.model_curvature,
        )

    def _adapted(self, move: Move) -> Move:
        """``move`` with what direction and radius learn from it.

        A bad model is one that led to no step, or that predicted no gain for the step that was taken.
        """
        if move.ray is None:
            return move
        predicted, actual = 1.0, math.nan
        if move.is_accepted and move.predicted is not None and move.actual is not None and move.predicted > 0.0:
            predicted, actual = move.predicted, move.actual
        seen = {"actual": actual, "predicted": predicted, "signal": 1.0 if move.signal is None else move.signal}
        learnt = {
            **self.direction.adapted(move.ray, **seen),
            **self.radius.adapted(move.radius, is_at_boundary=move.is_at_boundary, **seen),
        }
        return replace(move, scalars={**move.scalars, **learnt})

    def _report(self, move: Move, fitted: CriticReport, new: OptimizerState) -> UpdateReport:
        """The numbers of the update; those of a step are 0 where none was taken."""
        evaluation = move.search.evaluation if move.search is not None and move.is_accepted else None
        predicted, actual = finite(move.predicted), finite(move.actual)
        is_defined = predicted is not None and actual is not None and predicted > 0.0
        report = UpdateReport(
            status=move.status,
            n_epochs=1,
            n_optimizer_steps=fitted.n_optimizer_steps,
            learning_rate=fitted.learning_rate,
            value_loss=fitted.value_loss,
            critic_damping=fitted.critic_damping,
            entropy_loss=-(move.before.entropy if evaluation is None else evaluation.entropy),
            gradient_norm=move.gradient_norm,
            approx_kl=0.0 if evaluation is None else evaluation.approx_kl,
            policy_objective=(move.before if evaluation is None else evaluation).surrogate,
            is_line_search_success=float(move.is_accepted),
            surrogate_before=move.before.surrogate,
            predicted_improvement=predicted,
            actual_improvement=actual,
            improvement_ratio=actual / predicted if is_defined else None,  # type: ignore[operator]  # not None
            kl_old_new=0.0 if evaluation is None else max(evaluation.kl_old_new, 0.0),
            kl_old_new_max=0.0 if evaluation is None else max(evaluation.kl_old_new_max, 0.0),
            kl_before_search=None if move.search is None else finite(move.search.distance_first),
            trust_radius=move.radius,
            gradient_signal=finite(move.signal),
            damping=None if move.ray is None else move.ray.damping,
            cg_iterations=None if move.ray is None else move.ray.iterations,
            cg_residual=None if move.ray is None else finite(move.ray.residual),
            n_backtracks=0 if move.search is None else move.search.n_backtracks,
            step_norm=_step_norm(move),
            step_distance=0.0 if evaluation is None or move.search is None else move.search.distance,
            n_zero_gradients=int(new.scalars.get("n_zero_gradients", 0)),
            n_cg_breakdowns=int(new.scalars.get(_BREAKDOWNS, 0)),
            n_cg_stagnations=int(new.scalars.get(_STAGNATIONS, 0)),
            n_line_search_failures=int(new.scalars.get("n_line_search_failures", 0)),
            n_steps_taken_back=None if self.review is None else int(new.scalars.get(STEPS_TAKEN_BACK, 0)),
        )
        return report if move.ray is None else replace(report, **move.ray.numbers)


def _report_of_return(new: OptimizerState) -> UpdateReport:
    """When the last step was taken back: nothing else was done."""
    return UpdateReport(
        status=UpdateStatus.TAKEN_BACK,
        n_epochs=0,
        n_optimizer_steps=0,
        is_line_search_success=0.0,
        step_norm=0.0,
        trust_radius=new.scalars.get(TRUST_RADIUS),
        n_steps_taken_back=int(new.scalars[STEPS_TAKEN_BACK]),
    )


def _counted(move: Move, old: OptimizerState) -> Move:
    """``move`` with the counters of what went wrong in ``scalars``."""
    names = {_COUNTERS[move.status]} if move.status in _COUNTERS else set()
    if move.status is UpdateStatus.CG_BREAKDOWN or (move.ray is not None and move.ray.has_broken_down):
        names.add(_BREAKDOWNS)
    if move.ray is not None and move.ray.has_stagnated:
        names.add(_STAGNATIONS)
    counters = {name: old.scalars.get(name, 0.0) + 1.0 for name in names}
    return replace(move, scalars={**move.scalars, **counters})


def _step_norm(move: Move) -> float:
    """Euclidean norm of the step that was taken."""
    if move.ray is None or move.search is None or not move.is_accepted:
        return 0.0
    return move.search.fraction * move.length * math.sqrt(dot(move.ray.vector, move.ray.vector))
