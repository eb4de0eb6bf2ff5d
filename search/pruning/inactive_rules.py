"""Rules that are on but cannot act in a search, with the reason.

The dry run, the start of a search and its manifest name them, as a user may rely on such a rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from facesiam.config import Value
from facesiam.config.rounding import rounded_down
from facesiam.errors import counted
from search.pruning import recorded_runs, schedule_progress
from search.pruning.halving import rungs
from search.pruning.history import History
from search.pruning.late_start import Odds
from search.space.prune import RULE_OPTIONS, UNCERTAIN

if TYPE_CHECKING:
    from search.space import SearchSpace


class Kind(NamedTuple):
    """What decides whether a rule can act: it can in all trials of a kind, or in none."""

    epochs: int
    schedule: str
    warmup: float
    fpr: float
    pace: float
    """As ``Odds.pace``."""
    contest: tuple[str, int]
    decays: bool
    banded: bool
    """Whether a band of guessing is known: the pairs are as many of each kind."""

    @property
    def settings(self) -> dict[str, Value]:
        """Its schedule, and the rate of its false accepts."""
        return {"schedule": self.schedule, "warmup": self.warmup, "fpr": self.fpr}


Check = Callable[["SearchSpace", Kind], "str | None"]
"""Returns why a rule of this space never stops a trial of this kind; None: it may."""


def cannot_act(space: SearchSpace, odds: Odds | None = None) -> list[str]:
    """Return a sentence for each rule that is on and cannot stop any trial, or not all of them.

    Args:
        space: of the search.
        odds: of a late start; without, those learned from the runs of the 2019 study.

    Raises:
        UserError: the recorded runs are missing.
    """
    on = [rule for rule in RULE_OPTIONS if space.prune.get(rule)]
    if space.algorithm == "rows":
        return [
            f"{rule}: not asked about rows, which are run to compare them with published figures"
            for rule in on
            if rule in UNCERTAIN
        ]
    odds = odds or Odds(recorded_runs.shipped() if "chance" in on else ())
    kinds = dict.fromkeys(_kind(settings, odds) for settings in space.examples())
    checks: dict[str, Check] = {
        "diverged": lambda space, kind: None,
        "dead": _dead,
        "chance": lambda space, kind: _chance(space, kind, odds),
        "plateau": _plateau,
        "asha": _asha,
        "halving": _halving,
    }
    sentences: list[str] = []
    for rule in on:
        reasons = {kind: checks[rule](space, kind) for kind in kinds}
        sentences += _sentences(rule, reasons)
    if float(space.prune.get("control", 0.0)) and not on:
        sentences.append("control: no rule is on that would stop a trial")
    return sentences


def _sentences(rule: str, reasons: Mapping[Kind, str | None]) -> Iterable[str]:
    """Return one sentence for each reason why a rule cannot act."""
    distinct = dict.fromkeys(reason for reason in reasons.values() if reason)
    everywhere = None not in reasons.values()
    which = "cannot act" if everywhere else "cannot act in some of the trials"
    return [f"{rule}: {which}: {reason}" for reason in distinct]


def _kind(settings: Mapping[str, Value], odds: Odds) -> Kind:
    protocol, people = str(settings["protocol"]), int(settings["people"])
    pairs = 0 if people else recorded_runs.PAIRS.get(protocol, 0)
    row = {"val_pairs": pairs or 1}
    return Kind(
        int(settings["epochs"]),
        str(settings["schedule"]),
        float(settings["warmup"]),
        float(settings["fpr"]),
        odds.pace(settings),
        (protocol, pairs),
        float(settings["weight_decay"]) != 0,
        bool(History([row], settings).balanced_pairs),
    )


def _dead(space: SearchSpace, kind: Kind) -> str | None:
    if not kind.decays:
        return None
    return "weight_decay changes a net without a gradient too, so none is certain to stay dead"


def _chance(space: SearchSpace, kind: Kind, odds: Odds) -> str | None:
    """Return why no trial of a kind is stopped at chance, even below a perfect leader."""
    of_guess = History(settings=kind.settings, metric=space.metric)
    if not kind.banded and math.isnan(of_guess.said_guess(space.prune["chance"])):
        return (
            "of cfp-pairs with people the pairs of each kind are unequal, and how far guessing "
            "gets is not known; chance: {score: X} says what a guess scores in " + space.metric
        )
    judge = odds.judge(space.objective)
    perfect = 1.0 if judge.maximizes else 0.0
    care, planned = float(space.prune["chance"]["care"]), kind.epochs
    for epochs in range(1, planned):
        full = schedule_progress.full_rate_epochs(kind.settings, epochs, planned)
        whole = rounded_down(kind.pace * full)
        if not whole or schedule_progress.rises(kind.settings, epochs - 1, planned):
            continue
        left = (planned - epochs) / planned
        for contest in (kind.contest, (kind.contest[0], 0)):  # of CFP, or of other data
            ratio = odds.ratio(whole - 1, planned, contest, perfect, objective=judge)
            if ratio is not None and care * ratio < left:
                return None
    slow = ", at a learning rate below all that are on record" if kind.pace < 1 else ""
    return (
        f"a net at chance may begin to learn in any of {counted(planned, 'epoch')}"
        f"{_course(kind)}, by the recorded runs' odds{slow}"
    )


def _plateau(space: SearchSpace, kind: Kind) -> str | None:
    if space.count() == 1:
        return "there is no other trial"
    patience, planned = int(space.prune["plateau"]["patience"]), kind.epochs
    first = schedule_progress.warmup_adjusted(kind.settings, 1, planned)
    for epochs in range(2, planned):
        still = schedule_progress.warmup_adjusted(kind.settings, epochs, planned) - first
        waited = schedule_progress.has_come(still, patience)
        if waited and schedule_progress.settled(kind.settings, epochs, planned):
            return None
    return (
        f"a trial of {counted(planned, 'epoch')}{_course(kind)} ends before a patience of "
        f"{patience} is over"
    )


def _asha(space: SearchSpace, kind: Kind) -> str | None:
    if space.count() == 1:
        return "there is no other trial"
    asha, planned = space.prune["asha"], kind.epochs
    shares = asha["compare"] == "share" or schedule_progress.falls(kind.settings)
    before = schedule_progress.warmup_adjusted(kind.settings, planned - 1, planned)
    age = before * space.max_epochs() / planned if shares else before
    if schedule_progress.has_come(age, asha["grace"]):
        return None
    grace = asha["grace"]
    return (
        f"a trial of {counted(planned, 'epoch')}{_course(kind)} ends before a grace of {grace} "
        "is over"
    )


def _halving(space: SearchSpace, kind: Kind) -> str | None:
    if space.count() == 1:
        return "there is no other trial"
    longest = space.max_epochs()
    if rungs(float(space.prune["halving"]["grace"]), longest):
        return None
    return f"a trial of {counted(longest, 'epoch')} has too few for a rung"


def _course(kind: Kind) -> str:
    warm = f" with a warmup of {kind.warmup:g}" if kind.warmup else ""
    return (f" of {kind.schedule}" if kind.schedule != "constant" else "") + warm
