"""Measure everything and write it into the documentation: one command, some three hours with all peers installed.

    python -m benchmarks.report                           # everything
    python -m benchmarks.report --only bench,updates      # parts; what was measured before is kept
    python -m benchmarks.report --write                   # measure nothing, write the documents from what is stored

Parts: ``bench`` (``fastpg bench``, less than a minute), the groups of ``benchmarks.compare`` (``updates``, ``acting``,
``rollouts``, ``training``), ``curves``, ``time-to-score``, ``final-return``. Figures go to
``benchmarks/results/*.json``, tables between the ``begin`` and ``end`` marks of ``docs/benchmarks.md`` and
``README.md``, pictures to ``docs/images``.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.compare import duration, rates, table
from benchmarks.final_return import table as return_table
from benchmarks.time_to_score import TASKS
from benchmarks.time_to_score import table as score_table
from fastpg.bench.report import collect, suffix
from fastpg.bench.tasks import SHORT, Task

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "docs" / "benchmarks.md", ROOT / "README.md")
GROUPS = ("updates", "acting", "rollouts", "training")
PARTS = ("bench", *GROUPS, "curves", "time-to-score", "final-return")

#: What figures of ``fastpg bench`` are meant to reach on AVX-512 cores of this peak each: at most so many µs, or at
#: least this fraction of the peak.
GOAL_PEAK = 262.0
GOALS = {
    "ppo_update_b64_us": 18.0,
    "ppo_update_b64_us_2t": 11.0,
    "ppo_update_b2048_us": 560.0,
    "ppo_update_b2048_peak_fraction": 0.75,
    "fvp_b2048_us": 340.0,
    "fvp_b2048_peak_fraction": 0.85,
    "cg10_b2048_us": 3500.0,
    "act_n1_us": 0.3,
    "predict_n1_us": 2.0,
    "act_n1024_us": 104.0,
    "gae_128x1024_us": 34.0,
}
#: What a goal is for, where that is not all that its figure measures.
GOAL_NOTES = {"act_n1_us": "without the Python call that is measured with it"}
#: Peer -> task -> times as long as fastpg, at least.
RATIO_GOALS = {"stable-baselines3": {"ppo_update_b64": 55.0}, "JAX": {"ppo_update_b64": 2.7}}
#: Workload of ``benchmarks.compare`` -> who, beside whom, and how many times as fast at least.
COMPARE_GOALS = {
    "ppo_update-small-64": ("fastpg jit", "stable-baselines3", 8.0),
    "train-PPO-CartPole-v1-8": ("fastpg native", "stable-baselines3", 20.0),
    "train-PPO-CartPole-v1-8-sync": ("fastpg native", "stable-baselines3", 20.0),
    "train-TRPO-HalfCheetah-v5-8-long-fixed-damping": ("fastpg native", "environment alone", 0.8),
}
#: Tasks whose cost is arithmetic: their goal scales with the peak of the machine.
ARITHMETIC = ("ppo_update_b64", "ppo_update_b2048", "fvp_b2048", "cg10_b2048", "act_n1024")
PICTURES = {
    "bench-batch-size.png": "Time of the peers over fastpg's, and fastpg's fraction of the peak, by batch size",
    "bench-threads.png": "Speed-up, and stable-baselines3's time over fastpg's, by number of threads, a core for each",
}
README_ROWS = (
    "ppo_update-small-64",
    "ppo_update-large-2048",
    "fisher_product-large-2048",
    "act-1",
    "gae-128x1024",
    "train-PPO-CartPole-v1-8",
    "train-TRPO-CartPole-v1-8-long",
)


def run_parts(parts: Iterable[str], seeds: int, tasks: str) -> list[str]:
    """Measure ``parts``, each in a process of its own but the first; returns the commands that failed."""
    RESULTS.mkdir(exist_ok=True)
    if "bench" in parts:
        (RESULTS / "bench.json").write_text(json.dumps(collect(), indent=1) + "\n", encoding="utf-8")
    groups = [part for part in parts if part in GROUPS]
    commands: list[list[str]] = []
    if groups:
        commands.append(["compare", *groups, "--json", str(RESULTS / "compare.json")])
    if "curves" in parts:
        commands.append(["curves"])
    if "time-to-score" in parts:
        scores = ["--tasks", tasks, "--seeds", str(seeds), "--json", str(RESULTS / "time_to_score.json")]
        commands.append(["time_to_score", *scores])
    if "final-return" in parts:
        commands.append(["final_return", "--tasks", tasks, "--json", str(RESULTS / "final_return.json")])
    failed = []
    for command in commands:
        result = subprocess.run([sys.executable, "-m", f"benchmarks.{command[0]}", *command[1:]], cwd=ROOT, check=False)
        failed += [command[0]] * (result.returncode != 0)
    return failed


def write_documents() -> None:
    """Put what is stored between the marks of the documents; parts that were not measured leave theirs as they are."""
    found = sections()
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8"), found), encoding="utf-8")


def sections() -> dict[str, str]:
    """Name of a pair of marks -> what is to stand between them, for everything that is stored."""
    found: dict[str, str] = {}
    if (bench := _stored("bench")) is not None:
        tables = (_bench_table(bench), _goals_table(bench), _peers_table(bench))
        found["bench"] = "\n\n".join([_quoted(_bench_header(bench)), *tables])
    if (compare := _stored("compare")) is not None:
        for group, stored in compare["groups"].items():
            found[group] = _group(stored)
        if all(group in compare["groups"] for group in GROUPS):
            found["readme"] = _readme_table(compare["groups"])
    if (curves := _stored("curves")) is not None:
        pictures = [f"![{text}](images/{name})" for name, text in PICTURES.items()]
        found["curves"] = "\n\n".join([_quoted(curves["header"]), *pictures])
    if (score := _stored("time_to_score")) is not None:
        found["time-to-score"] = _by_header(score["tasks"], score_table)
    if (returns := _stored("final_return")) is not None:
        found["final-return"] = _by_header(returns["tasks"], return_table)
    return found


def _stored(name: str) -> Any:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def filled(text: str, found: dict[str, str]) -> str:
    """``text`` with each of the sections ``found`` between its marks."""
    for name, section in found.items():
        pattern = re.compile(rf"(<!-- begin: {name} -->\n).*?(<!-- end: {name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, new=section: f"{match[1]}\n{new}\n\n{match[2]}", text)
    return text


def _by_header(rows: dict[str, Any], make_table: Callable[[dict[str, Any]], str]) -> str:
    """A table for each header, so that the commit of every row is named; the order of the rows is kept within one."""
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    for name, row in rows.items():
        groups.setdefault(tuple(row["header"]), {})[name] = row
    return "\n\n".join(f"{_quoted(header)}\n\n{make_table(group)}" for header, group in groups.items())


def _quoted(lines: Iterable[str]) -> str:
    return "  \n".join(f"> {line}" for line in lines)


def _bench_header(bench: dict[str, Any]) -> list[str]:
    kernels = f"{bench['backend']}, {bench['isa']}, {bench['compiler']}"
    lines = [f"{bench['cpu']}, {bench['cores']} cores, Python {bench['machine']['python']}, fastpg "]
    lines[0] += f"{bench['versions']['fastpg']} ({kernels}), commit {(bench['commit'] or 'unknown')[:10]}"
    peaks = [bench[f"fma_peak_gflops{suffix(n)}"] for n in (1, 2)]
    peak_text = " and ".join(f"{peak:.0f} GFLOP/s" for peak in peaks if peak)
    return [*lines, f"Peak of fused multiply-adds, float32, on one thread and on two: {peak_text}"]


def _bench_table(bench: dict[str, Any]) -> str:
    """Every task on one thread and on two."""
    lines = ["| | 1 thread | of peak | 2 threads | of peak |", "|---" * 5 + "|"]
    for task in SHORT:
        cells = [_title(task)]
        for end in ("", "_2t"):
            microseconds, share = bench[f"{task.name}_us{end}"], bench.get(f"{task.name}_peak_fraction{end}")
            cells.append("" if microseconds is None else duration(microseconds / 1e6))
            cells.append("" if share is None else f"{share:.0%}" + _plain(bench, task.name, end))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _title(task: Task) -> str:
    return f"{task.title}, {task.shape}".rstrip(", ")


def _plain(bench: dict[str, Any], name: str, end: str) -> str:
    """`` (92% plain)`` where the kernel does fewer operations than the plain algorithm."""
    share = bench.get(f"{name}_plain_peak_fraction{end}")
    return "" if share is None else f" ({share:.0%} plain)"


def _goals_table(bench: dict[str, Any]) -> str:
    """Every goal beside what was measured, and whether it is met."""
    lines = [f"| goal | at {GOAL_PEAK:g} GFLOP/s | at this peak | measured | |", "|---" * 5 + "|"]
    for task in SHORT:
        lines += [_time_goal(bench, task, end) for end in ("", "_2t") if f"{task.name}_us{end}" in GOALS]
        if f"{task.name}_peak_fraction" in GOALS:
            lines.append(_peak_goal(bench, task))
    return "\n".join(lines)


def _time_goal(bench: dict[str, Any], task: Task, end: str) -> str:
    """A row for the time of ``task`` on one thread, or on two with the ``end`` ``_2t``."""
    figure, n_threads = f"{task.name}_us{end}", 2 if end else 1
    goal, microseconds, peak = GOALS[figure], bench[figure], bench[f"fma_peak_gflops{suffix(n_threads)}"]
    here: float | None = goal
    if task.name in ARITHMETIC:
        here = goal * GOAL_PEAK * n_threads / peak if peak else None
    notes = ["two threads"] * (n_threads == 2) + [GOAL_NOTES[name] for name in GOAL_NOTES if name == figure]
    times = ["" if time is None else duration(time / 1e6) for time in (goal, here, microseconds)]
    verdict = "" if here is None or microseconds is None else _verdict(microseconds <= here)
    return f"| {', '.join([_title(task), *notes])} | {' | '.join(times)} | {verdict} |"


def _peak_goal(bench: dict[str, Any], task: Task) -> str:
    """A row for the fraction of the peak on one thread, by the operations that the kernel does."""
    figure = f"{task.name}_peak_fraction"
    goal, share, plain = GOALS[figure], bench.get(figure), bench.get(f"{task.name}_plain_peak_fraction")
    measured = "" if share is None else f"{share:.0%}" + _plain(bench, task.name, "")
    verdict = "" if share is None else _verdict(share >= goal)
    if verdict == "missed" and plain is not None and plain >= goal:
        verdict += ", met by the plain algorithm's operations"
    return f"| {_title(task)}, of peak | {goal:.0%} | {goal:.0%} | {measured} | {verdict} |"


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


def _peers_table(bench: dict[str, Any]) -> str:
    present = {name: figures for name, figures in bench["peers"].items() if "version" in figures}
    if not present:
        return "No peer was installed."
    heads = [f"{name} {figures['version']}" for name, figures in present.items()]
    lines = ["| times as long, one thread each | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for task in SHORT:
        ratios = {name: figures.get(f"{task.name}_ratio") for name, figures in present.items()}
        if any(ratios.values()):
            cells = [_ratio(ratio, RATIO_GOALS.get(name, {}).get(task.name)) for name, ratio in ratios.items()]
            lines.append(f"| {task.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ratio(ratio: float | None, goal: float | None) -> str:
    """``51.9x``, or with a goal ``51.9x (goal 55x, missed)``."""
    if ratio is None:
        return ""
    return f"{ratio:.3g}x" + ("" if goal is None else f" (goal {goal:g}x, {_verdict(ratio >= goal)})")


def _group(stored: dict[str, Any]) -> str:
    rows = list(stored["workloads"].values())
    lines = [f"- {line}" for line in rates(rows, stored["machine"]["fma_peak_gflops"])]
    lines += [f"- {line}" for line in compare_goals(stored["workloads"])]
    return "\n\n".join([_quoted(stored["header"]), table(rows), *(["\n".join(lines)] if lines else [])])


def compare_goals(workloads: dict[str, dict[str, Any]]) -> list[str]:
    """The goals for ratios within one workload, those that were measured."""
    lines = []
    for name, (ours, peer, goal) in COMPARE_GOALS.items():
        seconds = workloads.get(name, {}).get("seconds", {})
        if ours in seconds and peer in seconds:
            ratio = seconds[peer] / seconds[ours]
            speed = f"{ours} is {ratio:.3g} times as fast as {peer}"
            lines.append(f"{workloads[name]['title']}: {speed} (goal {goal:g}, {_verdict(ratio >= goal)}).")
    return lines


def _readme_table(groups: dict[str, Any]) -> str:
    """A few rows, and those of the peers' columns that have something in them."""
    rows = {name: row for group in groups.values() for name, row in group["workloads"].items()}
    return table([rows[name] for name in README_ROWS if name in rows])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="comma-separated parts")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each contender to each score")
    tasks = ",".join(task.env_id for task in TASKS)
    parser.add_argument("--tasks", default=tasks, help="of time-to-score and final-return")
    parser.add_argument("--write", action="store_true", help="measure nothing")
    given = parser.parse_args()
    parts = given.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--only: expected some of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    failed = [] if given.write else run_parts(parts, given.seeds, given.tasks)
    write_documents()
    if failed:
        sys.exit(f"The documents are written, but something failed in: {', '.join(failed)}")


if __name__ == "__main__":
    main()
