"""A sanitizer lane would find a bug: it runs the instrumented extension, and each planted bug ends the process.

Run by ``.ci/sanitize``, which sets ``FASTPG_TEST_SANITIZERS`` to what the extension must have been built with. Skipped
elsewhere.
"""

import importlib
import os
import subprocess
import sys

import pytest

SANITIZERS = os.environ.get("FASTPG_TEST_SANITIZERS", "")

pytestmark = pytest.mark.skipif(not SANITIZERS, reason="not a sanitizer lane")

#: Exit code of a process whose sanitizer found something, as set by .ci/sanitize; of UBSan: by abort.
FOUND = {66, 1, -6}

#: sanitizer -> (bug, what the report must say)
BUGS = {
    "address": [("read_past_the_end", "heap-buffer-overflow"), ("read_after_release", "heap-use-after-free")],
    "undefined": [("overflow_an_int", "signed integer overflow")],
    "thread": [("race", "data race")],
}
#: What only the lane with all checks of UBSan finds.
OF_ALL_CHECKS = [("read_misaligned", "misaligned address")]
PLANTED = [bug for sanitizer in filter(None, SANITIZERS.split(",")) for bug in BUGS[sanitizer]]
PLANTED += OF_ALL_CHECKS if SANITIZERS == "undefined" else []


def _commit(name: str, place: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = f"import fastpg._native as n; n.planted_bug({name!r}, {place!r}, size=5); print('survived')"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


def _places() -> list[str]:
    if not SANITIZERS:
        return []
    return ["bindings", *importlib.import_module("fastpg._native").build_info()["isa_available"]]


def test_the_extension_is_instrumented():
    assert importlib.import_module("fastpg._native").build_info()["sanitizers"] == SANITIZERS


@pytest.mark.parametrize("place", _places())
def test_a_process_without_a_bug_survives(place):
    done = _commit("none", place)
    assert (done.returncode, done.stdout.strip()) == (0, "survived"), done.stderr


@pytest.mark.parametrize("place", _places())
@pytest.mark.parametrize(("bug", "report"), PLANTED)
def test_a_planted_bug_is_found(bug, report, place):
    done = _commit(bug, place)
    assert report in done.stderr
    assert "planted_bugs.hpp" in done.stderr
    assert done.returncode in FOUND


@pytest.mark.skipif("address" not in SANITIZERS, reason="not AddressSanitizer")
@pytest.mark.parametrize("place", _places())
def test_a_planted_leak_is_reported(place, tmp_path):
    options = f"detect_leaks=1:fast_unwind_on_malloc=0:log_path={tmp_path}/leaks"
    _commit("lose_memory", place, ASAN_OPTIONS=options, LSAN_OPTIONS="exitcode=0")
    assert any("planted_bugs.hpp" in log.read_text() for log in tmp_path.iterdir())
