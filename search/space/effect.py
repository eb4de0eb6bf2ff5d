"""Which settings of a trial have an effect, given the others: SGD's momentum has none for Adam."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from facesiam.config import SETTINGS
from facesiam.config.constraints import EMBEDDING_JOINS, EMBEDDING_LOSSES, PAIR_LOSSES

if TYPE_CHECKING:
    from search.space.model import SearchSpace

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


def without_effect(space: SearchSpace) -> list[str]:
    """Return a sentence on each setting that a space gives and that acts in none of its trials.

    One that has its default is not told of: without its line the search would be the same.
    """
    every, told = list(space.examples()), []
    of_rows = (name for row in space.rows.values() for name in row.settings)
    for name in dict.fromkeys([*space.fixed, *space.search, *of_rows]):
        values = {one[name] for one in every}
        if values == {SETTINGS[name].default} or any(has_effect(name, one) for one in every):
            continue
        why = ""
        if name in READ_BY_LOSSES:
            losses = ", ".join(dict.fromkeys(str(one["loss"]) for one in every))
            why = f" with loss {losses}; with {', '.join(READ_BY_LOSSES[name])} it has one"
        told.append(f"{name}: has no effect in any trial{why}")
    return told


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
