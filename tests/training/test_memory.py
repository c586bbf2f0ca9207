"""What training holds in memory: little, and no more after ten thousand iterations."""

import importlib.util
import json
import subprocess
import sys

import pytest

MIB = 2**20
#: Of a whole process that trains PPO on CartPole-v1 with its defaults; about half of it is Python, NumPy and Gymnasium.
PEAK = 120 * MIB
#: Resident pages come and go with the allocator; in the second half of 10,000 iterations, a leak of 105 bytes in each
#: exceeds this, in that of 2000 one of 525 bytes, in that of 500 one of 2.1 kB.
SLACK = MIB // 2

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
    pytest.mark.skipif(importlib.util.find_spec("fastpg._native") is None, reason="Numba's compiler needs far more"),
]

MEASURE = """
import json, resource, sys
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
def peak():  # of this program; ru_maxrss is at least that of the process that started it
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
"""

DEFAULTS = """
import fastpg
fastpg.PPO("MlpPolicy", "CartPole-v1", seed=0).learn(3 * 2048)
json.dump(peak(), sys.stdout)
"""

MANY_ITERATIONS = """
import gymnasium, numpy, fastpg
class Corridor(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return numpy.zeros(2, numpy.float32), {{}}
    def step(self, action):
        self.t += 1
        return numpy.full(2, self.t / 9, numpy.float32), float(action), self.t == 5, self.t == 9, {{}}
model = fastpg.{name}("MlpPolicy", Corridor(), seed=0, policy_kwargs={{"net_arch": [4]}}, **{arguments})
sizes = []
for _ in range(2):
    model.learn(4 * {n_iterations} // 2, reset_num_timesteps=False)
    sizes.append(resident())
assert model.num_timesteps == 4 * {n_iterations}
json.dump(sizes, sys.stdout)
"""


_PPO = {"n_steps": 4, "batch_size": 4, "n_epochs": 1, "normalize": True}
_TRPO = {"n_steps": 4, "batch_size": 4, "n_critic_updates": 1}


def _run(code):
    done = subprocess.run([sys.executable, "-c", MEASURE + code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_peak_with_the_defaults():
    assert 20 * MIB < _run(DEFAULTS) < PEAK


@pytest.mark.parametrize(
    ("name", "n_iterations", "arguments"),
    [
        ("PPO", 2000, _PPO),
        ("TRPO", 500, _TRPO),
        pytest.param("PPO", 10_000, _PPO, marks=pytest.mark.slow),
        pytest.param("TRPO", 10_000, _TRPO, marks=pytest.mark.slow),
    ],
)
def test_no_growth_over_many_iterations(name, n_iterations, arguments):
    half, whole = _run(MANY_ITERATIONS.format(name=name, n_iterations=n_iterations, arguments=arguments))
    assert whole - half < SLACK
