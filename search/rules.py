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

from facesiam.metrics import wilson
from search.history import History, take_off
from search.odds import WITHIN, Odds

MOMENTUM = 100
"""Updates without a gradient after which Adam's momentum is spent: 0.90 ** 100 = 3e-5."""
FITTED = 0.6
"""Training loss, in nats, that no net reaches whose answers do not depend on the images."""


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
    """Stop a trial whose last epoch has a loss that is not finite: no update can mend it."""
    last = history.rows[-1]
    for name in ("train_loss", "val_loss"):
        loss = last.get(name, 0.0)
        if not math.isfinite(loss):
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
    if updates < MOMENTUM:
        return None
    layer = _dead_layer(last)
    if layer is None or not last.get("train_loss", math.nan) >= FITTED:
        return None
    epochs = f"epoch {since}" if since == history.epoch else f"epochs {since} to {history.epoch}"
    spread = last.get("logit_spread", math.nan)
    return Reason(
        f"no gradient reached the trunk in {updates} updates ({epochs}), and {layer}: "
        f"the outputs no longer depend on the images (they spread over {spread:.1g})",
        value=0.0, cutoff=0.0,
    )


def chance(history: History, *, care: float = 16.0, odds: Odds | None = None) -> Reason | None:
    """Stop a trial that guesses once a late start is too unlikely for the epochs it would cost.

    It guesses while no epoch's accuracy has left the band that guessing stays in
    (``History.band``). Then being still at chance makes a good end less likely than for a fresh
    trial, by the factor that the recorded runs give (``Odds.ratio``), while going on costs the
    share of the epochs that is left. It is stopped when ``care`` times that factor is less than
    that share.
    """
    if odds is None or not history.planned or take_off(history) is not None:
        return None
    bound, (best, _) = history.band(), history.best()
    if bound >= history.leader - WITHIN:  # so few pairs that a good net could look like this
        return None
    ratio = odds.ratio(
        history.epoch, history.planned, history.contest, history.leader, without=history.name
    )
    left = (history.planned - 1 - history.epoch) / history.planned
    if ratio is None or care * ratio >= left:
        return None
    return Reason(
        f"at chance for {history.epoch + 1} epochs: accuracy at most {best:.4f}, where guessing "
        f"{history.pairs} pairs stays below {bound:.4f}; care {care:g} × odds {ratio:.3f} of a "
        f"good late start (from {odds.runs(history.name)} recorded runs) = {care * ratio:.2f}, "
        f"less than the {left:.2f} of its epochs that are left",
        value=best, cutoff=bound, peers=odds.runs(history.name),
    )


def plateau(
    history: History, *, patience: int = 20, within: float = WITHIN
) -> Reason | None:
    """Stop a trial that stands still well below the leader.

    It has taken off, had no better epoch for ``patience`` epochs, lies more than ``within`` below
    the best that another trial has reached, and the two 95 % intervals do not overlap.
    """
    best, at = history.best()
    if math.isnan(best) or history.epoch - at < patience or not history.pairs:
        return None
    if not history.leader - best > within or take_off(history) is None:
        return None
    high, low = _interval(best, history.pairs)[1], _interval(history.leader, history.pairs)[0]
    if high >= low:
        return None
    return Reason(
        f"no better epoch for {history.epoch - at} epochs: best val_acc {best:.4f} (at most "
        f"{high:.4f} with 95 %) of epoch {at}, the leader has {history.leader:.4f} (at least "
        f"{low:.4f})",
        value=best, cutoff=history.leader,
    )


RULES: dict[str, Callable[..., Reason | None]] = {
    "diverged": diverged, "dead": dead, "chance": chance, "plateau": plateau,
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


def _interval(accuracy: float, pairs: int) -> tuple[float, float]:
    return wilson(round(accuracy * pairs), pairs)
