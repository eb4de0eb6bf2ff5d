"""Did a net overfit? One rule, for measured and for recorded curves alike.

Losses and accuracies are smoothed by the mean of WINDOW epochs. A net overfits when

- training loss kept falling while validation loss turned: it ends more than RISE above its
  minimum, and training loss ends below where it was then; or
- training accuracy ends more than GAP above validation accuracy.

A net whose validation accuracy never passed AT_CHANCE learned nothing that it could overfit, and a
run shorter than WINDOW epochs shows no trend: neither gets a verdict.

The three bounds are round numbers chosen on the documents' own curves, where the verdicts came
from a person looking at plots; tests/test_overfit.py says how far they can move without changing
one verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW = 5
"""Epochs that are averaged."""
RISE = 0.5
"""Validation loss above its minimum, as a share of the minimum."""
GAP = 0.12
"""Training less validation accuracy, as a share of the pairs."""
AT_CHANCE = 0.55
"""Validation accuracy that a net at chance does not reach."""

RULE = (
    f"A net overfits when validation loss ends more than {RISE:.0%} above its minimum while "
    f"training loss has fallen further, or when training accuracy ends more than {100 * GAP:.0f} "
    f"points above validation accuracy; all four smoothed over {WINDOW} epochs. A net whose "
    f"validation accuracy never passes {AT_CHANCE:.0%}, and a run of fewer than {WINDOW} epochs, "
    "gets no verdict (…)."
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """What the rule saw. ``overfit`` None: no verdict."""

    overfit: bool | None
    reason: str
    """The numbers behind it, as a phrase."""


def overfit(
    train_loss: Sequence[float],
    val_loss: Sequence[float],
    train_acc: Sequence[float],
    val_acc: Sequence[float],
) -> bool | None:
    """Judge the curves of one run, a value per epoch (E,): losses in nats, accuracies in [0, 1].

    Epochs with a value that is missing (NaN) or endless are left out. Returns None where there is
    no verdict: a net at chance, or fewer than five epochs.
    """
    return verdict(train_loss, val_loss, train_acc, val_acc).overfit


def verdict(
    train_loss: Sequence[float],
    val_loss: Sequence[float],
    train_acc: Sequence[float],
    val_acc: Sequence[float],
) -> Verdict:
    """Judge as ``overfit`` does, and say why."""
    curves = np.array([train_loss, val_loss, train_acc, val_acc], dtype=np.float64)
    curves = curves[:, np.isfinite(curves).all(axis=0)]
    if at_chance(curves[3]):
        return Verdict(None, "at chance")
    if curves.shape[1] < WINDOW:
        return Verdict(None, f"fewer than {WINDOW} epochs")
    train, val, train_right, val_right = (smooth(curve) for curve in curves)
    lowest = int(np.argmin(val))
    rise = val[-1] / val[lowest] - 1
    gap = train_right[-1] - val_right[-1]
    turned = bool(rise > RISE and train[-1] < train[lowest])
    reason = (
        f"after {curves.shape[1]} epochs: validation loss {100 * rise:+.0f} % from its minimum, "
        f"gap {100 * gap:+.1f} points"
    )
    return Verdict(turned or bool(gap > GAP), reason)


def at_chance(val_acc: Sequence[float] | Floats) -> bool:
    """Say whether smoothed validation accuracy (E,) never passed AT_CHANCE; NaN is left out."""
    curve = np.asarray(val_acc, dtype=np.float64)
    smoothed = smooth(curve[~np.isnan(curve)])
    return not bool((smoothed > AT_CHANCE).any())


def smooth(curve: Floats) -> Floats:
    """Return the means (E − WINDOW + 1,) of WINDOW neighbouring epochs, or of all if fewer."""
    width = min(WINDOW, len(curve))
    if width == 0:
        return curve
    means: Floats = np.convolve(curve, np.full(width, 1 / width), mode="valid")
    return means
