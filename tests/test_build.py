"""The compiled extension: what it says of itself, instruction sets, threads, interrupts, checks at the boundary."""

import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from fastpg.kernels.layout import ActorCriticLayout, HeadLayout, MLPLayout
from tests.ppo_updates import UNEVEN, update

pytestmark = pytest.mark.skipif(importlib.util.find_spec("fastpg._native") is None, reason="built without a compiler")


@pytest.fixture(name="native")
def _native():
    return importlib.import_module("fastpg._native")


@pytest.fixture(name="restore_isa")
def _restore_isa(native):
    isa = native.build_info()["isa"]
    yield
    native.select_isa(isa)


def _update(*, n_samples=333, n_epochs=3, **options):
    return update(UNEVEN, n_samples=n_samples, n_epochs=n_epochs, batch_size=70, clip_range_vf=0.3, **options)


def _assert_same_bits(one, other):
    for a, b in zip(one[:3], other[:3], strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.stats == other.stats


def test_build_info(native):
    info = native.build_info()
    assert info["isa"] in info["isa_available"]
    if not info.get("sanitizers"):  # those are built for one instruction set
        assert info["isa_available"][-1] == "baseline"
    assert "-ffast-math" not in info["flags"]
    assert "-march=native" not in info["flags"]
    assert info["compiler"]


def test_version_is_the_packages(native):
    version = importlib.import_module("fastpg").__version__
    assert native.build_info()["version"] == version


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_wide_instruction_sets_give_the_same_bits(native, restore_isa, dtype):
    """AVX-512 runs where the CPU has it, or emulated in a build with FASTPG_EMULATE_AVX512."""
    fused = [isa for isa in native.build_info()["isa_available"] if isa != "baseline"]
    results = []
    for isa in fused:
        native.select_isa(isa)
        results.append(_update(dtype=dtype))
    for result in results[1:]:
        _assert_same_bits(results[0], result)


def test_unknown_instruction_set(native):
    with pytest.raises(ValueError, match=r"instruction set: expected one .* got 'mmx'"):
        native.select_isa("mmx")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_threads_give_the_same_bits(dtype):
    _assert_same_bits(_update(dtype=dtype), _update(dtype=dtype, n_threads=2))


def test_updates_in_two_python_threads_at_once():
    expected = _update()
    results = [None, None]

    def work(i):
        results[i] = _update(n_threads=2)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        _assert_same_bits(expected, result)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_after_the_pool_was_used():
    expected = _update(n_threads=2).params
    child = os.fork()
    if child == 0:
        same = np.array_equal(expected, _update(n_threads=2).params)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_import_starts_no_thread():
    code = "import threading, os, fastpg._native; print(len(os.listdir('/proc/self/task')))"
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("no /proc")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "1"


def test_interrupt_stops_an_update_soon():
    """A signal handler that raises ends the kernel; a second update then works."""

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            _update(n_samples=4096, n_threads=2, n_epochs=60_000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert _update().stats.n_epochs_run == 3


def test_boundary_checks_shape_dtype_and_layout(native):
    row = np.zeros((3, 4), np.float32)
    flags = np.zeros((3, 4), bool)
    arguments = {"gamma": 0.9, "gae_lambda": 0.9, "n_threads": 1}
    with pytest.raises(ValueError, match=r"values: expected shape \(3, 4\)"):
        native.gae(row, row[:2], row, flags, flags, out=row.copy(), **arguments)
    with pytest.raises(TypeError, match="next_values: expected dtype float32, got float64"):
        native.gae(row, row, row.astype(np.float64), flags, flags, out=row.copy(), **arguments)
    with pytest.raises(ValueError, match="out: expected a C-contiguous array"):
        native.gae(row, row, row, flags, flags, out=np.zeros((4, 3), np.float32).T, **arguments)
    misaligned = np.zeros(row.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(3, 4)
    with pytest.raises(ValueError, match="rewards: expected an aligned array"):
        native.gae(misaligned, row, row, flags, flags, out=row.copy(), **arguments)
    read_only = row.copy()
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writeable array"):
        native.gae(row, row, row, flags, flags, out=read_only, **arguments)


def test_actions_out_of_range_are_refused(native):
    head = HeadLayout("categorical", (2, 3))
    actions = np.array([[0, 2], [1, 3]], np.int32)
    with pytest.raises(ValueError, match=r"actions: .* \(row 1, column 1\)"):
        native.log_prob(
            np.zeros((2, 5), np.float32),
            np.zeros(0, np.float32),
            actions,
            head=head,
            out=np.zeros(2, np.float32),
        )


def test_actor_outlives_the_names_of_its_buffers(native):
    layout = ActorCriticLayout(MLPLayout((3, 2), "tanh"), MLPLayout((3, 1), "tanh"), HeadLayout("categorical", (2,)))
    values = np.zeros((2, 1), np.float32)
    actor = native.bind_actor(
        np.ones((2, 1, 3), np.float32),
        np.zeros((2, 1, 1), np.int32),
        np.zeros((2, 1), np.float32),
        values,
        layout=layout,
        seed=0,
        stream=1,
        n_threads=1,
    )
    with pytest.raises(RuntimeError, match="set_parameters"):
        actor.act(0, 0)
    actor.set_parameters(np.ones(layout.n_params, np.float32))
    actor.act(1, 0)
    assert values.tolist() == [[0.0], [4.0]]
    with pytest.raises(IndexError, match=r"expected an integer in \[0, 1\], got 2"):
        actor.act(2, 0)
