"""The odds of a late start, learned from recorded runs.

A net at chance may still start, but those that start late end below the best. The odds are how
much less likely a good end is for a run that is still at chance after epoch e:

    ratio(e) = P(at chance after e | good) / P(at chance after e)

docs/pruning.md has the runs behind it and how the two are counted.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from facesiam.config import Value
from facesiam.objective import Objective
from search.pruning.history import History, take_off
from search.pruning.recorded_runs import ACCURACY, Curve

WITHIN = 0.02
"""A trial is good when its score comes within this of the best of its contest."""
TAIL, SLACK = 16.0, 20
"""How fast good starts become rarer beyond M, the epoch of the latest one on record: as
((M + SLACK) / (e + SLACK)) ** TAIL. Chosen on the recordings, each without its own curve."""
SLOWER_TAIL = 5.0
"""The same where the recordings are judged by anything but accuracy: of those that are good by
their loss one started at epoch 16 and the others at 3 at the latest."""


class Start(NamedTuple):
    """What the odds need of a recorded run."""

    id: str
    contest: tuple[str, int]
    epoch: int | None
    """When it left chance; None: not in the epochs looked at."""
    best: float
    """Its best score, as ``Objective.key`` has it."""


class Odds:
    """The odds learned from recorded runs.

    Args:
        curves: the runs.
        own: leave out the curve of the trial that is asked about.
    """

    def __init__(self, curves: Sequence[Curve], own: bool = False) -> None:
        self.curves, self.own = curves, own
        self._recorded = {name for curve in curves for row in curve.rows[:1] for name in row}
        self._cached_ratio = functools.cache(self._ratio)
        self._starts = functools.cache(self._start_of_each)
        rates = [float(curve.settings["lr"]) for curve in curves if "lr" in curve.settings]
        self.lowest = min(rates, default=0.0)
        """The lowest learning rate on record; 0: none is."""

    def knows(self, curve: Curve) -> bool:
        """Say whether a curve is one of these epoch by epoch, and not only by its name.

        An altered one is if the run that it was made from is.
        """
        asked = curve.altered_from or curve
        own = next((each for each in self.curves if each.id == asked.id), None)
        # As text, so that a NaN equals a NaN.
        same = [
            str(one.get("val_acc")) == str(other.get("val_acc"))
            for one, other in zip(own.rows if own else (), asked.rows, strict=False)
        ]
        return bool(same) and all(same)

    def judge(self, objective: Objective) -> Objective:
        """Return what the recorded runs are judged by: an objective, or else their accuracy."""
        return objective if objective.metric in self._recorded else ACCURACY

    def runs(self, without: str = "") -> int:
        """Return how many recorded runs the odds rest on."""
        return len(self.curves) - (self.own and any(c.id == without for c in self.curves))

    def pace(self, settings: Mapping[str, Value]) -> float:
        """Return how fast a trial learns compared with the slowest recorded run, in (0, 1].

        It is below 1 where its learning rate, or that of its head, is below the lowest on record:
        nothing is known of nets that slow.
        """
        slow = float(settings.get("lr", self.lowest)) / self.lowest if self.lowest else 1.0
        return min(1.0, slow) * min(1.0, float(settings.get("head_lr", 1.0)))

    def ratio(
        self,
        epoch: int,
        planned: int,
        contest: tuple[str, int],
        leader: float,
        without: str = "",
        objective: Objective = ACCURACY,
    ) -> float | None:
        """Return the factor by which a good end is less likely than for a fresh trial, or None.

        Args:
            epoch: the trial is still at chance after this epoch, from 0, at a constant rate.
            planned: its epochs; recorded runs are cut to as many.
            contest: its protocol and number of validation pairs. A recorded run of the same
                contest is good if it came within WITHIN of the leader, or of the best of them
                where the leader is above that; a run of another one within WITHIN of its best.
            leader: the best score in the search so far; NaN where there is none yet.
            without: the trial's id.
            objective: what is best; one of those that ``judge`` returns.
        """
        if not self.curves:
            return None
        # Rounded to a tenth of a point to be cached: a finer leader changes next to nothing.
        rounded = round(objective.key(leader), 3) if math.isfinite(leader) else -math.inf
        own = without if self.own else ""
        return self._cached_ratio(epoch, planned, contest, rounded, own, objective)

    def _ratio(
        self,
        epoch: int,
        planned: int,
        contest: tuple[str, int],
        leader: float,
        without: str,
        objective: Objective,
    ) -> float:
        starts = [start for start in self._starts(planned, objective) if start.id != without]
        tops: dict[tuple[str, int], float] = {}
        for start in self._starts(planned, objective):
            tops[start.contest] = max(tops.get(start.contest, -math.inf), start.best)
        tops[contest] = min(leader, tops.get(contest, leader))
        good = [
            start.epoch
            for start in starts
            if start.epoch is not None and start.best >= tops[start.contest] - WITHIN
        ]
        waiting = sum(start.epoch is None or start.epoch > epoch for start in starts)
        latest = max(good, default=0)
        still = (sum(start > epoch for start in good) + 1) / (len(good) + 1)
        if epoch > latest:
            tail = TAIL if objective == ACCURACY else SLOWER_TAIL
            still *= ((latest + SLACK) / (epoch + SLACK)) ** tail
        return still / ((waiting + 1) / (len(starts) + 1))

    def _start_of_each(self, planned: int, objective: Objective = ACCURACY) -> tuple[Start, ...]:
        starts = []
        for curve in self.curves:
            seen = curve.capped(planned)
            history = History(list(seen.rows), seen.settings)
            best = objective.key(seen.best(objective))
            starts.append(Start(curve.id, curve.contest, take_off(history), best))
        return tuple(starts)
