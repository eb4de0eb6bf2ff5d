"""A rule that says whether a net overfits, for measured and for recorded curves alike.

Losses and accuracies are smoothed by the mean of WINDOW epochs. A net overfits when

- training loss kept falling while validation loss turned: it ends more than RISE above its
  minimum, and training loss ends below where it was then; or
- training accuracy ends more than GAP above validation accuracy.

A net whose validation accuracy never passed AT_CHANCE learned nothing that it could overfit, and a
run shorter than WINDOW epochs shows no trend: both stay undecided.

The three bounds are round numbers chosen on the recorded curves of the 2019 study, where a person
looking at plots had decided; tests/analysis/test_overfitting.py says how far each can move without
changing one decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

WINDOW = 5
"""Epochs that are averaged."""
RISE = 0.5
"""Validation loss above its minimum, as a share of the minimum."""
GAP = 0.12
"""Training less validation accuracy, as a share of the pairs."""
AT_CHANCE = 0.55
"""Validation accuracy that a net at chance does not reach."""
CURVES = ("train_loss", "val_loss", "train_acc", "val_acc")
"""What the rule looks at: losses in nats, accuracies in [0, 1]."""

RULE = (
    f"A net overfits when validation loss ends more than {RISE:.0%} above its minimum while "
    f"training loss has fallen further, or when training accuracy ends more than {100 * GAP:.0f} "
    f"points above validation accuracy; all four smoothed over {WINDOW} epochs. A net whose "
    f"validation accuracy never passes {AT_CHANCE:.0%}, and a run of fewer than {WINDOW} epochs, "
    "stay undecided (…)."
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OverfitResult:
    """What the rule says of a net, and why."""

    overfit: bool | None
    """None: undecided."""
    reason: str
    """The numbers behind it, as a phrase."""


def detect_overfit(curves: Mapping[str, Sequence[float]] | pd.DataFrame) -> OverfitResult:
    """Apply the rule to one run.

    Args:
        curves: CURVES by name, a value per epoch (E,). Epochs in which one of them is missing
            (NaN) or infinite are left out.
    """
    values = np.array([curves[name] for name in CURVES], dtype=np.float64)
    values = values[:, np.isfinite(values).all(axis=0)]
    if at_chance(values[3]):
        return OverfitResult(None, "at chance")
    if values.shape[1] < WINDOW:
        return OverfitResult(None, f"fewer than {WINDOW} epochs")
    train_loss, val_loss, train_acc, val_acc = (smooth(curve) for curve in values)
    lowest = int(np.argmin(val_loss))
    rise = val_loss[-1] / val_loss[lowest] - 1
    gap = train_acc[-1] - val_acc[-1]
    turned = bool(rise > RISE and train_loss[-1] < train_loss[lowest])
    reason = (
        f"after {values.shape[1]} epochs: validation loss {100 * rise:+.0f} % from its minimum, "
        f"gap {100 * gap:+.1f} points"
    )
    return OverfitResult(turned or bool(gap > GAP), reason)


def at_chance(val_acc: Sequence[float] | Floats) -> bool:
    """Return whether smoothed validation accuracy (E,) never passes AT_CHANCE, NaN left out."""
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
