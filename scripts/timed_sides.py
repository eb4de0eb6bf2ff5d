"""Our trainer and the reference loop, each in a process of its own, timed in turn.

They have processes because allocator settings belong to one, and take turns, a block of steps
each, so that both meet the same machine.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from reference_loop import Notebook

from facesiam.config import TrialConfig
from facesiam.data.archive import Source
from facesiam.data.dataset import FaceData, open_packed
from facesiam.data.formats import open_dataset
from facesiam.device import cuda_graph, hardware
from facesiam.nets import trunks
from facesiam.training import loop
from facesiam.training.optimizer import MasterWeightOptimizer

WARM_UP = 2
"""Blocks that are not counted."""


class Ours:
    """The product's trainer."""

    def __init__(self, config: TrialConfig, data: FaceData, source: Source, device: str) -> None:
        self.training = loop.Training(config, data, device=device)
        self.measure = self.training.measure


WITHOUT: dict[str, Callable[[], Any]] = {
    "allocator": lambda: patch.object(loop, "keep_freed_memory", lambda: None),
    "early": lambda: patch.object(
        loop,
        "MasterWeightOptimizer",
        lambda *a, trunk, early: MasterWeightOptimizer(*a, trunk=trunk),
    ),
    "blocks": lambda: patch.object(trunks, "in_blocks", lambda conv: conv),
    "bf16": lambda: patch.object(loop, "dtype_of", lambda *a: torch.float32),
    "graphs": lambda: patch.object(cuda_graph, "wanted", lambda device: False),
    "nothing": nullcontext,
}
"""Our measures that can be left out, each alone."""


def serve(
    pipe: Connection,
    kind: str,
    config: TrialConfig,
    folder: str,
    source: str,
    device: str,
    threads: int,
    without: str,
) -> None:
    """Run in a process of its own: train a block of steps for each number that comes in."""
    torch.set_num_threads(threads)
    side = {"ours": Ours, "reference": Notebook}[kind]
    with WITHOUT[without if kind == "ours" else "nothing"]():
        trainer = side(config, open_packed(folder), open_dataset(Path(source)).source, device)
    target = torch.device(device)
    while steps := pipe.recv():
        if isinstance(steps, int):
            pipe.send(trainer.measure(steps))
        else:
            pipe.send(hardware.peak_memory_mib(target))
        hardware.reset_peak_memory(target)


class Died(Exception):
    """A side's process ended before it answered; what it said is on stderr."""


class Side:
    """The other end of ``serve``."""

    def __init__(self, kind: str, *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, kind, *args), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, what: int | str) -> float:
        """Return pairs a second over so many steps, or the peak of memory in MiB."""
        try:
            self.pipe.send(what)
            return float(self.pipe.recv())
        except (EOFError, OSError):
            self.process.join(30)
            code = self.process.exitcode
            why = "killed, most likely for memory" if code == -signal.SIGKILL else f"exit {code}"
            raise Died(why) from None

    def stop(self) -> None:
        """End the process, whatever it is at."""
        with suppress(OSError):  # it has died
            self.pipe.send(None)
            self.process.join(30)
        self.process.kill()


def in_turn(
    sides: dict[str, Side], steps: Mapping[str, int], rounds: int
) -> dict[str, list[float]]:
    """Time blocks of steps of each side in turn; return pairs a second by side.

    Args:
        sides: by kind.
        steps: of a block, by kind: on a GPU one of the reference takes as long as a hundred of
            ours.
        rounds: that are counted.
    """
    rates: dict[str, list[float]] = {kind: [] for kind in sides}
    for number in range(WARM_UP + rounds):
        for kind in sorted(sides, reverse=bool(number % 2)):
            rate = sides[kind].ask(steps[kind])
            if number >= WARM_UP:
                rates[kind].append(rate)
    return rates
