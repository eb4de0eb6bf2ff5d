"""What a search loses when things die: a cluster of three machines, kills at random, and a count.

    .venv/bin/python tests/cluster/soak.py                          ten kills, a folder that all share
    .venv/bin/python tests/cluster/soak.py --storage s3 --kills 5   an S3 server, no shared folder

It starts a head and two workers, each in a network of its own where the machine allows (root and
`ip netns`), else on loopback; where it can, the workers see neither this code nor the data. A
search of small nets on drawn faces runs there. From a seed it kills the driver, the process of a
trial or a whole machine (a new one comes), and resumes the search where the driver died, until
the search ends. What it prints comes from the run's journal.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from machines import Machines
from nodes import Node

from facesiam.config.settings import positive
from search.runs.journal import read_events
from search.runs.line_format import EPOCHS, TRIALS
from search.runs.mirror import folder_for

SPACE = """
fixed: {{image_size: 64, hidden: 16, batch_size: 4, precision: fp32, join: difference, epochs: 6}}
search: {{lr: {{low: 1e-5, high: 3e-3, log: true}}, augment: [false, true]}}
algorithm: tpe
trials: {trials}
metric: val_loss
prune: {{asha: {{grace: 2, factor: 2}}}}
"""
KINDS = ("driver", "driver", "driver", "trial", "machine")
"""What is killed, as often as it is named."""
MOST_SECONDS = 900


class Soak:
    """A search on these machines in which things die.

    Args:
        machines: where it runs.
        folder: for the run and the driver's log.
        trials: of the search.
        seed: of what dies, and when.
        storage: folder or s3.
        lines: of the journal, the most between two deaths.
    """

    def __init__(
        self,
        machines: Machines,
        folder: Path,
        trials: int,
        seed: int,
        storage: str = "folder",
        lines: int = 8,
    ) -> None:
        self.machines, self.folder, self.rng = machines, folder, random.Random(seed)
        self.trials, self.storage, self.lines = trials, storage, lines
        self.space = folder / "soak.yaml"
        self.space.write_text(SPACE.format(trials=trials))
        self.url = machines.url.replace("?", f"/{folder.name}?") if storage == "s3" else ""
        self.killed: Counter[str] = Counter()
        self.log = folder / "driver.log"
        self.seconds = 0.0

    @property
    def run(self) -> Path:
        """The run's folder, on the driver's machine."""
        if not self.url:
            return self.folder / "runs" / "soak"
        was, os.environ["FACESIAM_CACHE"] = (
            os.environ.get("FACESIAM_CACHE"),
            str(self.machines.cache),
        )
        try:
            return folder_for(self.url.replace("?", "/soak?"))
        finally:
            os.environ.pop("FACESIAM_CACHE") if was is None else os.environ.update(
                FACESIAM_CACHE=was
            )

    def go(self, kills: int, kinds: tuple[str, ...] = KINDS) -> int:
        """Run the search to its end with so many kills in between; return its exit code."""
        began, driver = time.monotonic(), self.start()
        try:
            while kills and driver.poll() is None:
                if not self.wait_for_lines(driver, self.rng.randint(2, self.lines)):
                    break
                kind = self.rng.choice(kinds)
                if not self._kill(kind, driver):
                    continue
                kills -= 1
                self.killed[kind] += 1
                if kind == "driver":
                    driver = self.start()
            return driver.wait(max(1.0, MOST_SECONDS - (time.monotonic() - began)))
        finally:
            driver.kill()
            driver.wait()
            self.seconds = time.monotonic() - began

    def start(self) -> subprocess.Popen[Any]:
        """Start the driver, with --resume where there is a run already."""
        command = [
            sys.executable,
            "-m",
            "search.run",
            str(self.space),
            "--data",
            str(self.machines.faces),
            "--out",
            self.url or str(self.folder / "runs"),
            "--address",
            self.machines.cluster.address,
            "--cpus",
            "1",
        ]
        if (self.run / "manifest.json").exists():
            command.append("--resume")
        with self.log.open("ab") as log:
            return self.machines.cluster.run(
                command, env=self.machines.environment, cwd=self.folder, stdout=log, stderr=log
            )

    def wait_for_lines(self, driver: subprocess.Popen[Any], lines: int) -> bool:
        """Wait until the journal has so many more lines and a moment more; say whether it runs."""
        wanted = self._lines() + lines
        while driver.poll() is None and self._lines() < wanted:
            time.sleep(0.1)
        time.sleep(self.rng.random() * 0.5)
        return driver.poll() is None

    def _lines(self) -> int:
        files = [self.run / name for name in (TRIALS, EPOCHS)]
        return sum(file.read_bytes().count(b"\n") for file in files if file.exists())

    def _kill(self, kind: str, driver: subprocess.Popen[Any]) -> bool:
        if kind == "driver":
            driver.kill()
            driver.wait()
        elif kind == "machine":
            workers = self.machines.workers
            node = self.rng.choice(workers)
            self.machines.cluster.kill(node)
            workers.remove(node)
            workers.append(self.machines.machine())
        else:
            pids = _trial_processes(self.rng.choice(self.machines.workers))
            if not pids:
                return False
            os.kill(self.rng.choice(pids), 9)
        return True

    def figures(self) -> dict[str, Any]:
        """Return what the journal tells of the search."""
        ended: Counter[str] = Counter()
        after: set[str] = set()
        status: dict[str, str] = {}
        epochs: Counter[tuple[str, int]] = Counter()
        for file, row in read_events(self.run):
            name = row["trial"]
            if file == EPOCHS:
                epochs[name, row["epoch"]] += 1
                after |= {name} if status.get(name) in ("done", "stopped") else set()
                continue
            status[name] = row["status"]
            if row["status"] in ("done", "stopped"):
                ended[name] += 1
            elif ended[name]:
                after.add(name)
        return {
            "machines": self.machines.cluster.kind,
            "hidden": self.machines.cluster.hides,
            "storage": self.storage,
            "seconds": round(self.seconds, 1),
            "killed": dict(self.killed),
            "trials": len(status),
            "lost": self.trials - sum(map(bool, ended.values())),
            "ended twice": sum(count > 1 for count in ended.values()),
            "ran again after their end": len(after),
            "epochs": len(epochs),
            "epochs noted twice": sum(epochs.values()) - len(epochs),
            "status": dict(Counter(status.values())),
        }


def _trial_processes(node: Node) -> list[int]:
    """Return the processes of trials on a machine."""
    found = (
        subprocess.run(
            ["ip", "netns", "pids", node.space], capture_output=True, text=True
        ).stdout.split()
        if node.space
        else []
    )
    names = {pid: _read(f"/proc/{pid}/cmdline") for pid in found}
    return [
        int(pid)
        for pid, name in names.items()
        if name.startswith(b"ray::") and b"IDLE" not in name and b"FileServer" not in name
    ]


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def main() -> int:
    """Read the command line, soak, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=positive, default=10)
    parser.add_argument("--trials", type=positive, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--storage", choices=["folder", "s3"], default="folder")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        with Machines(Path(folder), s3=args.storage == "s3") as machines:
            soak = Soak(machines, Path(folder), args.trials, args.seed, args.storage)
            code = soak.go(args.kills)
        found = soak.figures() | {"seed": args.seed, "exit code": code}
        if code:
            print(soak.log.read_text(errors="replace")[-3000:], file=sys.stderr)
    if args.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<26} {value}")
    return code


if __name__ == "__main__":
    sys.exit(main())
