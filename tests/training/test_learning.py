"""Does it learn? Probes in seconds, each for one piece of the learner; whole environments by hand."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import fastpg
from tests.envs import (
    ActionRewardProbe,
    ConstantRewardProbe,
    ContinuousTargetProbe,
    DelayedRewardProbe,
    EndlessRewardProbe,
    MatchingProbe,
    ObservationRewardProbe,
)

GAMMA = 0.9
SETTINGS: dict[str, Any] = {
    "n_steps": 64,
    "batch_size": 64,
    "n_epochs": 10,
    "gamma": GAMMA,
    "learning_rate": 5e-3,
    "policy_kwargs": {"net_arch": [16]},
    "seed": 0,
}
N_STEPS = 8_000


def learned(probe: type[gym.Env], **changes: Any) -> fastpg.PPO:
    return fastpg.PPO("MlpPolicy", [probe, probe], **{**SETTINGS, **changes}).learn(N_STEPS)


def values(model: fastpg.PPO, *observations: float) -> np.ndarray:
    return model.policy.values(np.array(observations, np.float32).reshape(-1, 1))


def test_value_of_a_constant_reward() -> None:
    assert values(learned(ConstantRewardProbe), 0.0) == pytest.approx(1.0, abs=0.05)


def test_value_depends_on_the_observation() -> None:
    assert values(learned(ObservationRewardProbe), -1.0, 1.0) == pytest.approx([-1.0, 1.0], abs=0.05)


def test_value_of_a_delayed_reward_is_discounted() -> None:
    assert values(learned(DelayedRewardProbe), 0.0, 1.0) == pytest.approx([GAMMA, 1.0], abs=0.05)


@pytest.mark.skipif(not hasattr(gym.vector, "AutoresetMode"), reason="Gymnasium 1.0 has one mode")
@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
def test_value_sees_past_a_time_limit(mode: str) -> None:
    env = gym.vector.SyncVectorEnv([EndlessRewardProbe] * 2, autoreset_mode=gym.vector.AutoresetMode(mode))
    model = fastpg.PPO("MlpPolicy", env, **{**SETTINGS, "gamma": 0.5}).learn(N_STEPS)
    assert values(model, 0.0) == pytest.approx(2.0, abs=0.1)


def test_policy_takes_the_better_action() -> None:
    model = learned(ActionRewardProbe)
    actions, _ = model.predict(np.zeros((100, 1), np.float32))
    assert actions.mean() > 0.98


def test_policy_depends_on_the_observation() -> None:
    model = learned(MatchingProbe)
    actions, _ = model.predict(np.array([[-1.0], [1.0]], np.float32), deterministic=True)
    assert actions.tolist() == [0, 1]
    assert model.collector.episodes.ep_rew_mean > 0.95


def test_gaussian_mean_and_spread_move() -> None:
    model = learned(ContinuousTargetProbe)
    action, _ = model.predict(np.zeros(1, np.float32), deterministic=True)
    assert action == pytest.approx([0.5], abs=0.05)
    assert model.policy.named_parameters()["log_std"] < -0.5


def test_entropy_bonus_keeps_the_policy_random() -> None:
    model = learned(ActionRewardProbe, ent_coef=10.0)
    actions, _ = model.predict(np.zeros((400, 1), np.float32))
    assert 0.35 < actions.mean() < 0.65


def test_kl_stop_saves_optimiser_steps() -> None:
    n_steps = [learned(MatchingProbe, target_kl=kl).optimizer_state.step for kl in (1e-5, None)]
    assert n_steps[0] < 0.5 * n_steps[1]


def test_normalised_rewards_of_any_scale_are_learned() -> None:
    class Scaled(MatchingProbe):
        def step(self, action):
            observation, reward, *rest = super().step(action)
            return observation, 1e6 * reward, *rest

    model = learned(Scaled, normalize={"norm_obs": False})
    actions, _ = model.predict(np.array([[-1.0], [1.0]], np.float32), deterministic=True)
    assert actions.tolist() == [0, 1]


SEEDS = range(5)
#: rl-baselines3-zoo's settings of Pendulum-v1 without state-dependent exploration.
PENDULUM_PPO = {"n_envs": 4, "n_steps": 1024, "gamma": 0.9, "gae_lambda": 0.95, "learning_rate": 1e-3}
PENDULUM_TRPO = {"n_envs": 2, "n_steps": 1024, "gamma": 0.9, "n_critic_updates": 15}


def mean_returns(
    algorithm: str, env_id: str, total_timesteps: int = 100_000, n_episodes: int = 100, **arguments: Any
) -> list[float]:
    """Per seed the mean return of deterministic episodes; 20 of Pendulum's differ by more than its bound allows."""
    means = []
    for seed in SEEDS:
        model = getattr(fastpg, algorithm)("MlpPolicy", env_id, seed=seed, **arguments).learn(total_timesteps)
        means.append(fastpg.evaluate(model, env_id, n_episodes=n_episodes, seed=1000 + seed).mean_return)
    return means


@pytest.mark.learning
def test_ppo_on_cartpole_with_defaults() -> None:
    """stable-baselines3, same settings: 494 (five seeds 484 to 500)."""
    means = mean_returns("PPO", "CartPole-v1", n_envs=8)
    assert np.mean(means) >= 485, means


@pytest.mark.learning
def test_ppo_on_pendulum_with_tuned_settings() -> None:
    """stable-baselines3: -216 with a standard error of 36."""
    means = mean_returns("PPO", "Pendulum-v1", **PENDULUM_PPO)
    assert np.mean(means) >= -230, means


#: sb3-contrib's: damping that stays as it is, in the length of a step as well.
FIXED_DAMPING = {"damping": "fixed", "damped_scale": True}
DAMPINGS = pytest.mark.parametrize("damping", [{}, FIXED_DAMPING], ids=["default", "fixed"])


@pytest.mark.learning
def test_trpo_on_cartpole_with_defaults() -> None:
    """Not below the 482 of the fixed damping. sb3-contrib, same settings: 478 (five seeds 459 to 498).

    Measured: 493 with a standard error of 2.
    """
    means = mean_returns("TRPO", "CartPole-v1", n_envs=8)
    assert np.mean(means) >= 482, means


@pytest.mark.learning
def test_trpo_with_fixed_damping_on_cartpole() -> None:
    """sb3-contrib, same settings: 478. Measured: 482 with a standard error of 5."""
    means = mean_returns("TRPO", "CartPole-v1", n_envs=8, **FIXED_DAMPING)
    assert np.mean(means) >= 465, means


@pytest.mark.learning
@DAMPINGS
def test_trpo_on_pendulum_with_tuned_settings(damping: dict[str, Any]) -> None:
    """sb3-contrib, same settings: -172 over these seeds, -178 with a standard error of 4 over seeds 0 to 14.

    Measured: -169 with the default damping and -170 with the fixed one; -174 with standard errors of 3 and 2 over
    seeds 0 to 19. 100 episodes move our mean by 5, hence 1000.
    """
    means = mean_returns("TRPO", "Pendulum-v1", n_episodes=1000, **PENDULUM_TRPO, **damping)
    assert np.mean(means) >= -175, means


@pytest.mark.learning
def test_trpo_on_lunarlander_with_defaults() -> None:
    """At least what sb3-contrib gives with the same settings: 172 with a standard error of 45 (208, 204, -8, 229, 229).

    Measured: 237 with a standard error of 5 (243, 222, 249, 231, 239); 226 with one of 8 over seeds 0 to 14.
    """
    pytest.importorskip("Box2D")
    means = mean_returns("TRPO", "LunarLander-v3", 300_000, n_envs=8)
    assert np.mean(means) >= 172, means


@pytest.mark.learning
def test_trpo_with_fixed_damping_on_lunarlander() -> None:
    """Measured: 108 with a standard error of 47 (-9, -4, 170, 210, 174); 120 with one of 33 over seeds 0 to 9.

    The deterministic form of a policy that lands when it samples may hover until the time limit, hence the spread; the
    mean of the last 100 training episodes is 95 here, and 101 with sb3-contrib. The bound is where a policy that has
    not learnt to fly cannot get.
    """
    pytest.importorskip("Box2D")
    means = mean_returns("TRPO", "LunarLander-v3", 300_000, n_envs=8, **FIXED_DAMPING)
    assert np.mean(means) >= 80, means


@pytest.mark.learning
@DAMPINGS
def test_trpo_with_a_radius_by_the_signal_on_cartpole(damping: dict[str, Any]) -> None:
    """Not below the 482 of the fixed radius over these seeds. Measured: 500 with the default damping, else 498."""
    means = mean_returns("TRPO", "CartPole-v1", n_envs=8, adaptive_radius="signal", **damping)
    assert np.mean(means) >= 482, means


@pytest.mark.learning
def test_trpo_with_a_radius_by_the_signal_on_pendulum() -> None:
    """The bound of the fixed radius."""
    means = mean_returns("TRPO", "Pendulum-v1", n_episodes=1000, **PENDULUM_TRPO, adaptive_radius="signal")
    assert np.mean(means) >= -175, means


@pytest.mark.learning
@DAMPINGS
def test_trpo_with_a_radius_by_the_signal_on_lunarlander(damping: dict[str, Any]) -> None:
    """At least the 172 of sb3-contrib over these seeds, settings and steps.

    Measured: 221 with a standard error of 13 (229, 173, 249, 231, 223) with the default damping; 178 with one of 27
    (81, 229, 210, 156, 213) with the fixed one. The last 100 training episodes return 115 and 125, 100 and 95 with the
    fixed radius, and 101 with sb3-contrib.
    """
    pytest.importorskip("Box2D")
    means = mean_returns("TRPO", "LunarLander-v3", 300_000, n_envs=8, adaptive_radius="signal", **damping)
    assert np.mean(means) >= 172, means


@pytest.mark.learning
def test_trpo_with_adaptive_damping_on_lunarlander() -> None:
    """At least the 172 of sb3-contrib over these seeds, settings and steps, within the same radius.

    Measured: 227 with a standard error of 11 (188, 223, 252, 228, 242); 224 with one of 8 over seeds 0 to 9.
    """
    pytest.importorskip("Box2D")
    options = {"damping": "adaptive", "damped_scale": False}
    means = mean_returns("TRPO", "LunarLander-v3", 300_000, n_envs=8, **options)
    assert np.mean(means) >= 172, means


@pytest.mark.learning
def test_npg_with_kl_step_solves_cartpole() -> None:
    """The figure of the source text that this library follows: NPG reaches the limit of CartPole-v1."""
    means = mean_returns("NPG", "CartPole-v1", n_envs=8, step_rule="kl")
    assert sum(mean >= 475 for mean in means) >= 4, means


@pytest.mark.learning
@pytest.mark.parametrize("algorithm", ["VPG", "A2C", "MDPO"])
def test_first_order_methods_learn_cartpole(algorithm: str) -> None:
    """195 of 500 is what the first version of this environment called solved (of 200); chance gives 22."""
    means = mean_returns(algorithm, "CartPole-v1", n_envs=8)
    assert min(means) >= 195, means
