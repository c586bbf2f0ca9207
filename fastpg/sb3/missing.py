"""What is said about names of stable-baselines3 that fastpg.sb3 does not have."""

from __future__ import annotations

_IMAGES = "it is for images, and fastpg trains MLP policies on flat observations"
_OFF_POLICY = "fastpg trains on-policy algorithms: PPO, TRPO and A2C here, more in fastpg itself"

#: Name -> why it is not here, and what to do.
_REASONS = {
    **dict.fromkeys(("VecTransposeImage", "CnnPolicy"), _IMAGES),
    "VecVideoRecorder": "record single environments with gymnasium.wrappers.RecordVideo",
    **dict.fromkeys(
        ("DQN", "SAC", "TD3", "DDPG", "HerReplayBuffer", "ReplayBuffer", "QRDQN", "TQC", "ARS", "CrossQ"), _OFF_POLICY
    ),
    "MultiInputPolicy": "Dict observations are not supported; flatten them with gymnasium.wrappers.FlattenObservation",
    "RecurrentPPO": "policies with a memory are not supported",
    "MaskablePPO": "masked actions are not supported",
}


def explain_missing(module: str, name: str) -> AttributeError:
    """The error for the ``name`` that ``module`` lacks."""
    reason = _REASONS.get(name)
    text = f"module {module!r} has no attribute {name!r}"
    return AttributeError(text if reason is None else f"{text}: {reason}.")
