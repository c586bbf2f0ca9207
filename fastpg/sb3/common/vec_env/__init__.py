"""Vector environments with stable-baselines3's API."""

from typing import Any

from fastpg.sb3.common.vec_env.base_vec_env import VecEnv, VecEnvWrapper
from fastpg.sb3.common.vec_env.dummy_vec_env import DummyVecEnv
from fastpg.sb3.common.vec_env.subproc_vec_env import SubprocVecEnv
from fastpg.sb3.common.vec_env.vec_check_nan import VecCheckNan
from fastpg.sb3.common.vec_env.vec_extract_dict_obs import VecExtractDictObs
from fastpg.sb3.common.vec_env.vec_frame_stack import VecFrameStack
from fastpg.sb3.common.vec_env.vec_monitor import VecMonitor
from fastpg.sb3.common.vec_env.vec_normalize import (
    VecNormalize,
    is_vecenv_wrapped,
    sync_envs_normalization,
    unwrap_vec_normalize,
    unwrap_vec_wrapper,
)
from fastpg.sb3.missing import explain_missing

__all__ = [
    "DummyVecEnv",
    "SubprocVecEnv",
    "VecCheckNan",
    "VecEnv",
    "VecEnvWrapper",
    "VecExtractDictObs",
    "VecFrameStack",
    "VecMonitor",
    "VecNormalize",
    "is_vecenv_wrapped",
    "sync_envs_normalization",
    "unwrap_vec_normalize",
    "unwrap_vec_wrapper",
]


def __getattr__(name: str) -> Any:
    """Say what became of the names that are not here (called by Python for them)."""
    raise explain_missing(__name__, name)
