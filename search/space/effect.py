"""Which settings of a trial have an effect, given the others: SGD's momentum has none for Adam."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facesiam.config import SETTINGS
from facesiam.config.constraints import EMBEDDING_JOINS, EMBEDDING_LOSSES, PAIR_LOSSES

WITH_MARGIN = (
    *("contrastive", "triplet", "cosine_embedding"),
    *("arcface", "cosface", "subcenter_arcface", "adaface"),
)
WITH_SCALE = ("logistic", "supcon", "arcface", "cosface", "subcenter_arcface", "adaface")
READ_BY_LOSSES = {
    "margin": WITH_MARGIN,
    "loss_scale": WITH_SCALE,
    "sub_centres": ("subcenter_arcface",),
    "mining": ("triplet",),
    "hard_negatives": ("contrastive", "cosine_embedding", "logistic"),
}
"""Settings that only some losses read. Which ones a loss of a plugin reads is not known: all."""


def has_effect(name: str, settings: Mapping[str, Any]) -> bool:
    """Return whether another value of a setting could give another net or other scores.

    Args:
        name: of the setting.
        settings: of the trial; one that is missing has its default.
    """

    def value(of: str) -> Any:
        """Return a setting of the trial."""
        found = settings.get(of)
        return SETTINGS[of].default if found is None else found

    loss, embeds = value("loss"), value("join") in EMBEDDING_JOINS
    if name in READ_BY_LOSSES:
        own = loss not in (*PAIR_LOSSES, *EMBEDDING_LOSSES)
        return own or loss in READ_BY_LOSSES[name]
    needed = {
        "momentum": value("optimizer") == "sgd",
        "hidden": not embeds,
        "calibrate": not embeds,
        "embedding": embeds,
        "growing": bool(value("first_image_size")),
    }
    return bool(needed.get(name, True))
