"""PPO and A2C of stable-baselines3 and TRPO of sb3-contrib, on fastpg's trainer."""

from __future__ import annotations

from typing import Any

from fastpg.sb3 import config as described
from fastpg.sb3.base import DropInModel
from fastpg.updates.first_order import JointGradientStep
from fastpg.updates.local_model import LocalModelUpdate
from fastpg.updates.proximal import ProximalUpdate
from fastpg.updates.report import UpdateReport


class PPO(DropInModel):
    """stable-baselines3's PPO.

    >>> from fastpg.sb3 import PPO
    >>> model = PPO("MlpPolicy", "CartPole-v1").learn(100_000)  # doctest: +SKIP
    """

    config_class = described.DropInPPOConfig
    config: described.DropInPPOConfig
    argument_order = described.PPO_ORDER

    @staticmethod
    def make_update(config: described.DropInPPOConfig) -> ProximalUpdate:
        """The update of PPO."""
        return described.ppo_update(config)


class TRPO(DropInModel):
    """sb3-contrib's TRPO: ``target_kl`` bounds KL(new || old) per action dimension.

    >>> from fastpg.sb3 import TRPO
    >>> model = TRPO("MlpPolicy", "CartPole-v1").learn(100_000)  # doctest: +SKIP
    """

    config_class = described.DropInTRPOConfig
    config: described.DropInTRPOConfig
    argument_order = described.TRPO_ORDER

    @staticmethod
    def make_update(config: described.DropInTRPOConfig) -> LocalModelUpdate:
        """The update of TRPO."""
        return described.trpo_update(config)

    def extra_metrics(self, report: UpdateReport) -> dict[str, float]:
        """``train/kl_divergence_loss``: the divergence of the step as the line search measured it, 0 without one."""
        return {"train/kl_divergence_loss": report.step_distance or 0.0}


class A2C(DropInModel):
    """stable-baselines3's A2C.

    >>> from fastpg.sb3 import A2C
    >>> model = A2C("MlpPolicy", "CartPole-v1").learn(100_000)  # doctest: +SKIP
    """

    config_class = described.DropInA2CConfig
    config: described.DropInA2CConfig
    argument_order = described.A2C_ORDER

    @staticmethod
    def make_update(config: described.DropInA2CConfig) -> JointGradientStep:
        """The update of A2C."""
        return described.a2c_update(config)

    def learn(
        self,
        total_timesteps: int,
        callback: Any = None,
        log_interval: int | None = 100,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> A2C:
        """See ``DropInModel``; a row of the log every 100 iterations."""
        return super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)
