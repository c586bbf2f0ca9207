"""Ratios by batch size and speed-up by threads: measured, stored, drawn.

    python -m benchmarks.curves                    # measure and draw, about five minutes with the peers installed
    python -m benchmarks.curves --plot-only        # draw what is in benchmarks/results/curves.json

By batch size: how many times as long a PPO minibatch update and a Fisher product take with every peer, and fastpg's own
fraction of the machine's peak. By threads: how many times as fast fastpg gets with more threads, and with the same
number of threads how many times as long stable-baselines3 takes. Results are checked first. By batch size contenders
take turns, and medians count; by threads one comes after the other, and best turns count: idle threads of PyTorch keep
their cores busy for a while, and a turn of two threads needs two quiet cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fastpg.bench.peers import PEERS, use_one_thread

use_one_thread()

from benchmarks import harness, updates  # noqa: E402
from benchmarks import machine as described  # noqa: E402
from fastpg.bench import machine, problems, report, tasks  # noqa: E402
from fastpg.bench.timing import Run, take_turns  # noqa: E402

ROOT = Path(__file__).parent.parent
DATA = ROOT / "benchmarks" / "results" / "curves.json"
IMAGES = ROOT / "docs" / "images"
BATCH_SIZES = (16, 64, 256, 1024, 4096, 16384, 65536)
LARGEST_OF_PEERS = 16384  # beyond, a peer takes seconds per call, and nothing changes
N_TURNS = 12


def by_batch_size() -> dict[str, dict[str, Any]]:
    """Kind -> ``seconds`` (contender -> one value per batch size, None where it did not run) and ``fraction``."""
    makers = {
        "PPO minibatch update": lambda size: updates.ppo_update("large", size),
        "Fisher product": lambda size: tasks.fisher_product(f"fisher-{size}", layout=problems.LARGE, n_samples=size),
    }
    peak = described.fma_peak_gflops()
    found: dict[str, dict[str, Any]] = {}
    for kind, make in makers.items():
        curves: dict[str, Any] = {"seconds": {}, "fraction": []}
        for size in BATCH_SIZES:
            seconds = _seconds(make(size), with_peers=size <= LARGEST_OF_PEERS)
            task = make(size)
            rate = task.flops * task.n_units / seconds["fastpg"] / 1e9
            curves["fraction"].append(rate / peak if peak else None)
            for name in (*(peer.name for peer in PEERS), "fastpg"):
                curves["seconds"].setdefault(name, []).append(seconds.get(name))
        found[kind] = curves
    return found


def _seconds(task: tasks.Task, *, with_peers: bool) -> dict[str, float]:
    """Contender -> median seconds of one call on one thread."""
    runs = {"fastpg": report.checked(task, None, 1)}
    for peer in PEERS if with_peers else ():
        if peer.missing() is None and task.kind in peer.modules:
            runs[peer.name] = peer.prepare(task)
            task.check(runs[peer.name]())
    return {name: times.median for name, times in take_turns(runs, n_turns=N_TURNS, turn_seconds=0.02).items()}


def by_threads() -> dict[str, Any]:
    """``threads``, and task -> contender -> seconds of the best turn for each number of threads."""
    counts = [n for n in (1, 2, 4, 8, 16, 32) if machine.separate_cores(n)]
    found: dict[str, Any] = {"threads": counts, "seconds": {}}
    chosen = [*(updates.ppo_update("large", size) for size in (64, 2048)), *tasks.SHORT[2:4]]
    for task in chosen:
        found["seconds"][f"{task.title}, {task.shape}"] = rows = {"fastpg": [], "stable-baselines3": []}
        for n_threads in reversed(counts):
            with machine.pinned(machine.separate_cores(n_threads) or []):
                runs = {"fastpg": report.checked(task, None, n_threads)}
                sb3 = PEERS[0]
                if sb3.missing() is None and task.kind in sb3.modules:
                    runs[sb3.name] = sb3.prepare(task)
                    _use_torch_threads(n_threads)
                    task.check(runs[sb3.name]())
                best = {name: _best_turn(run) for name, run in runs.items()}
            for name, row in rows.items():
                row.insert(0, best.get(name))
    return found


def _best_turn(run: Run) -> float:
    return take_turns({"": run}, n_turns=4 * N_TURNS, turn_seconds=0.005)[""].best


def _use_torch_threads(n_threads: int) -> None:
    import torch

    torch.set_num_threads(n_threads)


def draw(curves: dict[str, Any]) -> list[Path]:
    """Write the two pictures."""
    import matplotlib

    matplotlib.use("Agg")
    IMAGES.mkdir(exist_ok=True)
    return [_draw_batch_sizes(curves["by_batch_size"]), _draw_threads(curves["by_threads"])]


def _draw_batch_sizes(kinds: dict[str, Any]) -> Path:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(kinds) + 1, figsize=(4.2 * (len(kinds) + 1), 3.6), layout="constrained")
    for axis, (kind, curves) in zip(axes, kinds.items(), strict=False):
        ours = curves["seconds"]["fastpg"]
        for name, theirs in curves["seconds"].items():
            points = [(b, t / o) for b, t, o in zip(BATCH_SIZES, theirs, ours, strict=True) if t is not None]
            if name != "fastpg" and points:
                axis.plot(*zip(*points, strict=True), marker="o", label=name)
        axis.axhline(1.0, color="black", linewidth=0.8)
        axis.set(title=f"{kind}: time over fastpg's", xscale="log", yscale="log", xlabel="samples")
        _label_batch_sizes(axis)
        axis.legend()
        axes[-1].plot(BATCH_SIZES, curves["fraction"], marker="o", label=kind)
    axes[-1].set(title="fastpg: fraction of the peak", xscale="log", ylim=(0, 1), xlabel="samples")
    _label_batch_sizes(axes[-1])
    axes[-1].legend()
    return _save(figure, "bench-batch-size.png")


def _label_batch_sizes(axis: Any) -> None:
    axis.minorticks_off()
    axis.set_xticks(BATCH_SIZES, [f"{size // 1024}k" if size >= 1024 else str(size) for size in BATCH_SIZES])


def _draw_threads(data: dict[str, Any]) -> Path:
    import matplotlib.pyplot as plt

    threads = data["threads"]
    figure, (speed_up, ratio) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    for title, rows in data["seconds"].items():
        ours, theirs = rows["fastpg"], rows["stable-baselines3"]
        speed_up.plot(threads, [ours[0] / seconds for seconds in ours], marker="o", label=title)
        if theirs[0] is not None:
            ratio.plot(threads, [t / o for t, o in zip(theirs, ours, strict=True)], marker="o", label=title)
    speed_up.plot(threads, threads, color="black", linewidth=0.8, linestyle="--", label="perfect")
    speed_up.set(title="fastpg: times as fast as with one thread", xlabel="threads", xticks=threads)
    ratio.set(title="stable-baselines3's time over fastpg's", xlabel="threads, both", xticks=threads, yscale="log")
    speed_up.legend(fontsize=7)
    ratio.legend(fontsize=7)
    return _save(figure, "bench-threads.png")


def _save(figure: Any, name: str) -> Path:
    figure.savefig(IMAGES / name, dpi=110, metadata={"Software": None})
    return IMAGES / name


def main() -> None:
    """Measure unless told otherwise, then draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot-only", action="store_true", help="draw what was measured before")
    if not parser.parse_args().plot_only:
        threads = by_threads()  # first: what this thread is bound to below is inherited by the threads of the pool
        core = harness.pin_to_one_core()
        header, about = described.header(core), described.describe()
        curves = {"machine": about, "header": header, "by_batch_size": by_batch_size(), "by_threads": threads}
        DATA.parent.mkdir(parents=True, exist_ok=True)
        DATA.write_text(json.dumps(curves, indent=1) + "\n", encoding="utf-8")
    for path in draw(json.loads(DATA.read_text(encoding="utf-8"))):
        print(f"Saved {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
