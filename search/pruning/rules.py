"""The pruning rules: functions of a trial's history that return a StopDecision or None.

A rule knows nothing of Ray: live trials, tests and ``search.replay`` share it. A measure that a
history lacks (a recorded curve has no gradients) is unknown, and no trial is stopped for what is
unknown. docs/pruning.md has the argument of each rule; that of ``dead`` covers Adam's momentum,
weight decay, batch-norm statistics, dropout and augmentation.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from facesiam.config.rounding import rounded_down, rounded_up
from facesiam.errors import counted
from search.pruning import schedule_progress
from search.pruning.history import FITTED, History, take_off
from search.pruning.late_start import WITHIN, Odds
from search.pruning.significance import Z, interval
from search.pruning.stop_decision import StopDecision, finite
from search.space import SearchSpace
from search.space.prune import UNCERTAIN, pruning

MOMENTUM = 100
"""Updates without a gradient after which Adam's momentum is spent: 0.90 ** 100 = 3e-5."""
DEFAULTS = pruning(True)
"""Options of the rules where a space file gives none."""
BETA = 0.9
"""Of Adam's first moment, what an update leaves of it."""


def diverged(history: History) -> StopDecision | None:
    """Stop a trial whose last epoch has a loss that is not finite, which no update can mend.

    The exception is an infinite validation loss beside a finite val_auc: such a net gives every
    pair a finite score, and one of them with a certainty of 1. Its weights are sound.
    """
    last = history.rows[-1]
    for name in ("train_loss", "val_loss"):
        loss = last.get(name, 0.0)
        answers = name == "val_loss" and math.isfinite(last.get("val_auc", math.nan))
        if math.isnan(loss) or (math.isinf(loss) and not answers):
            reason = f"{name} is {loss:g} at epoch {history.epoch}"
            return StopDecision("diverged", reason, history.epoch)
    return None


def dead(history: History) -> StopDecision | None:
    """Stop a trial whose net gets no gradient and will never get one again."""
    if history.settings.get("weight_decay") != 0:
        return None
    last = history.rows[-1]
    updates, since = 0, history.epoch + 1
    for row in reversed(history.rows):
        if row.get("trunk_grad_zero") != 1 or row.get("trunk_grad_max") != 0:
            break
        updates, since = updates + int(row.get("updates", 0)), since - 1
    if updates < momentum_spent_after(history, since):
        return None
    layer = _dead_layer(last)
    if layer is None or not last.get("train_loss", math.nan) >= FITTED:
        return None
    epochs = f"epoch {since}" if since == history.epoch else f"epochs {since} to {history.epoch}"
    spread = last.get("logit_spread", math.nan)
    return StopDecision(
        "dead",
        f"no gradient reached the trunk in {counted(updates, 'update')} ({epochs}), and {layer}: "
        f"the outputs no longer depend on the images (they spread over {spread:.1g})",
        history.epoch,
        value=0.0,
        cutoff=0.0,
    )


def momentum_spent_after(history: History, since: int) -> int:
    """Return the number of updates without a gradient after which momentum is spent.

    Args:
        history: of the trial.
        since: the first epoch without a gradient; where that is epoch 0, there never was any.
    """
    settings, keeps = history.settings, BETA
    if settings.get("optimizer") == "sgd":
        keeps = max(BETA, float(settings.get("momentum", BETA)))
    if since <= 0:
        return MOMENTUM
    # The rest of the momentum may be applied at a higher rate than the one it was built up at.
    highest = schedule_progress.highest_ahead(settings, history.epoch + 1, history.planned)
    then = schedule_progress.rate(settings, since, history.planned)
    rise = max(0.0, math.log(highest / then))
    return rounded_up((MOMENTUM * math.log(BETA) - rise) / math.log(keeps))


def chance(
    history: History, *, care: float = DEFAULTS["chance"]["care"], odds: Odds | None = None
) -> StopDecision | None:
    """Stop a trial at chance once a good late start is too unlikely for the epochs it would cost.

    A trial is at chance while no epoch's score has left the band in which guessing stays
    (``History.band``, or ``History.edge`` where the noise is estimated). A good end is then less
    likely than for a fresh trial by the factor that the recorded runs give (``Odds.ratio``), and
    going on costs the share of the epochs that is left. The trial stops when ``care`` times that
    factor is below that share. The recorded runs had a constant learning rate, so an epoch counts
    by its share of the full rate (``History.full_rate_epochs``), and by ``Odds.pace`` where that
    is below all of theirs.

    Args:
        history: of the trial.
        care: how many times a lost good trial weighs more than its epochs.
        odds: of a late start.
    """
    if odds is None or not history.planned or take_off(history) is not None:
        return None
    guessing = _guessing(history)
    if guessing is None:
        return None
    epochs = odds.pace(history.settings) * history.full_rate_epochs()
    whole = rounded_down(epochs)
    if not whole or schedule_progress.rises(history.settings, history.epoch, history.planned):
        return None
    ratio = _ratio(history, odds, whole - 1)
    left = (history.planned - 1 - history.epoch) / history.planned
    if ratio is None or care * ratio >= left:
        return None
    return StopDecision(
        "chance",
        f"at chance for {counted(history.epoch + 1, 'epoch')}"
        + f", {epochs:.1f} of them at the full rate" * (whole != history.epoch + 1)
        + f": {guessing.said}; care {care:g} × odds "
        f"{ratio:.3f} of a "
        f"good late start (from {odds.runs(history.name)} recorded runs) = {care * ratio:.2f}, "
        f"less than the {left:.2f} of its epochs that are left",
        history.epoch,
        value=finite(guessing.best),
        cutoff=guessing.bound,
        peers=odds.runs(history.name),
    )


def _ratio(history: History, odds: Odds, epoch: int) -> float | None:
    """Return ``Odds.ratio`` of a trial at chance after an epoch, by the metric of its search."""
    judge = odds.judge(history.objective)
    leader = history.best_other if judge == history.objective else history.leader
    planned, contest = history.planned, history.contest
    return odds.ratio(epoch, planned, contest, leader, without=history.name, objective=judge)


class _Guessing(NamedTuple):
    """A trial at chance: its best score, and the one up to which it is taken to guess."""

    best: float
    bound: float
    said: str


def _guessing(history: History) -> _Guessing | None:
    """Return what shows that a trial guesses; None: a good trial could look like this one."""
    bound, (best, _) = history.band(), history.best()
    if bound <= 1:
        if bound >= history.leader - WITHIN:  # so few pairs that a good net could look like this
            return None
        said = (
            f"accuracy at most {100 * best:.1f} %, where guessing "
            f"{counted(history.pairs, 'pair')} stays below {100 * bound:.1f} %"
        )
        return _Guessing(best, bound, said)
    edge, objective, metric = history.edge(), history.objective, history.metric
    if not objective.better(history.best_other, edge):  # no trial is known to do better
        return None
    best, shown, unit = history.best(metric)[0], objective.shown, objective.unit
    said = (
        f"best {metric} {shown(best)}{unit}, where a guess has {shown(history.guess)}{unit} and "
        f"its noise, estimated from the scatter of the epochs, stays "
        f"{'below' if objective.maximizes else 'above'} {shown(edge)}{unit}"
    )
    return _Guessing(best, edge, said)


def plateau(
    history: History,
    *,
    patience: int = DEFAULTS["plateau"]["patience"],
    within: float = DEFAULTS["plateau"]["within"],
) -> StopDecision | None:
    """Stop a trial that has left chance and stands still well below the leader.

    It has had no better epoch for ``patience`` epochs (those in which the learning rate rises
    count by their share of the highest), lies more than ``within`` below the best of any other
    trial, and the two 95 % intervals do not overlap. Where the learning rate falls, it has fallen:
    a trial that stands still at a high rate may rise at a low one. All that also holds for the
    score that it would have if it gained as much as any of the best trials has gained since this
    point of the same schedule (``Leaderboard.gain``), so that none on the leader's path stops.

    Args:
        history: of the trial.
        patience: epochs without a better one.
        within: distance to the best score, as a share.
    """
    objective = history.objective
    best, at = history.best(history.metric)
    if math.isnan(best) or not (history.measured or history.noise() >= 0):
        return None  # what is noise is not known
    still = history.warmup_adjusted() - history.warmup_adjusted(at + 1)
    if not schedule_progress.has_come(still, patience) or not _surely_below(history, best, within):
        return None
    if not schedule_progress.settled(history.settings, len(history.rows), history.planned):
        return None
    if take_off(history) is None:
        return None
    gained = objective.key(objective.key(best) + history.gain(within))
    if not _surely_below(history, gained, within):
        return None
    two = best, history.best_other
    ends = [sorted(_interval(history, each), key=objective.key) for each in two]
    above, below = ("most", "least") if objective.maximizes else ("least", "most")
    own, most, leader, least = map(
        objective.shown, (best, ends[0][1], history.best_other, ends[1][0])
    )
    unit, epochs = objective.unit, counted(history.epoch - at, "epoch")
    return StopDecision(
        "plateau",
        f"no better epoch for {epochs}: best {history.metric} {own}{unit} "
        f"(at {above} {most}{unit} with 95 %) of epoch {at}, the leader has {leader}{unit} "
        f"(at {below} {least}{unit})",
        history.epoch,
        value=best,
        cutoff=history.best_other,
    )


Rule = Callable[[History], StopDecision | None]
RULES: dict[str, Callable[..., StopDecision | None]] = {
    "diverged": diverged,
    "dead": dead,
    "chance": chance,
    "plateau": plateau,
}
"""The rules by their names in `prune:` of a space file, in the order in which they are asked."""


def active(space: SearchSpace, odds: Odds) -> dict[str, Rule]:
    """Return the rules that are on, in their order, with their settings filled in.

    Rows are run to compare them with published figures, so nothing ends them but the certainty
    that no epoch would change their best one.
    """
    rules: dict[str, Rule] = {}
    for name, rule in RULES.items():
        settings = space.prune.get(name)
        if not settings or (space.algorithm == "rows" and name in UNCERTAIN):
            continue
        given = dict(settings) if isinstance(settings, Mapping) else {}
        if name == "chance":
            given = {"care": given["care"], "odds": odds}
        rules[name] = functools.partial(rule, **given)
    return rules


def _dead_layer(row: Mapping[str, Any]) -> str | None:
    """Say which layer cuts the outputs off from the input, or None where none is known to."""
    if row.get("trunk_live") == 0:
        return "no unit of its last ReLU is live"
    if row.get("head_live") == 0:
        return "a ReLU layer of the head has no live unit"
    return None


def _surely_below(history: History, value: float, within: float) -> bool:
    """Say whether a score is more than ``within`` worse than the leader's, beyond the noise."""
    key, other = history.objective.key, history.best_other
    if not key(other) - key(value) > within:
        return False
    # Between the best end of the one and the worst end of the other.
    return max(map(key, _interval(history, value))) < min(map(key, _interval(history, other)))


def _interval(history: History, value: float) -> tuple[float, float]:
    """Return the 95 % interval of a score: exact, or by the scatter of this trial's epochs."""
    if history.measured:
        return interval(history.metric, min(1.0, value), history.pairs)
    away = Z * history.noise()
    return value - away, value + away
