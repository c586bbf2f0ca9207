"""Print the comparison table of the README: everybody in one run, one thread, one core.

    python -m benchmarks.compare                   # everything, about three minutes with the peers installed
    python -m benchmarks.compare ppo_update act    # workloads whose name begins with one of these
    python -m benchmarks.compare kernel            # every kernel alone, C++ beside Numba

Each figure is the median over repeated calls, after one call that is checked against fastpg's float64 reference and not
timed. The contenders of a workload take turns, so that they see the same machine.
"""

from __future__ import annotations

import platform
import sys

from benchmarks import harness

harness.use_one_thread()

from benchmarks import machine, workloads  # noqa: E402


def measure(workload: harness.Workload) -> dict[str, float]:
    """Contender -> seconds per unit of work; those who cannot run here are left out."""
    runs = {}
    for contender in workload.contenders:
        reason = contender.missing()
        if reason is None:
            runs[contender.name] = contender.prepare()
            workload.check(runs[contender.name]())
        else:
            print(f"{workload.name}: without {contender.name}: {reason}", file=sys.stderr)
    times = harness.seconds_per_call(runs, rounds=workload.rounds)
    return {name: seconds / workload.n_units for name, seconds in times.items()}


def table(measured: list[tuple[harness.Workload, dict[str, float]]]) -> str:
    """A Markdown table: a row per workload, a column per contender, ratios to the first column in brackets."""
    names = list(dict.fromkeys(name for _, results in measured for name in results))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for workload, results in measured:
        first = next(iter(results.values()))
        cells = [_cell(workload, results.get(name), first) for name in names]
        lines.append(f"| {workload.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(workload: harness.Workload, seconds: float | None, first: float) -> str:
    if seconds is None:
        return ""
    text = f"{1 / seconds:,.0f} {workload.unit}s/s" if workload.is_rate else _duration(seconds)
    ratio = seconds / first
    return text if seconds == first else f"{text} ({ratio:,.0f}x)" if ratio >= 99.5 else f"{text} ({ratio:.3g}x)"


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def header(core: int | None) -> str:
    """What the figures were measured on."""
    info = machine.describe()
    where = "not pinned" if core is None else f"pinned to core {core}"
    lines = [f"{info['cpu']}, {platform.system()}, Python {platform.python_version()}, one thread, {where}"]
    lines += [f"{info['fastpg']}; {info['peers']}"]
    if info["fma_peak_gflops"]:
        lines += [f"Peak of fused multiply-adds on this core, float32: {info['fma_peak_gflops']:.0f} GFLOP/s"]
    return "\n".join([*lines, "Time per unit of work; in brackets: how many times the first column."])


def rates(measured: list[tuple[harness.Workload, dict[str, float]]]) -> str:
    """Floating-point rate of fastpg in the workloads that are matrix products."""
    peak, lines = machine.fma_peak_gflops(), []
    for workload, results in measured:
        if workload.flops and results and peak:
            name, seconds = next(iter(results.items()))
            rate = workload.flops / workload.n_units / seconds / 1e9
            lines.append(f"{workload.title}: {name} runs at {rate:.3g} GFLOP/s, {rate / peak:.0%} of peak.")
    return "\n".join(lines)


def main(patterns: list[str]) -> None:
    """Measure the chosen workloads and print the table under a description of the machine."""
    known = workloads.comparisons() + workloads.kernel_workloads()
    chosen = [w for w in known if w.name.startswith(tuple(patterns))] if patterns else workloads.comparisons()
    if not chosen:
        sys.exit(f"No workload begins with {patterns}. There are: {', '.join(workload.name for workload in known)}")
    print(header(harness.pin_to_one_core()), "\n")
    measured = [(workload, measure(workload)) for workload in chosen]
    measured = [(workload, results) for workload, results in measured if results]
    print(table(measured), rates(measured), sep="\n\n")


if __name__ == "__main__":
    main(sys.argv[1:])
