"""The backend that a model is given computes everything: nothing falls back to the default one."""

import pytest

import fastpg
from fastpg.kernels import backends
from tests.sb3.tools import CLASSES, small

VARIANTS = {
    "A2C": ({}, {"use_rms_prop": False}),
    "MDPO": ({}, {"tsallis_q": 2.0}, {"entropy_weight": 0.1}, {"t_schedule": "adaptive"}),
    "NPG": ({}, {"solver": "cholesky"}, {"critic_solver": "lm"}, {"preset": "hessian_free"}, {"preset": "krylov"}),
    "PPO": (
        {"normalize": True},
        {"penalty": "kl", "adaptive_kl": "paper", "target_kl": 0.01},
        {"constraint": "backtrack"},
        {"clip_range": "adaptive"},
    ),
    "TRPO": (
        {"solver": "woodbury"},
        {"direction": "newton"},
        {"direction": "ksd"},
        {"direction": "tonga"},
        {"sub_sampling_factor": 2},
    ),
    "VPG": ({}, {"use_critic": False}, {"preset": "tonga"}, {"preset": "normalized"}),
}
CASES = [(name, arguments) for name, variants in VARIANTS.items() for arguments in variants]
SIZES = {"n_steps": 16, "n_envs": 2, "policy_kwargs": {"net_arch": [8]}}


@pytest.fixture
def _no_default(monkeypatch):
    def default():
        raise AssertionError("a kernel was called without the backend of the model")

    monkeypatch.setattr(backends, "default", default)


@pytest.mark.usefixtures("_no_default")
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_every_kernel_of_a_training_is_that_of_the_model(name, arguments):
    sizes = SIZES | ({"batch_size": 32} if name == "PPO" else {})
    model = getattr(fastpg, name)("MlpPolicy", "CartPole-v1", seed=0, backend="reference", **sizes, **arguments)
    observations, _ = model.learn(64).get_env().reset(seed=0)
    model.predict(observations)
    model.get_env().close()


@pytest.mark.usefixtures("_no_default")
@pytest.mark.parametrize("cls", CLASSES)
def test_every_kernel_of_a_drop_in_training_is_that_of_the_model(cls):
    model = small(cls).learn(32)
    assert model.rollout_buffer.advantages.size
    observation = model.get_env().reset()
    model.policy.evaluate_actions(observation, model.policy.forward(observation)[0])
    model.get_env().close()
