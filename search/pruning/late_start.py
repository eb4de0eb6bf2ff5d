"""The odds of a late start, learned from recorded runs.

A net that guesses may still start: of the documents' runs, test 5 left chance at epoch 3, C at 12,
2 and 1 at 16 and 18, G at 58, and 4, J and K never. Only what comes out of it counts, though:
those from 12 on ended 3 points and more below the best. What is asked of the recordings is thus
how much less likely a *good* end is for a run that is still at chance after epoch e than for a
fresh one:

    ratio(e) = P(at chance after e | good) / P(at chance after e)

which is what the chance of a good end has to be multiplied by (Bayes). Both are counted with one
run added that was seen to do what costs nothing (Laplace's rule of succession). Beyond the latest
good start on record, M, the count has ended but the next good run may start later yet: there
P(at chance after e | good) falls on as ((M + SLACK) / (e + SLACK)) ** TAIL.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from facesiam.config import Value
from search.pruning.history import History, take_off
from search.pruning.recorded_runs import Curve

WITHIN = 0.02
"""A trial is good when its accuracy comes within this of the best of its contest."""
TAIL, SLACK = 16.0, 20
"""How fast late good starts thin out beyond the latest one on record: by half in one epoch beyond
M = 3, in two beyond 16. Chosen, as `care` and ASHA's settings were, on the recordings themselves,
each with its own curve left out of the odds; `python -m search.replay` says what they do."""


class Start(NamedTuple):
    """What the odds need of a recorded run."""

    id: str
    contest: tuple[str, int]
    epoch: int | None
    """When it left chance; None: not in the epochs looked at."""
    best: float


class Odds:
    """The odds that the given curves teach; ``own`` leaves the asking run's own curve out."""

    def __init__(self, curves: Sequence[Curve], own: bool = False) -> None:
        self.curves, self.own = curves, own
        self._cached_ratio = functools.cache(self._ratio)
        self._starts = functools.cache(self._start_of_each)
        rates = [float(curve.settings["lr"]) for curve in curves if "lr" in curve.settings]
        self.lowest = min(rates, default=0.0)
        """The lowest learning rate on record; 0: none is."""

    def knows(self, curve: Curve) -> bool:
        """Say whether a curve is one of these, so far as both go, and not one of the same name."""
        own = next((each for each in self.curves if each.id == curve.id), None)
        pairs = zip(own.rows, curve.rows, strict=False) if own else ()
        # As text, so that a NaN equals a NaN.
        same = [str(a.get("val_acc")) == str(b.get("val_acc")) for a, b in pairs]
        return bool(same) and all(same)

    def runs(self, without: str = "") -> int:
        """Return how many recorded runs the odds rest on."""
        return len(self.curves) - (self.own and any(c.id == without for c in self.curves))

    def pace(self, settings: Mapping[str, Value]) -> float:
        """Return by how much slower than every recorded run a trial learns, in (0, 1].

        By its learning rate, and that of its head, where it is below the lowest on record: of
        nets that slow nothing is known.
        """
        slow = float(settings.get("lr", self.lowest)) / self.lowest if self.lowest else 1.0
        return min(1.0, slow) * min(1.0, float(settings.get("head_lr", 1.0)))

    def ratio(
        self, epoch: int, planned: int, contest: tuple[str, int], leader: float, without: str = ""
    ) -> float | None:
        """Return how many times less likely a good end is than for a fresh trial; None: no idea.

        Args:
            epoch: the trial is still at chance after this epoch, from 0, at a constant rate.
            planned: its epochs; recorded runs are looked at as if they had as many.
            contest: its protocol and number of validation pairs. Of recorded runs of the same
                contest those count as good that came within WITHIN of the leader, or of the best
                of them where the leader is above it; of others those near the best of their own.
            leader: the best accuracy in the search so far; NaN where there is none yet.
            without: the trial's id.
        """
        if not self.curves:
            return None
        # Rounded to a tenth of a point to be cached: a finer leader changes next to nothing.
        rounded = 0.5 if math.isnan(leader) else max(0.5, round(leader, 3))
        return self._cached_ratio(epoch, planned, contest, rounded, without if self.own else "")

    def _ratio(
        self, epoch: int, planned: int, contest: tuple[str, int], leader: float, without: str
    ) -> float:
        starts = [start for start in self._starts(planned) if start.id != without]
        tops: dict[tuple[str, int], float] = {}
        for start in self._starts(planned):
            tops[start.contest] = max(tops.get(start.contest, 0.0), start.best)
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
            still *= ((latest + SLACK) / (epoch + SLACK)) ** TAIL
        return still / ((waiting + 1) / (len(starts) + 1))

    def _start_of_each(self, planned: int) -> tuple[Start, ...]:
        found = []
        for curve in self.curves:
            seen = curve.capped(planned)
            history = History(list(seen.rows), seen.settings)
            found.append(Start(curve.id, curve.contest, take_off(history), seen.best()))
        return tuple(found)
