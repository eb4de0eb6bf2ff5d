"""What a user asks of ``search.retrain`` on its command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RetrainOptions:
    """The options of one command; None, and an empty sequence: as the trial has it.

    ``search.retrain.__main__`` describes each of them, and makes them from the command line.
    """

    run: str
    """Folder or URL of the run."""
    rank: int = 1
    trial: str | None = None
    """Id of the trial to train, instead of its rank."""
    ensemble: int | None = None
    """How many of the best trials to test together; None: a trial is trained."""
    soup: bool = False
    """Whether the mean of the kept nets' weights is tested instead."""
    seeds: int = 1
    seed: int | None = None
    epochs: int | None = None
    threads: int | None = None
    protocols: Sequence[str] = ()
    far: Sequence[float] = ()
    """False-accept rates, at whose thresholds the test pairs are judged too."""
    folds: tuple[int, ...] = ()
    """Numbers of CFP's folds; empty: all ten."""
    data: str | None = None
    weights: str | None = None
    plugin: Sequence[str] = ()
    """Files of plugins that the run was made with."""
