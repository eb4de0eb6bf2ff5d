"""A search under simulated Ray, with callbacks that are told of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builders import space
from rich.console import Console
from simulated_ray import Workers, started

from search.tracking.callback import Callback
from search.tuning.live_table import LiveTable
from search.tuning.recorder import Recorder

SPACE = """
fixed: {epochs: 4}
search: {lr: {low: 1e-5, high: 1e-1, log: true}}
trials: 6
prune: {asha: {grace: 1, factor: 2}, chance: false, plateau: false, control: 0}
"""


class Table(LiveTable):
    """Keeps what is said but the ends of trials."""

    said: list[str]

    def say(self, text: str) -> None:
        if not text.startswith("trial "):
            self.said.append(text)


def search(
    run: Path, callbacks: Sequence[Callback], said: list[str] | None = None, text: str = SPACE
) -> Recorder:
    """A recorder of a run, new or gone on with, that tells these callbacks."""
    searched = space(run, text)
    table = Table(6, searched.objective, Console(quiet=True))
    table.said = [] if said is None else said
    return started(searched, run, table, callbacks=callbacks)


def drive(recorder: Recorder, steps: int | None = None) -> None:
    """Let the search go on, by so many events or to its end."""
    workers = Workers(recorder, 2)
    while steps != 0 and workers.go():
        steps = steps and steps - 1
