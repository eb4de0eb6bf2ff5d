"""How long a search takes to start, and a worker from one trial to the next.

    .venv/bin/python scripts/bench_start.py                       command to first training step
    .venv/bin/python scripts/bench_start.py --next                a reused worker, trial to trial

The first runs one trial of one epoch of the quickstart by `python -m search.run`, in a process of
its own, and lists when its modules are imported and its functions called, in driver and worker. A
`sitecustomize` module that only they see notes that. The faces are packed before.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from facesiam.config import TrialConfig
from facesiam.config.trial import Packing, packing_of
from facesiam.data.preparation import prepare
from facesiam.device.cores import cores
from facesiam.trainable import FaceTrial
from search.space import load

WATCHED = {
    "torch": [],
    "torchvision": [],
    "ray.tune": [],
    "optuna": [],
    "pandas": [],
    "scipy.stats": [],
    "tensorboardX": [],
    "search.space.file_format": ["load"],
    "search.tuning.recorder": [],
    "search.resources.allocation": ["this_machine"],
    "search.tuning.driver": ["connect", "run"],
    "facesiam.data.preparation": ["prepare"],
    "facesiam.data.dataset": ["open_packed"],
    "facesiam.training.loop": ["Training"],
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
    space = load(root / "spaces" / "quickstart.yaml").override(["epochs=1"]).packed()
    prepare(space.data, sorted({packing_of(config) for config in space.examples()}))
    folder = Path(tempfile.mkdtemp())
    try:
        file = folder / "stamps"
        (folder / "sitecustomize.py").write_text(HOOKS.format(watched=WATCHED, file=str(file)))
        command = [
            sys.executable,
            "-m",
            "search.run",
            str(space.path),
            "--set",
            "epochs=1",
            "--set",
            "lr=1e-3",
            "--set",
            "augment=false",
            "--out",
            str(folder),
            "--name",
            "start",
        ]
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        began = time.time()
        process = subprocess.Popen(
            command,
            cwd=root,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
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
    data, found = prepare("drawn", [Packing("letterbox", 224)], progress=False), {}
    for join in ("difference", "concat"):
        settings = TrialConfig.from_dict({"net": "alexnet", "join": join}).to_dict()
        with tempfile.TemporaryDirectory() as run:
            config = {
                "settings": settings,
                "data": str(data.folder),
                "weights": {},
                "run": run,
                "cpus": cores(),
                "device": "cpu",
                "noted": 0,
                "metric": "val_acc",
                "mode": "max",
                "keep_threshold": None,
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--next",
        action="store_true",
        help="time a reused worker from one trial to the next instead",
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    if args.next:
        found = next_trials()
        print(
            json.dumps(found)
            if args.json
            else "\n".join(
                f"alexnet {join}: {', '.join(f'{each:.3f}' for each in seconds)} s from one trial "
                "to the next"
                for join, seconds in found.items()
            )
        )
        return
    stamps = start()
    print(json.dumps(stamps) if args.json else as_timeline(stamps))


def as_timeline(stamps: list[Stamp]) -> str:
    """Say when what happened, a line each."""
    lines = [f"{at:6.2f} s  {who:<6}  {what}" for at, who, what in stamps]
    lines.append(f"{first_step(stamps):.2f} s from the command to the first training step")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
