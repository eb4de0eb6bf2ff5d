"""The contests of ``search.replay``: recorded runs to compare, and whose rules are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from facesiam.config.settings import did_you_mean
from facesiam.files import is_dir
from search.pruning import curve_tables, recorded_runs
from search.pruning.history import History
from search.pruning.recorded_runs import Curve
from search.runs import layout
from search.runs.layout import SPACE, RunError
from search.space import SearchSpace
from search.space.contradictions import mode_of
from search.space.prune import HALVING, pruning

DEFAULTS = "defaults"
"""Name of the space that stands for the defaults of the rules."""


class Contest(NamedTuple):
    """Recorded runs that are compared, and the space whose rules are tried on them."""

    name: str
    runs: list[Curve]
    searched: SearchSpace
    table: str = ""
    """The folder that they are from, where it is a table, or a run among others."""

    @property
    def timed(self) -> bool:
        """Whether the seconds of all epochs are known."""
        return all(curve.timed for curve in self.runs)

    @property
    def asks_for_guess(self) -> bool:
        """Whether the score of a guess that a user gives has a part in what the rules decide.

        It has where the rule `chance` is on and the band of guessing of some run is not known.
        """
        if not self.searched.prune["chance"]:
            return False
        histories = (History([*curve.rows[:1]], curve.settings) for curve in self.runs)
        return not all(history.band() <= 1 for history in histories)


@dataclass(frozen=True)
class Asked:
    """What decides in a replay, where it is not what the space says."""

    metric: str | None = None
    mode: str | None = None
    first: int = 0
    """Of a table, the number of the first trained epoch."""
    guess: float | None = None
    """Score of a guess, for the rule `chance`."""
    settings: Sequence[str] = ()
    """``KEY=VALUE`` for the defaults."""

    def of(self, space: SearchSpace) -> SearchSpace:
        """Return the space with the metric that was asked for."""
        metric = self.metric or space.metric
        usual = space.mode if metric == space.metric else mode_of(metric)
        asked = replace(space, metric=metric, mode=self.mode or usual)
        if self.guess is None or not asked.prune["chance"]:
            return asked
        chance = asked.prune["chance"] | {"score": self.guess}
        return replace(asked, prune=asked.prune | {"chance": chance})


def read(path: Path, space: SearchSpace | None, asked: Asked) -> list[Contest]:
    """Return the contests of a folder of recorded runs, or of the folders in it.

    Args:
        path: as ``recorded_runs.read``, or a folder of run folders and tables of curves.
        space: whose rules are tried; None: the defaults, with halving, on tables only.
        asked: the metric.

    Raises:
        RunError: as ``recorded_runs.read``, or the runs lack the metric, or the folder holds both
            curves and runs.
    """
    one = layout.has_journal(path) or curve_tables.is_table(path) or not is_dir(path)
    metric = asked.metric or (space.metric if space else "val_acc")
    found: list[Contest] = []
    inside = [] if one else recorded_runs.folders(path)
    if inside and (curves := [each for each in sorted(path.glob("*.csv")) if _is_curve(each)]):
        raise RunError(
            f"{path}: holds curves ({curves[0].name}) and a folder of others ({inside[0].name}); "
            "put either of them elsewhere, or give that folder alone"
        )
    for each in inside or [path]:
        if curve_tables.is_table(each):
            contests = _of_table(each, space, asked, metric)
        else:
            contests = _of_runs(each, space, asked, "" if each == path else each.name)
        if not contests:
            raise RunError(f"{each}: no run has a {metric}")
        found += contests
    return found


def _is_curve(file: Path) -> bool:
    """Return whether a CSV is of a curve, and no other table."""
    try:
        curve_tables.lines(file, "epoch")
    except RunError:
        return False
    return True


def by_protocol(
    runs: Sequence[Curve], searched: SearchSpace, foreign: bool = False
) -> dict[tuple[str, int], list[Curve]]:
    """Return the runs whose metric was recorded by contest, capped at the space's longest trial.

    Args:
        runs: recorded runs.
        searched: the space.
        foreign: they may be of another task. Otherwise runs of which the recording names no
            protocol count as of the space's.
    """
    found: dict[tuple[str, int], list[Curve]] = {}
    own, metric = str(searched.possible("protocol")[0]), searched.metric
    for curve in runs:
        named = curve if foreign else curve.with_protocol(own)
        capped = named.capped(searched.max_epochs())
        if any(row.get(metric) is not None for row in capped.rows):
            found.setdefault(capped.contest, []).append(capped)
    return found


def _of_runs(path: Path, space: SearchSpace | None, asked: Asked, name: str) -> list[Contest]:
    """Return the contests of a run, or of a folder of CSVs; ``name`` tells it from others."""
    runs = recorded_runs.read(path)
    if space is None:
        own = f"; the run's own is {path / SPACE}" * layout.has_journal(path)
        raise RunError(f"{path}: without a SPACE only a table of curves is replayed{own}")
    if asked.first:
        raise RunError(f"{path}: no table of curves; epoch 0 is trained here, leave out --first")
    searched = asked.of(space)
    return [
        Contest(f"{name}, {_kind(key)}" if name else _kind(key), each, searched, name)
        for key, each in by_protocol(runs, searched).items()
    ]


def _of_table(path: Path, space: SearchSpace | None, asked: Asked, metric: str) -> list[Contest]:
    """Return the contests of a table."""
    known = curve_tables.metrics(path)
    if metric not in known:
        meant = did_you_mean(metric, known) or f"; it has {', '.join(known) or 'none'}"
        how = "" if asked.metric else "; --metric says which counts"
        raise RunError(f"{path}: has no metric {metric}{meant}{how}")
    runs = recorded_runs.read(path, asked.first)
    searched = asked.of(space or _defaults(runs, asked.settings))
    return [
        Contest(f"{path.name}, {_kind(key)}" * any(key) or path.name, each, searched, path.name)
        for key, each in by_protocol(runs, searched, foreign=True).items()
    ]


def _defaults(runs: Sequence[Curve], settings: Sequence[str]) -> SearchSpace:
    """Return a space with the default rules and halving, its trials as long as the longest run."""
    longest = max(len(curve.rows) for curve in runs)
    prune = pruning() | {"halving": HALVING, "chance": False}
    space = SearchSpace(path=Path(DEFAULTS), name=DEFAULTS, prune=prune)
    return space.override([f"epochs={longest}", *settings])


def _kind(contest: tuple[str, int]) -> str:
    protocol, pairs = contest
    return f"{protocol or 'unknown protocol'}, {pairs or 'unknown'} validation pairs"
