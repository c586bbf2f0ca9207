"""Models that may act with the best policy of their training instead of the last one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpg.training.model import OnPolicyModel
from fastpg.updates.report import UpdateReport
from fastpg.updates.state import OptimizerState

BEST_RETURN = "best_return"
BEST_PARAMS = "best_params"


class BestPolicyModel(OnPolicyModel):
    """With ``config.return_best``: acts, outside of ``learn``, with the policy whose rollout had the best mean return.

    The rollout of iteration k was made with the parameters before update k; episodes that ended in it count (they may
    have begun one rollout earlier), in the environment's own rewards. Training goes on from the last parameters, which
    ``get_parameters`` returns; the best ones are part of the checkpoint.
    """

    def commit(self, optimizer: OptimizerState, report: UpdateReport) -> None:
        """Finish an iteration, and remember the policy that made its rollout if it is the best so far."""
        if getattr(self.config, "return_best", False):
            achieved = self._mean_return_of_rollout()
            if achieved is not None and achieved > self._state.optimizer.scalars.get(BEST_RETURN, -np.inf):
                optimizer = optimizer.remember(
                    {BEST_RETURN: achieved}, {BEST_PARAMS: self._state.optimizer.params.copy()}
                )
        super().commit(optimizer, report)

    def _mean_return_of_rollout(self) -> float | None:
        """Of the episodes that ended in the last rollout, None if there were none."""
        episodes, before = self.collector.episodes, self._state.collector or {}
        n_new = episodes.n_episodes - int(before.get("episodes", {}).get("n_episodes", 0))
        returns = list(episodes.returns)[-n_new:] if n_new > 0 else []
        return float(np.mean(returns)) if returns else None

    def _acting_params(self) -> NDArray[Any]:
        """The best parameters outside of ``learn``, if there are any."""
        best = self._state.optimizer.memory.get(BEST_PARAMS)
        return super()._acting_params() if best is None or self._is_learning else best
