"""What the driver costs a trial, and how long a search takes to start.

    .venv/bin/python scripts/bench_driver.py                      1,000 trials that train nothing
    .venv/bin/python scripts/bench_driver.py --start              command to first training step
    .venv/bin/python scripts/bench_driver.py --next               a reused worker, trial to trial

The first runs the real driver on trials whose epochs return at once: Ray, suggestions, rules and
ASHA, journal, TensorBoard, board. A trial's time is the time from the end of the trial before to
its own end, as the board is told of it: on the wall clock, in which the workers share the cores,
and in CPU seconds of the driver process, all of its threads. Of the single trials' times medians
are shown, as one of them may hold a garbage collection. The first trial waits for the workers to
start: that is shown apart, and in nothing else.

The second runs one trial of one epoch of the quickstart by `python -m search.run`, in a process of
its own, and lists when its modules are imported and its functions called, in driver and worker. A
`sitecustomize` module that only they see notes that. The faces are packed before.
"""

from __future__ import annotations

import argparse
import cProfile
import dataclasses
import io
import json
import os
import platform
import shutil
import statistics
import subprocess
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

from facesiam.config import GEOMETRY, EpochMetrics, TrialConfig, positive
from facesiam.data import prepare
from facesiam.trainable import FaceTrial
from search import driver
from search.board import Board
from search.machine import Setup, Shares
from search.space import SearchSpace, load

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


class Idle(tune.Trainable):  # type: ignore[misc]
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
        metrics = EpochMetrics(**{
            item.name: 0.5 for item in dataclasses.fields(EpochMetrics)
        } | {"epoch": self.epoch, "val_acc": accuracy, "val_pairs": 2000, "updates": 100})
        self.epoch += 1
        return {**metrics.to_dict(), "done": self.epoch >= int(self.settings["epochs"])}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


class Watch(Board):
    """The board, which also notes when each trial ended and what the driver had used by then."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space.count(), space.metric, space.mode, Console(file=io.StringIO()))
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
        lr=lr, algorithm=args.algorithm, trials=args.trials, epochs=args.epochs,
        asha=f"{{grace: {min(3, args.epochs)}}}" if args.asha else "false",
    )
    file = folder / "bench.yaml"
    file.write_text(text)
    return load(file)


def search(args: argparse.Namespace, folder: Path) -> Watch:
    """Run the search and return what was noted."""
    space = space_of(args, folder)
    setup = Setup(run=folder / "run", data="", concurrent=args.concurrent, cpus=1)
    setup.run.mkdir()
    driver.connect(None)
    watch = Watch(space)
    watch.note()
    shares = Shares(space, setup, driver.cluster())
    assert driver.run(space, setup, shares, watch, Idle)
    ray.shutdown()
    return watch


def figures(watch: Watch) -> dict[str, Any]:
    """Return the figures of a search that has ended."""
    wall, cpu, rss = zip(*watch.moments, strict=True)
    ended = len(wall) - 1
    found: dict[str, Any] = {"trials": ended, "seconds_to_first_end": wall[1] - wall[0]}
    for name, clock in (("wall", wall), ("cpu", cpu)):
        each = [1000 * (b - a) for a, b in zip(clock, clock[1:], strict=False)]
        hundredth, last = each[50:150] or each, each[-100:]
        found |= {
            f"{name}_ms": statistics.mean(each[1:]),
            f"{name}_ms_first_100": statistics.mean(each[1:100]),
            f"{name}_ms_hundredth": statistics.median(hundredth),
            f"{name}_ms_last": statistics.median(last),
            f"{name}_ms_last_mean": statistics.mean(last),
            f"{name}_ratio": statistics.median(last) / statistics.median(hundredth),
        }
    at = {"start": 0, "100": min(100, ended), "last": ended}
    return found | {f"rss_mib_{name}": rss[index] for name, index in at.items()}


WATCHED = {
    "torch": [], "torchvision": [], "ray.tune": [], "optuna": [], "pandas": [],
    "scipy.stats": [], "tensorboardX": [], "search.space": ["load"], "search.recorder": [],
    "search.machine": ["this_machine"], "search.driver": ["connect", "run"],
    "facesiam.data": ["prepare", "open_packed"], "facesiam.train": ["epochs"],
    "facesiam.trainable": ["FaceTrial.setup", "FaceTrial.step"],
}
"""Modules whose imports are noted, and their functions whose calls are."""
HOOKS = """
import functools, importlib.machinery, os, sys, time

WATCHED = {watched!r}

def note(what):
    with open({file!r}, "a") as file:
        file.write(f"{{time.time()}}\\t{{os.getpid()}}\\t{{what}}\\n")

def timed(what, function):
    @functools.wraps(function)
    def wrapped(*args, **more):
        note(what + " begins")
        try:
            return function(*args, **more)
        finally:
            note(what + " ends")
    return wrapped

def wrap(module, name):
    owner = module
    *outer, last = name.split(".")
    for each in outer:
        owner = getattr(owner, each)
    setattr(owner, last, timed(name, getattr(owner, last)))

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in WATCHED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = timed("import " + name, spec.loader.exec_module)
        def exec_module(module):
            load(module)
            for each in WATCHED[name]:
                wrap(module, each)
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder)
"""
Stamp = tuple[float, str, str]
"""Seconds since the command was given; driver or worker; what began or ended."""


def start() -> list[Stamp]:
    """Run a small search by its command; return the time stamps up to its first step's end."""
    root = Path(__file__).parent.parent
    space = load(root / "spaces" / "quickstart.yaml").override(["epochs=1"])
    prepare(space.data, sorted({GEOMETRY[str(space.fixed["protocol"])]}))
    folder = Path(tempfile.mkdtemp())
    try:
        file = folder / "stamps"
        (folder / "sitecustomize.py").write_text(HOOKS.format(watched=WATCHED, file=str(file)))
        command = [
            sys.executable, "-m", "search.run", str(space.path), "--set", "epochs=1",
            "--set", "lr=1e-3", "--set", "augment=false", "--out", str(folder), "--name", "start",
        ]
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        began = time.time()
        process = subprocess.Popen(
            command, cwd=root, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            stdout=subprocess.DEVNULL,
        )
        if process.wait():
            sys.exit(f"the search ended with exit code {process.returncode}")
        lines = [line.split("\t") for line in file.read_text().splitlines()]
        stamps = [
            (float(at) - began, "driver" if int(pid) == process.pid else "worker", what)
            for at, pid, what in lines
        ]
    finally:
        shutil.rmtree(folder)
    last = next(i for i, stamp in enumerate(stamps) if stamp[2] == "FaceTrial.step ends")
    return stamps[: last + 1]


def first_step(stamps: list[Stamp]) -> float:
    """Return when the first training step began."""
    return next(at for at, _, what in stamps if what == "FaceTrial.step begins")


def next_trials() -> dict[str, list[float]]:
    """Return, by join of AlexNet, the seconds until a reused worker can begin its first step."""
    data, found = prepare("drawn", ["letterbox"], progress=False), {}
    for join in ("difference", "concat"):
        settings = TrialConfig.from_dict({"net": "alexnet", "join": join}).to_dict()
        with tempfile.TemporaryDirectory() as run:
            config = {
                "settings": settings, "data": str(data.folder), "weights": {}, "run": run,
                "cpus": os.cpu_count(), "device": "cpu", "noted": 0, "metric": "val_acc",
                "mode": "max", "bar": None,
            }
            trial, found[join] = FaceTrial(config | {"trial": "0"}), []
            for number in range(1, 6):
                assert trial.training is not None
                trial.training.measure(2)
                start = time.perf_counter()
                trial.reset_config(config | {"trial": str(number)})
                found[join].append(time.perf_counter() - start)
    return found


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--algorithm", choices=["tpe", "random", "grid"], default="tpe")
    parser.add_argument("--trials", type=_several, default=1000)
    parser.add_argument("--epochs", type=positive, default=1, help="epochs a trial")
    parser.add_argument("--concurrent", type=positive, help="trials at once (a core each)")
    parser.add_argument("--no-asha", dest="asha", action="store_false", help="rules only")
    parser.add_argument("--start", action="store_true", help="time the start of a search instead")
    parser.add_argument("--next", action="store_true",
                        help="time a reused worker from one trial to the next instead")
    parser.add_argument("--profile", metavar="FILE", help="write the driver's cProfile there")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    if args.next:
        print(json.dumps(next_trials()))
        return
    if args.start:
        stamps = start()
        print(json.dumps(stamps) if args.json else as_timeline(stamps))
        return
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder:
        watch = profile.runcall(search, args, Path(folder)) if args.profile else (
            search(args, Path(folder))
        )
    if args.profile:
        profile.dump_stats(args.profile)
    found = figures(watch) | {
        "algorithm": args.algorithm, "epochs": args.epochs, "asha": args.asha,
        "cores": os.cpu_count(), "python": platform.python_version(),
        "ray": version("ray"), "optuna": version("optuna"),
    }
    print(json.dumps(found) if args.json else as_text(found))


def _several(text: str) -> int:
    trials = positive(text)
    if trials < 2:
        raise argparse.ArgumentTypeError("must be at least 2, as the first is not counted")
    return trials


def as_text(found: dict[str, Any]) -> str:
    """Say the figures in a few lines."""
    lines = ["{algorithm}, {trials} trials of {epochs} epochs, asha {asha}, {cores} cores, python "
             "{python}, ray {ray}, optuna {optuna}"]
    lines += [
        f"{name:<5} ms a trial: {{{name}_ms:.1f}}; first 100 {{{name}_ms_first_100:.1f}}; "
        f"median of 51-150 {{{name}_ms_hundredth:.1f}}, of the last 100 {{{name}_ms_last:.1f}} "
        f"(mean {{{name}_ms_last_mean:.1f}}); ratio {{{name}_ratio:.2f}}"
        for name in ("wall", "cpu")
    ]
    lines += ["seconds to the end of the first: {seconds_to_first_end:.1f}"]
    lines += ["driver's RSS in MiB: start {rss_mib_start:.0f}, after 100 {rss_mib_100:.0f}, after "
              "the last {rss_mib_last:.0f}"]
    return "\n".join(lines).format(**found)


def as_timeline(stamps: list[Stamp]) -> str:
    """Say when what happened, a line each."""
    lines = [f"{at:6.2f} s  {who:<6}  {what}" for at, who, what in stamps]
    lines.append(f"{first_step(stamps):.2f} s from the command to the first training step")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
