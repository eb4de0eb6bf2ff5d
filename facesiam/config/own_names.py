"""Names of nets, losses and metrics of a user's own, beside those that the settings know.

A plugin adds them (``facesiam.plugins``); a run's space file or a model file tells them without
the plugin's code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from facesiam.config import metrics
from facesiam.config.trial import SETTINGS

Kind = Literal["net", "loss", "metric"]
BESIDE = ("val_distinct", "val_right")
"""What a journal has of an epoch's validation besides its metrics."""
_NETS, _LOSSES = SETTINGS["net"].choices, SETTINGS["loss"].choices
BUILT_IN: dict[Kind, frozenset[str]] = {
    "net": frozenset(_NETS),
    "loss": frozenset(_LOSSES),
    "metric": frozenset(metrics.FIELDS + BESIDE),
}


def set_own(nets: Iterable[str], losses: Iterable[str], modes: dict[str, str]) -> None:
    """Have the settings and the metrics be those built in and these, instead of earlier ones.

    Args:
        nets: more values of the setting `net`.
        losses: more values of the setting `loss`, of embeddings.
        modes: by metric whether more (max) or less (min) of it is better.
    """
    for setting, kept, more in (("net", _NETS, nets), ("loss", _LOSSES, losses)):
        SETTINGS[setting] = replace(SETTINGS[setting], choices=(*kept, *more))
    metrics.OWN.clear()
    metrics.OWN.update(modes)
