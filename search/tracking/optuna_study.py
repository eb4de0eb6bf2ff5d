"""A run as a study of Optuna's, in a database that optuna-dashboard shows."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from facesiam.config import Value
from facesiam.errors import first_line, masked
from facesiam.files import exists, is_dir, unwritable
from search.space.domains import active
from search.tracking.callback import TrialRecord
from search.tracking.tracker import Tracker, TrackerError, identity

STATES = {
    "pending": TrialState.WAITING,
    "running": TrialState.RUNNING,
    "interrupted": TrialState.WAITING,
    "failed": TrialState.FAIL,
    "done": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
}
"""Optuna's states by ours. A trial that --resume goes on with waits: one that is finished, in
Optuna's sense, cannot change any more."""
TRIAL, RUN = "trial", "siamsearch run"
"""User attributes: a trial's name, and the identity of a study's run."""

METRICS = "study:metric_names"
"""Optuna's attribute with the objective's name, as ``Study.set_metric_names`` writes it."""

FORM = "such as sqlite:///study.db or postgresql://HOST/NAME"
DRIVERS = {"postgresql": "psycopg2-binary", "mysql": "mysqlclient"}
"""Packages that SQLAlchemy needs for a kind of database whose URL names none."""


@dataclass
class _Copy:
    """What the study has of a trial."""

    id: int
    state: TrialState
    values: list[float] | None
    scores: dict[int, float] = field(default_factory=dict)
    """The intermediate value of each epoch, from 0."""


class OptunaStudy(Tracker):
    """Keeps a study up to date: a trial of the study for each trial of the run.

    A failed trial that is tried again is a new trial of the study, as Optuna's own retries are.

    Args:
        url: of the database, as SQLAlchemy writes it: sqlite:///study.db, postgresql://…

    Raises:
        TrackerError: the database cannot be opened.
    """

    title = "Optuna's study"

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.option = f"--optuna {shlex.quote(masked(url))}"
        self.name = ""
        """Of the study; empty: not yet known."""
        self.study = -1
        self.copies: dict[str, _Copy] = {}
        if _has_studies(url):
            self.storage  # noqa: B018 - opened: Optuna refuses tables of another version

    @cached_property
    def storage(self) -> optuna.storages.BaseStorage:
        """The database, made where it is not there."""
        with _told(self.url), _quiet():
            return optuna.storages.RDBStorage(self.url)

    def open(self) -> None:
        """Find the study of the run, or make it."""
        run, key = str(self.run.name), identity(self.run)
        with _quiet():
            known = {str(one.study_name): one for one in self.storage.get_all_studies()}
            mine = [name for name, one in known.items() if one.user_attrs.get(RUN) == key]
            free = run if run not in known else f"{run}-{key}"
            self.name = mine[0] if mine else free
            if mine:
                self.study = self.storage.get_study_id_from_name(self.name)
            else:
                best = "MAXIMIZE" if self.space.objective.maximizes else "MINIMIZE"
                directions = [
                    StudyDirection[best],
                    *(StudyDirection.MINIMIZE for _ in self.space.costs),
                ]
                self.study = self.storage.create_new_study(directions, self.name)
                self.storage.set_study_user_attr(self.study, RUN, key)
                names = [self.space.metric, *self.space.costs]
                self.storage.set_study_system_attr(self.study, METRICS, names)
                for name, value in self.space.fixed.items():
                    self.storage.set_study_user_attr(self.study, f"fixed {name}", value)
            for trial in self.storage.get_all_trials(self.study, deepcopy=False):
                if ours := trial.user_attrs.get(TRIAL):  # of several the last counts
                    self.copies[ours] = _Copy(
                        trial._trial_id, trial.state, trial.values, dict(trial.intermediate_values)
                    )

    def update(self, trial: str, record: TrialRecord) -> None:
        """Bring what the study lacks of a trial."""
        state, values = self._outcome(record)
        copy, scores = self.copies.get(trial), self._scores(record)
        if copy and copy.state.is_finished():
            if (copy.state, copy.values, _text(copy.scores)) == (state, values, _text(scores)):
                return
            copy = None
        with _quiet():
            if copy is None:
                template = self._template(trial, record, state, values)
                number = self.storage.create_new_trial(self.study, template)
                self.copies[trial] = _Copy(number, state, values, scores)
            else:
                self._go_on(copy, record, state, values)

    def summary(self) -> str:
        """Return where the study is, and what shows it."""
        place = masked(self.url)
        return (
            f"study {self.name} in {place} has {self.many} of this run; look at them with\n"
            f"  optuna-dashboard {shlex.quote(place)}"
        )

    def _go_on(
        self, copy: _Copy, record: TrialRecord, state: TrialState, values: list[float] | None
    ) -> None:
        """Bring what has happened in a trial since, and what became of it."""
        for epoch, score in self._scores(record).items():
            if epoch not in copy.scores or _text(copy.scores[epoch]) != _text(score):
                self.storage.set_trial_intermediate_value(copy.id, epoch, score)
                copy.scores[epoch] = score
        if state is copy.state:
            return
        for name, what in self._attributes(record).items():
            self.storage.set_trial_user_attr(copy.id, name, what)
        self.storage.set_trial_state_values(copy.id, state, values)
        copy.state, copy.values = state, values

    def _template(
        self, trial: str, record: TrialRecord, state: TrialState, values: list[float] | None
    ) -> FrozenTrial:
        """Return a trial of Optuna's with all that is known of one of ours."""
        shapes = self._distributions(record.settings)
        made = create_trial(
            state=TrialState.COMPLETE if state is TrialState.COMPLETE else TrialState.RUNNING,
            values=values if state is TrialState.COMPLETE else None,
            params={name: record.settings[name] for name in shapes},
            distributions=shapes,
            user_attrs={TRIAL: trial, **self._attributes(record)},
            intermediate_values=self._scores(record),
        )
        made.state, made.values = state, values
        began = datetime.fromtimestamp(record.began or 0) if record.began else datetime.now()
        ended = datetime.fromtimestamp(record.ended) if record.ended else datetime.now()
        made.datetime_start = None if state is TrialState.WAITING else began
        made.datetime_complete = ended if state.is_finished() else None
        return made

    def _distributions(self, settings: Mapping[str, Value]) -> dict[str, BaseDistribution]:
        """Return, as Optuna has them, the domains of the settings that a trial searched."""
        found: dict[str, BaseDistribution] = {}
        for name, domain in self.space.ordered():
            if name in settings and active(domain, settings) and domain.holds(settings[name]):
                asked = FixedTrial({name: settings[name]})
                domain.suggest(name, asked)
                found |= asked.distributions
        if self.space.algorithm == "rows":
            for name in self.space.varied():
                choices = self.space.possible(name)
                if settings.get(name) in choices:
                    found[name] = CategoricalDistribution(choices)
        return found

    def _outcome(self, record: TrialRecord) -> tuple[TrialState, list[float] | None]:
        """Return the state of a trial, and its score and costs once it has ended with a score.

        A cost that is searched and was not measured is infinite: Optuna takes no trial without.
        """
        state, best = STATES[record.status], self.best_epoch(record)
        if state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return state, None
        if best is None:  # Optuna: who has no number has failed
            return (TrialState.FAIL if state is TrialState.COMPLETE else state), None
        costs = [float(record.cost.get(name, math.inf)) for name in self.space.costs]
        return state, [float(best[self.space.metric]), *costs]

    def _scores(self, record: TrialRecord) -> dict[int, float]:
        metric = self.space.metric
        return {int(epoch): float(row[metric]) for epoch, row in record.epochs.items()}

    def _attributes(self, record: TrialRecord) -> dict[str, Any]:
        """Return what else is known of a trial, as a person wants to read it."""
        best = self.best_epoch(record)
        told = {"status": record.status, "epochs": len(record.epochs)}
        told |= {"reason": record.reason} if record.reason else {}
        told |= record.cost
        return told | ({"best epoch": int(best["epoch"])} if best else {})


def _has_studies(url: str) -> bool:
    """Say whether a database has Optuna's tables; write nothing, not even SQLite's empty file.

    Raises:
        TrackerError: there is none, or it cannot be opened, or made.
    """
    if why := _misfit(url):
        raise TrackerError(f"--optuna {masked(url)}: {why}")
    with _told(url):
        engine = create_engine(url)
        file = engine.url.database if engine.dialect.name == "sqlite" else None
        if file and not exists(Path(file)):
            return False
        try:
            return inspect(engine).has_table("studies")
        finally:
            engine.dispose()


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Have a user told of what fails: of SQLAlchemy, of the database's driver, of Optuna."""
    try:
        yield
    except Exception as error:
        raise TrackerError(f"--optuna {masked(url)}: {_meaning(url, error)}") from None


def _misfit(url: str) -> str | None:
    """Return why a URL cannot be that of a database, before it is opened; None: it may be."""
    try:
        known = make_url(url)
    except ArgumentError:
        plain = re.fullmatch(r"[\w./~-]+", url)
        near = f"; did you mean sqlite:///{url}?" if plain else f"; {FORM}"
        return f"no URL of a database{near}"
    if known.get_backend_name() != "sqlite" or "uri" in known.query:
        return None
    if known.database in (None, "", ":memory:"):
        return f"names no file, and what is in memory only is lost at the end; {FORM}"
    folder = Path(str(known.database)).parent
    if not is_dir(folder):
        return f"there is no folder {folder}"
    file = Path(str(known.database))
    if is_dir(file):
        return "is a folder; name a file in it"
    return None if exists(file) else unwritable(folder) or None


def _meaning(url: str, error: Exception) -> str:
    """Return what an error means that came from opening a database."""
    name = make_url(url).drivername
    if isinstance(error, NoSuchModuleError):
        return f"{name} is no database that is known here; {FORM}"
    if isinstance(error, ImportError):
        package = DRIVERS.get(name) or name.partition("+")[2] or name
        return f"the package that speaks to {name} is not installed; pip install {package}"
    # The driver's own error, of which SQLAlchemy's text is an envelope.
    return f"cannot be opened ({first_line(getattr(error, 'orig', None) or error)})"


@contextmanager
def _quiet() -> Iterator[None]:
    """Have Optuna not tell of each study that it makes or finds."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _text(value: object) -> str:
    """Return a value as text, in which NaN is equal to NaN."""
    return repr(value)
