"""Which settings to try next: grid, random, TPE or the documents' rows behind one method.

Every suggestion depends only on the space, the seed, its own number and the trials told so far:
the sampler is seeded anew for each number. A run that is resumed from its journal therefore goes
on with the suggestions that an uninterrupted one would have made.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.search_space import IntersectionSearchSpace

from facesiam.config import Value
from search.combinations import base
from search.prior import Known
from search.space import SearchSpace

optuna.logging.set_verbosity(optuna.logging.WARNING)

DRAWS = 200
"""How often a draw that was tried before is drawn again, before the space counts as explored."""


@dataclass(frozen=True)
class Suggestion:
    """One trial to run."""

    trial: str
    """Its id: the row's id, or its number from 0001."""
    settings: dict[str, Value]
    row: str | None = None


class Suggester:
    """Hands out the trials of a search, one after the other, none of them twice.

    Args:
        space: what to search.
        prior: trials of earlier runs that TPE learns from.
    """

    def __init__(self, space: SearchSpace, prior: Iterable[Known] = ()) -> None:
        self.space = space
        self.handed_out = 0
        self._seen: set[str] = set()
        self._rows: set[str] = set()
        self._study = _study(space) if space.algorithm == "tpe" else None
        self._common = IntersectionSearchSpace(include_pruned=True)
        self._asked: dict[str, optuna.Trial] = {}
        self._listed = self._list()
        for number, known in enumerate(prior):
            self._enter(f"known {number}", known)

    def next(self) -> Suggestion | None:
        """Return the next trial to run, or None when the trials or the space are exhausted."""
        if self._listed is not None:
            suggestion = next(self._listed, None)
        elif self.handed_out >= self.space.trials:
            suggestion = None
        else:
            suggestion = self._draw()
        if suggestion:
            self.handed_out += 1
            self._seen.add(_key(suggestion.settings))
        return suggestion

    def replay(self, trial: str, settings: Mapping[str, Value]) -> None:
        """Take note of a trial that an earlier session handed out, as if it had just been."""
        settings = base(settings)  # older runs lack settings that came since
        self.handed_out += 1
        self._rows.add(trial)
        self._seen.add(_key(settings))
        if self._study is not None:
            self._asked[trial] = self._ask_for(settings)

    def _enter(self, name: str, known: Known) -> None:
        """Enter a trial of an earlier run in the study; it may be run here all the same."""
        if self._study is not None:
            self._asked[name] = self._ask_for(known.settings)
            self.tell(name, known.value, known.step, known.status)

    def tell(self, trial: str, value: float | None, step: int, status: str) -> None:
        """Report how a trial ended.

        Args:
            trial: its id.
            value: its best value of the space's metric, or None where it reported no finite one.
            step: how far it came, in epochs.
            status: "done" for one that ran to its end; TPE ranks all others below these, by how
                far they came, so a score of two epochs never competes with one of sixty. One
                that a rule stopped before it had a score ranks below them all; of one that
                failed so, nothing is learned.
        """
        asked = self._asked.pop(trial, None)
        if self._study is None or asked is None:
            return
        states = optuna.trial.TrialState
        if value is None:
            state = states.PRUNED if status == "stopped" else states.FAIL
            self._study.tell(asked, state=state)
            return
        if status == "done":
            self._study.tell(asked, value)
            return
        asked.report(value, step)
        self._study.tell(asked, state=states.PRUNED)

    def _list(self) -> Iterator[Suggestion] | None:
        """Return what is left of rows or of a grid: looked up when it is asked for."""
        space = self.space
        if space.algorithm == "rows":
            return (
                Suggestion(id, space.row_settings(id), row=id)
                for id in space.rows if id not in self._rows
            )
        if space.algorithm == "grid":
            # By settings and not by number: a grid that has grown since has other numbers.
            return (
                Suggestion(self._name(), settings)
                for settings in space.grid() if _key(settings) not in self._seen
            )
        return None

    def _name(self) -> str:
        return f"{self.handed_out + 1:04d}"

    def _draw(self) -> Suggestion | None:
        size = self.space.size()
        if size is not None and len(self._seen) >= size:
            return None
        name = self._name()
        for attempt in range(DRAWS):
            seed = random.Random(f"{self.space.seed}/{self.handed_out}/{attempt}")
            if self._study is None:
                settings, asked = self.space.sample(seed), None
            else:
                self._study.sampler = _Tpe(seed.getrandbits(31), self._common)
                asked = self._study.ask()
                settings = self.space.suggest(asked)
            if _key(settings) not in self._seen:
                if asked is not None:
                    self._asked[name] = asked
                return Suggestion(name, settings)
            if self._study is not None and asked is not None:
                self._study.tell(asked, state=optuna.trial.TrialState.FAIL)
        return self._untried(name) if size is not None else None

    def _untried(self, name: str) -> Suggestion | None:
        """Return the first configuration of a finite space that no draw has hit."""
        for settings in self.space.grid():
            if _key(settings) not in self._seen:
                if self._study is not None:
                    self._asked[name] = self._ask_for(settings)
                return Suggestion(name, settings)
        return None

    def _ask_for(self, settings: Mapping[str, Value]) -> optuna.Trial:
        """Enter a trial with these very settings in the study, running."""
        assert self._study is not None
        self._study.enqueue_trial(dict(settings))
        asked = self._study.ask()
        self.space.suggest(asked)
        return asked


class _Tpe(optuna.samplers.TPESampler):
    """TPE for one suggestion; what all trials have in common outlives it.

    A sampler by itself would compare the settings of all trials anew, which took more time than
    all the rest of a suggestion: 1,000 trials had it do so half a million times.
    """

    def __init__(self, seed: int, common: IntersectionSearchSpace) -> None:
        super().__init__(seed=seed, n_startup_trials=10)
        self._common = common

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, optuna.distributions.BaseDistribution]:
        """Return the settings that all trials so far had; the others are sampled one by one."""
        common = self._common.calculate(study, use_cache=True)
        return {name: domain for name, domain in common.items() if not domain.single()}


def _study(space: SearchSpace) -> optuna.Study:
    best = optuna.study.StudyDirection
    direction = best.MAXIMIZE if space.mode == "max" else best.MINIMIZE
    return optuna.create_study(direction=direction)  # each suggestion brings its own sampler


def _key(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)
