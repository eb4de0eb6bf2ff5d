"""What the driver costs a trial.

    .venv/bin/python scripts/bench_driver.py                      1,000 trials that train nothing

It runs the real driver on trials whose epochs return at once: Ray, suggestions, rules and
ASHA, journal, TensorBoard, live table. A trial's time is the time from the end of the trial before
to its own end, as the live table has it: on the wall clock, in which the workers share the cores,
and in CPU seconds of the driver process, all of its threads. Of the single trials' times medians
are shown, as one of them may hold a garbage collection. The first trial waits for the workers to
start: that is shown apart, and in nothing else.

What grows with the trials is shown too, each by the trial: the driver's resident memory (the
slope of a straight line through all trials from the hundredth on), the journal's bytes, and what
it takes to read it again, for --resume and for the frames.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import tune
from rich.console import Console

from facesiam.config import EpochMetrics
from facesiam.config.metrics import FIELDS
from facesiam.config.settings import positive
from facesiam.device.cores import cores
from search.resources.allocation import Allocation, Setup
from search.results import load as load_frames
from search.runs.line_format import EPOCHS, TRIALS
from search.space import SearchSpace, load
from search.space.algorithms import ALGORITHMS
from search.space.file_dump import dump
from search.tuning import driver, journal_replay, ray_cluster
from search.tuning.live_table import LiveTable

SEARCH = """
fixed: {{epochs: {epochs}}}
search:
  join: [concat, difference]
  lr: {lr}
  pretrained: [false, true]
  freeze: {{choices: [false, true], when: {{pretrained: true}}}}
  augment: [false, true]
prune: {{asha: {asha}}}
algorithm: {algorithm}
trials: {trials}
"""
"""As spaces/code2.yaml, without the net that a small machine has no room for."""
LR = "{low: 1e-5, high: 1e-3, log: true}"


class Idle(tune.Trainable):
    """A trial that trains nothing: each epoch returns at once what its settings give."""

    def setup(self, config: dict[str, Any]) -> None:
        """Begin with the first epoch."""
        self.settings, self.epoch = config["settings"], 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next trial."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Return an epoch of a net that learns, the better the nearer its lr is to 1e-4."""
        lr, age = float(self.settings["lr"]), (self.epoch + 1) / int(self.settings["epochs"])
        accuracy = 0.6 + 0.3 * age / (1 + abs(lr / 1e-4 - 1))
        metrics = EpochMetrics(
            **dict.fromkeys(FIELDS, 0.5)
            | {"epoch": self.epoch, "val_acc": accuracy, "val_pairs": 2000, "updates": 100}
        )
        self.epoch += 1
        return {**metrics.to_dict(), "done": self.epoch >= int(self.settings["epochs"])}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


class Watch(LiveTable):
    """A live table that notes when each trial ended and what the driver had used by then."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space.count(), space.objective, Console(file=io.StringIO()))
        self.process = psutil.Process()
        self.moments: list[tuple[float, float, float]] = []
        """Wall clock, CPU seconds and resident MiB, at the start and after each trial."""

    def note(self) -> None:
        """Note the moment."""
        rss = self.process.memory_info().rss / 2**20
        self.moments.append((time.perf_counter(), time.process_time(), rss))

    def ended(self, *told: Any, **more: Any) -> None:
        """Show how a trial ended, and note when."""
        super().ended(*told, **more)
        self.note()


def space_of(args: argparse.Namespace, folder: Path) -> SearchSpace:
    """Return the searched space."""
    grid = -(-args.trials // 12)  # 12 combinations of the other settings
    lr = f"{{low: 1e-6, high: {grid}e-6, step: 1e-6}}" if args.algorithm == "grid" else LR
    text = SEARCH.format(
        lr=lr,
        algorithm=args.algorithm,
        trials=args.trials,
        epochs=args.epochs,
        asha=f"{{grace: {min(3, args.epochs)}}}" if args.asha else "false",
    )
    file = folder / "bench.yaml"
    file.write_text(text)
    return load(file)


def search(args: argparse.Namespace, folder: Path) -> tuple[Watch, dict[str, float]]:
    """Run the search and return what was noted, and what its journal costs."""
    space = space_of(args, folder)
    setup = Setup(run=folder / "run", data="", concurrent=args.concurrent, cpus=1)
    setup.run.mkdir()
    (setup.run / "space.yaml").write_text(dump(space))
    ray_cluster.connect(None)
    watch = Watch(space)
    watch.note()
    shares = Allocation(space, setup, ray_cluster.machines())
    assert driver.run(shares, watch, Idle) is None
    ray.shutdown()
    return watch, journal(space, setup.run)


def journal(space: SearchSpace, run: Path) -> dict[str, float]:
    """Return what a run's journal takes by the trial: bytes, and milliseconds to read it."""
    trials = int(space.count() or 1)
    size = sum((run / name).stat().st_size for name in (TRIALS, EPOCHS))
    moments = [time.perf_counter()]
    journal_replay.replay(space, run)
    moments.append(time.perf_counter())
    load_frames(run)
    moments.append(time.perf_counter())
    resume, frames = (1000 * (b - a) / trials for a, b in zip(moments, moments[1:], strict=False))
    return {"journal_bytes": size / trials, "resume_ms": resume, "frames_ms": frames}


def figures(watch: Watch) -> dict[str, Any]:
    """Return the figures of a search that has ended."""
    wall, cpu, rss = zip(*watch.moments, strict=True)
    ended = len(wall) - 1
    found: dict[str, Any] = {"trials": ended, "seconds_to_first_end": wall[1] - wall[0]}
    for name, clock in (("wall", wall), ("cpu", cpu)):
        each = [1000 * (b - a) for a, b in zip(clock, clock[1:], strict=False)][1:]
        found[f"{name}_ms"] = statistics.mean(each)
        if len(each) < 199:  # too few for a hundredth that the last ones do not overlap
            continue
        hundredth, last = (statistics.median(part) for part in (each[49:149], each[-100:]))
        found |= {
            f"{name}_ms_hundredth": hundredth,
            f"{name}_ms_last": last,
            f"{name}_ratio": last / hundredth,
        }
    if ended >= 300:
        later = range(100, ended + 1)
        slope = statistics.linear_regression(later, rss[100:]).slope
        found["rss_kib_slope"] = 1024 * slope
    return found | {"rss_mib_start": rss[0], "rss_mib_last": rss[-1]}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--algorithm", choices=ALGORITHMS[:-1], default="tpe")
    parser.add_argument("--trials", type=_several, default=1000)
    parser.add_argument("--epochs", type=positive, default=1, help="epochs a trial")
    parser.add_argument("--concurrent", type=positive, help="trials at once (a core each)")
    parser.add_argument("--no-asha", dest="asha", action="store_false", help="rules only")
    parser.add_argument("--profile", metavar="FILE", help="write the driver's cProfile there")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder:
        watch, read = (
            profile.runcall(search, args, Path(folder))
            if args.profile
            else (search(args, Path(folder)))
        )
    if args.profile:
        profile.dump_stats(args.profile)
    found = (
        figures(watch)
        | read
        | {
            "algorithm": args.algorithm,
            "epochs": args.epochs,
            "asha": args.asha,
            "cores": cores(),
            "python": platform.python_version(),
            "ray": version("ray"),
            "optuna": version("optuna"),
        }
    )
    print(json.dumps(found) if args.json else as_text(found))


def _several(text: str) -> int:
    trials = positive(text)
    if trials < 2:
        raise argparse.ArgumentTypeError("must be at least 2, as the first is not counted")
    return trials


def as_text(found: dict[str, Any]) -> str:
    """Say the figures in a few lines."""
    lines = [
        "{algorithm}, {trials} trials of {epochs} epochs, asha {asha}, {cores} cores, Python "
        "{python}, ray {ray}, optuna {optuna}"
    ]
    for name in ("wall", "cpu"):
        lines.append(f"{name:<4}  {{{name}_ms:.1f}} ms a trial, the first left out")
        if f"{name}_ratio" in found:
            lines[-1] += (
                f"; median of trials 51-150 {{{name}_ms_hundredth:.1f}}, of the last 100 "
                f"{{{name}_ms_last:.1f}}: {{{name}_ratio:.2f}} times"
            )
    lines += ["{seconds_to_first_end:.1f} s to the end of the first trial"]
    lines += ["driver's RSS {rss_mib_start:.0f} MiB at the start, {rss_mib_last:.0f} at the end"]
    if "rss_kib_slope" in found:
        lines[-1] += "; from the hundredth trial on {rss_kib_slope:.1f} KiB a trial"
    lines += [
        "the journal: {journal_bytes:.0f} bytes a trial; read again for --resume in "
        "{resume_ms:.2f} ms a trial, for the frames in {frames_ms:.2f}"
    ]
    return "\n".join(lines).format(**found)


if __name__ == "__main__":
    sys.exit(main())
