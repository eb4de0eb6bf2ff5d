"""The sampler: chooses the settings of each trial by grid, at random, by scores or from rows.

A suggestion depends only on the space, the seed, its own number, the trials that have ended and
the epochs of those that run, all of which the journal has; random numbers are seeded anew for each
suggestion. A run that is resumed from its journal therefore goes on with the suggestions that an
uninterrupted one would have made.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facesiam.config import Value
from search.runs.line_format import ENQUEUED, RANDOM
from search.space import SearchSpace, enqueue
from search.space.combinations import base
from search.tuning.choosers import Chooser, chooser_of
from search.tuning.configuration_pool import DRAWS, ConfigurationPool, key_of
from search.tuning.tpe import Tpe
from search.tuning.trial_ranking import Progress, TrialEnd
from search.tuning.warm_start import WarmStartTrial

if TYPE_CHECKING:
    from search.analysis.raced_rows import RacedRows


@dataclass(frozen=True)
class Suggestion:
    """A trial to run."""

    trial: str
    """Id: the row's id, or the trial's number from 0001."""
    settings: dict[str, Value]
    row: str | None = None
    chosen_by: str | None = RANDOM
    """What chose its settings, as the journal has it (``line_format.TrialLine``)."""


class Sampler:
    """Suggests the trials of a search, one after the other, no configuration twice.

    Args:
        space: what is searched.
        prior: trials of earlier runs that a sampler begins with which learns from scores.
    """

    def __init__(self, space: SearchSpace, prior: Iterable[WarmStartTrial] = ()) -> None:
        self.space = space
        self.handed_out = 0
        self.pool = ConfigurationPool(space)
        self.chooser = chooser_of(space)
        self._startup = space.startup()
        self._running: Mapping[str, Progress] = {}
        self._queue = list(space.enqueue) if space.uses("enqueue") else []
        """Configurations to try first that no trial was made from."""
        self._rows: set[str] = set()
        self._race: RacedRows | None = None
        if space.race:
            from search.analysis.raced_rows import RacedRows

            self._race = RacedRows(space, space.race)
        self._listed = self._list()
        for number, known in enumerate(prior):
            self._enter(f"known {number}", known)

    def next(self, running: Mapping[str, Progress] | None = None) -> Suggestion | None:
        """Return the next trial to run, or None when the trials or the space are exhausted.

        In a race None may also mean that the trials which run decide on the next: see ``waits``.

        Args:
            running: progress of the trials that run, by id, for TPE.
        """
        self._running = running or {}
        limited = self._listed is None
        if limited and (self.handed_out >= self.space.trials or self.pool.none_left()):
            return None
        suggestion = self._enqueued()
        if suggestion is None:
            suggestion = self._following()
        if suggestion:
            self._note(suggestion.trial, suggestion.settings)
        return suggestion

    def replay(self, trial: str, settings: Mapping[str, Value], enqueued: bool = False) -> None:
        """Enter a trial that an earlier session suggested, as if it had just been."""
        self._rows.add(trial)
        if enqueued:
            made = (given for given in self._queue if given.items() <= settings.items())
            if (given := next(made, None)) is not None:
                self._queue.remove(given)
        elif (chooser := self._chooses()) and chooser.keeps_state:
            chooser.suggest(self._rng(0).getrandbits(31))  # what follows rests on it
        self._note(trial, base(settings))  # older runs lack settings that came since

    def tell(self, trial: str, end: TrialEnd) -> None:
        """Report how a trial ended; ``trial_ranking.py`` says what is made of it."""
        if self.chooser is not None:
            self.chooser.tell(trial, end)
        if self._race:
            self._race.end(trial, end.status, end.value)

    def waits(self) -> bool:
        """Say whether a trial may come later where there is none now: in a race."""
        return self._race is not None and self._race.waits()

    @property
    def tpe(self) -> Tpe | None:
        """TPE, where it chooses the trials."""
        return self.chooser if isinstance(self.chooser, Tpe) else None

    def _note(self, trial: str, settings: Mapping[str, Value]) -> None:
        self.handed_out += 1
        if self._race:
            self._race.begin(trial)
        self.pool.take(settings)
        if self.chooser is not None:
            self.chooser.enter(trial, settings)

    def _enter(self, name: str, known: WarmStartTrial) -> None:
        """Enter a trial of an earlier run; it may be suggested all the same."""
        if self.chooser is not None:
            self.chooser.enter(name, known.settings)
            progress = Progress(tuple(known.scores), known.planned, known.learned, known.schedule)
            end = TrialEnd(known.value, known.step, known.status, known.rule, progress)
            self.chooser.tell(name, end)

    def _list(self) -> Iterator[Suggestion] | None:
        """Yield what is left of rows or of a grid; None for the other algorithms."""
        space = self.space
        if space.algorithm == "rows":
            return (
                Suggestion(id, space.row_settings(id), id, "rows")
                for id in space.rows
                if id not in self._rows
            )
        if space.algorithm == "grid":
            # By settings and not by number: a grid that has grown since has other numbers.
            return (
                Suggestion(self._name(), settings, chosen_by="grid")
                for settings in space.grid()
                if self.pool.new(settings)
            )
        return None

    def _following(self) -> Suggestion | None:
        """Return the next of the race, of rows, of a grid, or of those that are chosen."""
        if self._race:
            row = self._race.next()
            return Suggestion(row, self.space.row_settings(row), row, "rows") if row else None
        return self._draw() if self._listed is None else next(self._listed, None)

    def _enqueued(self) -> Suggestion | None:
        """Return the next of the configurations to try first, completed at random.

        What was tried in all its forms is passed over.
        """
        while self._queue:
            given = enqueue.narrowed(self.space, self._queue.pop(0))
            pool = ConfigurationPool(given)
            # A complete one that comes later is not taken for the completion of this one.
            later = (enqueue.narrowed(self.space, one) for one in self._queue)
            whole = [one for one in later if one.size() == 1] if pool.size != 1 else []
            rng = self._rng("enqueued")
            pool.seen = self.pool.seen | {key_of(one.sample(rng)) for one in whole}
            settings: dict[str, Value] | None = given.sample(rng)
            if settings and not pool.new(settings):
                settings = pool.draw(rng)
            if settings:
                return Suggestion(self._name(), settings, chosen_by=ENQUEUED)
        return None

    def _name(self) -> str:
        return f"{self.handed_out + 1:04d}"

    def _rng(self, attempt: int | str) -> random.Random:
        return random.Random(f"{self.space.seed}/{self.handed_out}/{attempt}")

    def _chooses(self) -> Chooser | None:
        """Return what chooses the next trial by scores; None where that is drawn at random."""
        chooser = self.chooser
        ready = chooser is not None and chooser.ready(self._startup, self._running)
        return chooser if ready else None

    def _draw(self) -> Suggestion | None:
        name = self._name()
        if chooser := self._chooses():
            settings = chooser.suggest(self._rng(0).getrandbits(31))
            if self.pool.new(settings):
                return Suggestion(name, settings, chosen_by=self.space.algorithm)
            return self._untried(name)
        for attempt in range(DRAWS):
            settings = self.space.sample(self._rng(attempt))
            if self.pool.new(settings):
                return Suggestion(name, settings)
        return self._untried(name)

    def _untried(self, name: str) -> Suggestion | None:
        """Return the untried configuration that is chosen by scores; without them any of them."""
        if chooser := self._chooses():
            ranked = chooser.untried(self.pool, self._rng("draws").getrandbits(31))
            if ranked:
                return Suggestion(name, ranked, chosen_by=self.space.algorithm)
        settings = self.pool.draw(self._rng("untried"))
        return Suggestion(name, settings) if settings else None
