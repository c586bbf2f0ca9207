"""The pool of threads: bounded, shared by callers, asleep when idle, alive in forked children, content with less."""

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fastpg.machine import n_cores
from tests import ppo_updates

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("fastpg._native") is None, reason="built without a compiler"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]
#: ThreadSanitizer and AddressSanitizer have threads and memory of their own.
needs_plain_process = pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="in a sanitizer lane")
needs_compiler_and_two_processors = pytest.mark.skipif(
    shutil.which("g++") is None or n_cores() < 2, reason="no compiler here, or one processor"
)


def update(*, n_threads, n_epochs=2):
    """Parameters after a small update of PPO."""
    return ppo_updates.update(
        ppo_updates.SMALL, n_samples=256, batch_size=64, n_epochs=n_epochs, n_threads=n_threads
    ).params


def in_a_process(code):
    """Standard output of ``code``, which may use ``update``, and what it warned of."""
    setup = f"import sys; sys.path.append({os.path.dirname(os.path.dirname(__file__))!r})\n"
    imports = "import os, time\nfrom tests.test_threads import n_tasks, update\n"
    return subprocess.run(
        [sys.executable, "-c", setup + imports + code], capture_output=True, text=True, check=True, timeout=60
    )


def n_tasks():
    """Threads of this process."""
    return len(os.listdir("/proc/self/task"))


@needs_plain_process
def test_no_more_threads_than_processors():
    code = """
before = n_tasks()
update(n_threads=64)
print(n_tasks() - before <= len(os.sched_getaffinity(0)) - 1)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
before = n_tasks()
update(n_threads=2)
print(n_tasks() - before)
"""
    assert in_a_process(code).stdout.split() == ["True", "0"]


@needs_plain_process
def test_a_quota_bounds_the_threads():
    code = """
import fastpg._native as native
native.set_cpu_limit(1)
before = n_tasks()
update(n_threads=2)
print(n_tasks() - before, native.n_usable_cpus())
"""
    assert in_a_process(code).stdout.split() == ["0", "1"]


@needs_plain_process
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor")
def test_idle_threads_sleep():
    """After an update on two threads, the process uses no processor time at all."""
    code = """
update(n_threads=2)
time.sleep(0.05)  # they spin for some microseconds first
start = time.process_time()
time.sleep(0.5)
print(n_tasks() > 1, time.process_time() - start)
"""
    has_workers, seconds = in_a_process(code).stdout.split()
    assert has_workers == "True"
    assert float(seconds) < 0.02


@needs_plain_process
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor")
def test_a_refused_thread_is_a_warning():
    """The stack of a new thread does not fit into the address space that is left."""
    code = """
import resource, warnings
expected = update(n_threads=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 4 * 2**20, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    same = (update(n_threads=2) == expected).all()
print(same, *(str(warning.message) for warning in caught))
"""
    said = in_a_process(code).stdout
    assert said.startswith("True n_threads: expected to start the threads for 2, but the system refused one")
    assert "Fix: raise the limit" in said


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_children_of_a_process_with_threads_work_and_theirs():
    """Forked while another thread computes; the child forks again."""
    expected = update(n_threads=2)
    stop = threading.Event()

    def compute():
        while not stop.is_set():
            update(n_threads=2)

    busy = threading.Thread(target=compute)
    busy.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                grandchild = os.fork()
                same = bool((update(n_threads=2) == expected).all())
                if grandchild > 0:
                    same = same and os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 0
                os._exit(0 if same else 1)
            assert _exit_code(child) == 0
    finally:
        stop.set()
        busy.join()


def _exit_code(child, timeout=30.0):
    """Of a child, which must end by itself."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("a forked child hangs")


@pytest.mark.parametrize("n_callers", [2, 4])
def test_callers_in_many_threads_get_the_same_bits(n_callers):
    expected = update(n_threads=1)
    results = []

    def compute():
        results.extend(update(n_threads=2) for _ in range(10))

    callers = [threading.Thread(target=compute) for _ in range(n_callers)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 10 * n_callers
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_a_signal_handler_may_use_the_kernels():
    """Python runs it inside of an update that has leased the threads."""
    import signal

    seen = []

    def handler(signum, frame):
        seen.append(update(n_threads=2))

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        long = update(n_threads=2, n_epochs=4000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert np.isfinite(long).all()
    np.testing.assert_array_equal(seen[0], update(n_threads=1))


@needs_plain_process
def test_a_process_ends_while_a_daemon_thread_computes():
    code = """
import threading
threading.Thread(target=lambda: update(n_threads=2, n_epochs=60000), daemon=True).start()
time.sleep(0.2)
print("end")
"""
    assert in_a_process(code).stdout.strip() == "end"


def run_with_the_pool(source, directory):
    """Lines that a program of tests/cpp prints, compiled with the pool of threads."""
    root, program = Path(__file__).parents[1], directory / "program"
    sources = [root / "tests/cpp" / source, root / "csrc/kernels/thread_pool.cpp"]
    include = ["-I", root / "csrc/include"]
    command = ["g++", "-std=c++17", "-pthread", "-DFASTPG_ISA=alone", *include, *sources, "-o", program]
    subprocess.run(command, check=True, timeout=120)
    result = subprocess.run([program], capture_output=True, text=True, check=True, timeout=60)
    return result.stdout.splitlines()


@needs_compiler_and_two_processors
@needs_plain_process
def test_without_memory_for_a_worker_there_are_fewer_threads_and_signals_arrive(tmp_path):
    assert run_with_the_pool("pool_without_memory.cpp", tmp_path) == ["1 1 0 2"]


@needs_compiler_and_two_processors
@needs_plain_process
def test_threads_that_others_disturb_are_given_up_for_a_while(tmp_path):
    refusals, two_late, late_now_and_then, three_late, load = run_with_the_pool("contention.cpp", tmp_path)
    assert refusals == "1 2 4 8 16 16 16 1"  # doubled with every report, up to 16; forgotten in quiet times
    assert two_late == "oll 0"
    assert late_now_and_then == "ololol 0"
    assert three_late == "olll 1"
    assert load.split() == ["0", "1"]  # one window without processor time is no contention, two are
