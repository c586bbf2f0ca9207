"""Writes ``sb3_model_*.zip``: models that stable-baselines3 and sb3-contrib themselves saved, and what they predict.

Run by hand where stable-baselines3, sb3-contrib and torch are installed; the tests need only the files::

    python -m tests.references.make_sb3_models

The files are theirs but for ``system_info.txt``, which is left out, as it describes a machine.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib import TRPO
from stable_baselines3 import A2C, PPO

HERE = Path(__file__).parent
RELU = {"net_arch": {"pi": [6, 5], "vf": [4]}, "activation_fn": torch.nn.ReLU}
MODELS: dict[str, Any] = {
    "ppo_pendulum": lambda: PPO("MlpPolicy", "Pendulum-v1", n_steps=32, batch_size=16, policy_kwargs=RELU, gamma=0.9),
    "trpo_cartpole": lambda: TRPO(
        "MlpPolicy", "CartPole-v1", n_steps=32, batch_size=16, policy_kwargs={"net_arch": [6]}
    ),
    "a2c_cartpole": lambda: A2C("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [6]}, seed=3),
}


def main() -> None:
    torch.manual_seed(0)
    for name, make in MODELS.items():
        model = make().learn(64)
        buffer = io.BytesIO()
        model.save(buffer)
        with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(HERE / f"sb3_model_{name}.zip", "w") as target:
            for member in source.namelist():
                if member != "system_info.txt":
                    target.writestr(member, source.read(member), zipfile.ZIP_DEFLATED)
        observations = np.array([model.observation_space.sample() for _ in range(5)], np.float32).clip(-5, 5)
        tensors = torch.from_numpy(observations)
        with torch.no_grad():
            values = model.policy.predict_values(tensors).numpy()
            actions = model.predict(observations, deterministic=True)[0]
            _, log_probs, entropies = model.policy.evaluate_actions(tensors, torch.from_numpy(actions))
        arrays = {key: tensor.numpy() for key, tensor in model.policy.state_dict().items()}
        optimizer = model.policy.optimizer.state_dict()["state"]
        moments = {f"moment/{i}/{k}": np.asarray(v) for i, entry in optimizer.items() for k, v in entry.items()}
        np.savez_compressed(
            HERE / f"sb3_model_{name}.npz",
            observations=observations,
            actions=actions,
            values=values,
            log_probs=log_probs.numpy(),
            entropies=np.broadcast_to(entropies.numpy(), len(observations)),
            **arrays,
            **moments,
        )


if __name__ == "__main__":
    main()
