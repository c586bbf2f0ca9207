"""Every implementation computes what the reference computes: case x implementation x dtype x size x threads."""

from __future__ import annotations

import numpy as np
import pytest

from fastpg.kernels import backends
from tests.kernels.case import WHY_KL
from tests.kernels.cases import CASES, KernelCase

DTYPES = ("float32", "float64")


def by_name(case: KernelCase) -> str:
    return case.name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_equals_the_reference(case: KernelCase, fast_backend: str, dtype: str) -> None:
    for size in case.sizes:
        expected = case.call("reference", case.inputs(size, dtype))
        actual = case.call(fast_backend, case.inputs(size, dtype))
        case.assert_close(actual, expected, dtype)


@pytest.mark.parametrize("case", [case for case in CASES if case.why == WHY_KL], ids=by_name)
def test_the_divergences_compared_are_not_small(case: KernelCase) -> None:
    for size in filter(None, case.sizes):
        (divergences,) = case.call("reference", case.inputs(size, "float64"))
        assert divergences.max() > 0.02


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [case for case in CASES if case.has_threads], ids=by_name)
def test_bits_do_not_depend_on_the_threads(case: KernelCase, backend: str, dtype: str) -> None:
    for size in case.sizes:
        inputs = case.inputs(size, dtype)
        one = case.call(backend, inputs, n_threads=1)
        for n_threads in (2, 4):
            for ours, theirs in zip(case.call(backend, inputs, n_threads=n_threads), one, strict=True):
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_bits_are_the_same_twice(case: KernelCase, backend: str) -> None:
    size = case.sizes[-1]
    first = [np.array(output) for output in case.call(backend, case.inputs(size, "float32"))]
    for ours, theirs in zip(case.call(backend, case.inputs(size, "float32")), first, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_float32_follows_float64(case: KernelCase, backend: str) -> None:
    """float32 is float64 rounded, within the tolerance of the case: the specification does not depend on the dtype."""
    size = case.sizes[-1]
    double = case.call(backend, case.inputs(size, "float64"))
    single = case.call(backend, case.inputs(size, "float32"))
    case.assert_close(
        tuple(np.asarray(output, np.float64) if output.dtype.kind == "f" else output for output in single),
        double,
        np.float32,
    )


def test_every_kernel_has_a_case() -> None:
    covered = {case.function.__name__ for case in CASES} | {"bind_actor", "bind_fisher"}
    assert covered >= {name for functions in backends.FAMILIES.values() for name in functions}
    assert {case.family for case in CASES} == set(backends.FAMILIES)
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_random_inputs_are_not_constant(case: KernelCase) -> None:
    for name, value in case.inputs(case.sizes[-1], "float64").items():
        if isinstance(value, np.ndarray) and value.size > 4 and name != "out":
            assert len(np.unique(value)) > 1, name
