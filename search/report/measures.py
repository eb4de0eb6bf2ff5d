"""How the page shows a metric of the epochs: its label, its unit, and its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from facesiam.config.metrics import TPR
from search.report.report_data import Run

SHARES = {
    "val_acc": "validation accuracy",
    "train_acc": "training accuracy",
    "val_auc": "validation AUC",
    TPR: "validation true accepts at few false accepts",
}
"""Metrics that people read in percent."""
LOSSES = {"val_loss": "validation loss", "train_loss": "training loss"}


class Measure(NamedTuple):
    """A metric of an epoch."""

    name: str
    label: str
    """Of an axis."""
    percent: bool

    @property
    def unit(self) -> str:
        """What stands behind its numbers."""
        return " %" if self.percent else ""

    def of(self, line: Mapping[str, Any]) -> float:
        """Return its value in an epoch's line, in percent where it is a share; NaN for none."""
        value = line.get(self.name)
        number = math.nan if value is None else float(value)
        return 100 * number if self.percent else number


def measure(name: str) -> Measure:
    """Return how a metric is shown."""
    if name in SHARES:
        return Measure(name, f"{SHARES[name]}, %", True)
    return Measure(name, LOSSES.get(name, name), False)


def of_epochs(run: Run) -> list[Measure]:
    """Return the metrics whose curves the page draws, the one that ranks first."""
    names = dict.fromkeys([run.searched.metric, *SHARES, *LOSSES])
    return [
        measure(name) for name in names if name in run.epochs and run.epochs[name].notna().any()
    ]
