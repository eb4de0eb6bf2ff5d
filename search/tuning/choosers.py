"""What chooses the next trial of a search, by the name of its sampler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from facesiam.config import Value
from search.space import SearchSpace
from search.tuning.configuration_pool import ConfigurationPool
from search.tuning.optuna_sampler import KINDS, OptunaSampler
from search.tuning.quasi_random import QuasiRandom
from search.tuning.tpe import Tpe
from search.tuning.trial_ranking import Progress, TrialEnd


class Chooser(Protocol):
    """Chooses settings from the trials that it is told of."""

    keeps_state: bool
    """Whether what it suggests rests on what it has suggested before."""

    def enter(self, trial: str, settings: Mapping[str, Value]) -> None:
        """Enter a trial that runs."""

    def tell(self, trial: str, end: TrialEnd) -> None:
        """Enter the end of a trial."""

    def ready(self, startup: int, running: Mapping[str, Progress]) -> bool:
        """Say whether it is to choose the next trial.

        Args:
            startup: how many trials are drawn at random first.
            running: progress of the trials that run; the next suggestion may rest on it, too.
        """

    def suggest(self, seed: int) -> dict[str, Value]:
        """Return the settings that it would try next, tried before or not."""

    def untried(self, pool: ConfigurationPool, seed: int) -> dict[str, Value] | None:
        """Return what it would try next of the untried; None where it finds none."""


def chooser_of(space: SearchSpace) -> Chooser | None:
    """Return what chooses the trials of a space; None where they are listed or drawn.

    Of a front Optuna's own TPE chooses: ours orders trials by one score.
    """
    if space.algorithm == "tpe" and not space.costs:
        return Tpe(space)
    if space.algorithm == "quasi-random":
        return QuasiRandom(space)
    return OptunaSampler(space) if space.algorithm in KINDS else None
