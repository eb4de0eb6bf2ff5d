"""When to stop a trial, and why: rules over its history, each returning None or a Reason.

A rule does not know Ray: live trials, tests and replay share it. What a rule needs and a history
lacks (a recorded curve has no gradients) is unknown, and nobody is stopped on what is unknown.

The argument behind ``dead``, which says that a net cannot come back:

- *No gradient.* In every update of at least MOMENTUM updates, each entry of each trunk gradient
  was exactly 0. The largest entry is measured and not a sum of squares, which is 0 already for
  entries below 1e-23. bf16 has the exponents of fp32 and rounds to 0 only below 1e-40, where
  Adam's eps of 1e-8 makes any gradient worthless.
- *No dependence on the input.* A ReLU layer that all of the input passes (the trunk's last, or one
  of the head's) has no live unit over all validation images, so what lies behind it sees zeros
  whatever the image is. Its derivative is 0 too, so all before it gets a gradient of exactly 0.
- *No fit.* The gradient alone is not enough: a net that has fitted its training pairs until the
  softmax saturates gets gradients of exactly 0 as well, and it is the best net of the search. It
  has a training loss near 0. Answers that do not depend on the images cannot bring that below
  ln 2 = 0.69 on as many pairs of each kind, so above FITTED the training pairs, too, were
  answered blindly.
- *Momentum.* Adam goes on after the gradient has gone, by lr · m / (√v + eps): each coordinate in
  one direction, each step 0.90 of the one before, so that whatever the bias correction still
  grows, less than 6e-5 of the whole way is left after 100 updates. (Before that, momentum alone
  does revive nets: ``tests/test_vitals.py`` has one, after 44 updates.) The layer was seen dead
  behind all but that remainder of the way, validation images included. That is a bound on how
  little still moves and no proof that it moves nothing across zero.
- *Weight decay* moves the trunk without any gradient, and towards zero, where a dead layer
  revives: weights (0.5, -0.3, -0.3, -0.3) on inputs of 1 give -0.4, and +0.2 once each has
  shrunk by 0.3. So nothing is certified under weight decay.
- *Batch-norm statistics* move without a gradient too: running ones are the mean of some ten
  batches, and 100 updates have replaced them by those of a net that stands still. Both modes
  were seen dead: training (batch statistics) by loss and gradients, validation by its live units.
- *A frozen trunk* gets no gradient while its head learns well. Its gradients are unknown (NaN),
  not 0, so nothing is certified.
- *Dropout and augmentation* draw anew every epoch. Dropout that happens to hide every live unit
  does so for one update, not for 100. A shifted image that wakes a unit could still come: it did
  not among the thousands of draws of those updates, nor among the validation images. So with
  these two on, death is near certain and not proven.

What it does not see: a dead layer in the middle of the trunk leaves the biases behind it a
gradient. Such a net is at chance, and that rule's business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from search.pruning import schedule_progress
from search.pruning.history import FITTED, History, take_off
from search.pruning.late_start import WITHIN, Odds
from search.pruning.noise import NOISY, interval

MOMENTUM = 100
"""Updates without a gradient after which Adam's momentum is spent: 0.90 ** 100 = 3e-5."""
BETA = 0.9
"""Of Adam's first moment, what an update leaves of it."""


class Reason(NamedTuple):
    """Why a trial is stopped, and the numbers that it rests on."""

    text: str
    value: float = math.nan
    """The score that was judged."""
    cutoff: float = math.nan
    """What it was held against."""
    peers: int | None = None
    """Trials at the rung, or recorded runs behind the odds."""


Rule = Callable[[History], Reason | None]


def diverged(history: History) -> Reason | None:
    """Stop a trial whose last epoch has a loss that is not finite: no update can mend it.

    But for one: a validation loss of infinity beside a val_auc comes from a net that answers every
    pair with a number, one of them with endless certainty. Its weights have nothing wrong.
    """
    last = history.rows[-1]
    for name in ("train_loss", "val_loss"):
        loss = last.get(name, 0.0)
        answers = name == "val_loss" and math.isfinite(last.get("val_auc", math.nan))
        if math.isnan(loss) or (math.isinf(loss) and not answers):
            return Reason(f"{name} is {loss:g} at epoch {history.epoch}", value=loss)
    return None


def dead(history: History) -> Reason | None:
    """Stop a trial that will not learn again; the module's docstring has the argument."""
    if history.settings.get("weight_decay") != 0:
        return None
    last = history.rows[-1]
    updates, since = 0, history.epoch + 1
    for row in reversed(history.rows):
        if row.get("trunk_grad_zero") != 1 or row.get("trunk_grad_max") != 0:
            break
        updates, since = updates + int(row.get("updates", 0)), since - 1
    if updates < spent_after(history, since):
        return None
    layer = _dead_layer(last)
    if layer is None or not last.get("train_loss", math.nan) >= FITTED:
        return None
    epochs = f"epoch {since}" if since == history.epoch else f"epochs {since} to {history.epoch}"
    spread = last.get("logit_spread", math.nan)
    return Reason(
        f"no gradient reached the trunk in {updates} updates ({epochs}), and {layer}: "
        f"the outputs no longer depend on the images (they spread over {spread:.1g})",
        value=0.0,
        cutoff=0.0,
    )


def spent_after(history: History, since: int) -> int:
    """Return the updates without a gradient after which momentum is spent.

    Args:
        history: the trial's.
        since: first epoch without a gradient; where it is the first of all, there never was any.
    """
    settings, keeps = history.settings, BETA
    if settings.get("optimizer") == "sgd":
        keeps = max(BETA, float(settings.get("momentum", BETA)))
    if since <= 0:
        return MOMENTUM
    # What is left of the momentum goes on at a rate that may be higher than that which it was
    # built up at.
    highest = schedule_progress.highest_ahead(settings, history.epoch + 1, history.planned)
    then = schedule_progress.rate(settings, since, history.planned)
    rise = max(0.0, math.log(highest / then))
    return math.ceil((MOMENTUM * math.log(BETA) - rise) / math.log(keeps) - 1e-9)


def chance(history: History, *, care: float = 16.0, odds: Odds | None = None) -> Reason | None:
    """Stop a trial that guesses once a late start is too unlikely for the epochs it would cost.

    It guesses while no epoch's accuracy has left the band that guessing stays in
    (``History.band``). Then being still at chance makes a good end less likely than for a fresh
    trial, by the factor that the recorded runs give (``Odds.ratio``), while going on costs the
    share of the epochs that is left. It is stopped when ``care`` times that factor is less than
    that share. The recorded runs had a constant learning rate, so an epoch counts for the odds by
    its share of that (``History.at_full_rate``), and by ``Odds.pace`` where it is lower than all
    of theirs.
    """
    if odds is None or not history.planned or take_off(history) is not None:
        return None
    bound, (best, _) = history.band(), history.best()
    if bound >= history.leader - WITHIN:  # so few pairs that a good net could look like this
        return None
    epochs = odds.pace(history.settings) * history.at_full_rate()
    whole = math.floor(epochs + 1e-9)
    if not whole or schedule_progress.rises(history.settings, history.epoch, history.planned):
        return None
    ratio = odds.ratio(
        whole - 1, history.planned, history.contest, history.leader, without=history.name
    )
    left = (history.planned - 1 - history.epoch) / history.planned
    if ratio is None or care * ratio >= left:
        return None
    return Reason(
        f"at chance for {history.epoch + 1} epochs"
        + f", {epochs:.1f} of them at the full rate" * (whole != history.epoch + 1)
        + f": accuracy at most {best:.4f}, where guessing "
        f"{history.pairs} pairs stays below {bound:.4f}; care {care:g} × odds {ratio:.3f} of a "
        f"good late start (from {odds.runs(history.name)} recorded runs) = {care * ratio:.2f}, "
        f"less than the {left:.2f} of its epochs that are left",
        value=best,
        cutoff=bound,
        peers=odds.runs(history.name),
    )


def plateau(history: History, *, patience: int = 20, within: float = WITHIN) -> Reason | None:
    """Stop a trial that stands still well below the leader, and will.

    It has taken off, had no better epoch for ``patience`` epochs (those in which the learning rate
    rises count by their share of the highest), lies more than ``within`` below the best that
    another trial has reached, and the two 95 % intervals do not overlap. Where the rate falls it
    has fallen, as what stands still at a high rate may rise at a low one. And all that holds, too,
    of what it would have if it gained as much as any of the best has gained since it was at this
    point of the same schedule (``Leaders.gain``): so what goes the leader's way is not stopped.
    """
    best, at = history.best(history.metric)
    if math.isnan(best) or not history.pairs or history.metric not in NOISY:
        return None
    still = history.climbed() - history.climbed(at + 1)
    if still < patience - 1e-9 or not _surely_below(history, best, history.rival, within):
        return None
    if not schedule_progress.settled(history.settings, len(history.rows), history.planned):
        return None
    if take_off(history) is None:
        return None
    if not _surely_below(history, best + history.gain(within), history.rival, within):
        return None
    high = interval(history.metric, best, history.pairs)[1]
    low = interval(history.metric, history.rival, history.pairs)[0]
    return Reason(
        f"no better epoch for {history.epoch - at} epochs: best {history.metric} {best:.4f} (at "
        f"most {high:.4f} with 95 %) of epoch {at}, the leader has {history.rival:.4f} (at least "
        f"{low:.4f})",
        value=best,
        cutoff=history.rival,
    )


RULES: dict[str, Callable[..., Reason | None]] = {
    "diverged": diverged,
    "dead": dead,
    "chance": chance,
    "plateau": plateau,
}
"""The names that `prune:` of a space file knows, beside `asha` and `control`, in their order."""
CERTAIN = ("diverged", "dead")
"""Those that rest on no odds: what they stop is as good as certain not to get better."""


def _dead_layer(row: Mapping[str, Any]) -> str | None:
    """Say which layer cuts the outputs off from the input, or None where none is known to."""
    if row.get("trunk_live") == 0:
        return "no unit of its last ReLU is live"
    if row.get("head_live") == 0:
        return "a ReLU layer of the head has no live unit"
    return None


def _surely_below(history: History, value: float, other: float, within: float) -> bool:
    """Say whether a value lies more than ``within`` below another, and their intervals apart."""
    if not other - value > within:
        return False
    high = interval(history.metric, min(1.0, value), history.pairs)[1]
    return high < interval(history.metric, other, history.pairs)[0]
