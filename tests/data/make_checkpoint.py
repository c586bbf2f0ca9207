"""Writes the checkpoint of this version, which all later versions must be able to load.

Run (``python tests/data/make_checkpoint.py``) once per release that changes what a checkpoint holds.
The files of earlier releases stay.
"""

from pathlib import Path

import fastpg


def main() -> None:
    """Train a small model with everything that a checkpoint can hold, and save it beside this file."""
    model = fastpg.PPO(
        "MlpPolicy",
        "CartPole-v1",
        n_envs=2,
        n_steps=32,
        batch_size=32,
        n_epochs=2,
        learning_rate="lin_1e-3",
        normalize=True,
        policy_kwargs={"net_arch": {"pi": [4], "vf": [8, 4]}},
        seed=0,
        backend="reference",
    )
    model.learn(128)
    model.save(Path(__file__).parent / f"checkpoint-{fastpg.__version__}.fastpg")
    model.get_env().close()


if __name__ == "__main__":
    main()
