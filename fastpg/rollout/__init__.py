"""From environments to rollouts: spaces, vector environments, autoreset, normalisation, episode statistics."""

from fastpg.rollout.autoreset import AutoresetMode
from fastpg.rollout.collector import Collector
from fastpg.rollout.envs import make_vector_env
from fastpg.rollout.episodes import EpisodeStatistics
from fastpg.rollout.normalize import Normalizer
from fastpg.rollout.serial import SerialVectorEnv
from fastpg.rollout.spaces import ActionDecoder, ObservationEncoder

__all__ = [
    "ActionDecoder",
    "AutoresetMode",
    "Collector",
    "EpisodeStatistics",
    "Normalizer",
    "ObservationEncoder",
    "SerialVectorEnv",
    "make_vector_env",
]
