"""What the validation pairs of a dataset can tell: how finely, and by which metric."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facesiam.errors import counted
from search.space import SearchSpace

if TYPE_CHECKING:
    from facesiam.data.dataset import FaceData, Pairs

UNBALANCED = 0.4
"""Least share of either kind of pairs at which accuracy still ranks nets: below it, a net that
always gives the same answer is right in over 60 % of them."""
ASSUMED_ACCURACY = 0.9


def with_metric(space: SearchSpace, data: FaceData) -> tuple[SearchSpace, str]:
    """Return a space that ranks by AUC where accuracy would mislead, unless its file says by what.

    Args:
        space: as read.
        data: opened.

    Returns:
        The space, and a line that says what was changed, or "".
    """
    settings = next(space.examples())
    if space.metric_given or settings["protocol"] != "dataset-pairs":
        return space, ""
    pairs = _validation(settings, data)
    reason = unbalanced(float((pairs.label == 0).mean()), "validation")
    if not reason:
        return space, ""
    text = f"metric: val_auc, as {reason}; a space file's metric: decides otherwise"
    changed = replace(space, metric="val_auc", metric_given=True, metric_reason=reason, mode="max")
    return changed, text


def unbalanced(share: float, which: str) -> str:
    """Return what accuracies of unbalanced pairs say, as a clause; "" of pairs in balance.

    Args:
        share: of the pairs that are of the same person.
        which: pairs they are, such as ``test``.
    """
    if UNBALANCED <= share <= 1 - UNBALANCED:
        return ""
    return (
        f"{100 * share:.0f} % of the {which} pairs are of one person, and a net that always gives "
        f"one answer would have an accuracy of {100 * max(share, 1 - share):.0f} %"
    )


def precision(space: SearchSpace, data: FaceData) -> list[str]:
    """Return how finely each protocol's validation pairs tell nets apart, a line for each."""
    lines = []
    for protocol in space.possible("protocol"):
        some = next(space.examples())
        same = (one for one in space.examples() if one["protocol"] == protocol)
        settings = next(same, {**some, "protocol": protocol})  # few of a large space are drawn
        pairs = _validation(settings, data)
        count = len(pairs.label)
        distinct = len(set(data.distinct(pairs).tolist()))
        people = len(set(data.person[pairs.left]) | set(data.person[pairs.right]))
        half = 196 * math.sqrt(ASSUMED_ACCURACY * (1 - ASSUMED_ACCURACY) / distinct)
        more = f" ({distinct:,} different)" if distinct < count else ""
        lines.append(
            f"{protocol}: {counted(count, 'validation pair')}{more} of "
            f"{counted(people, 'person', 'people')}: an accuracy of "
            f"{100 * ASSUMED_ACCURACY:.0f} % is good to ±{half:.1f} points with 95 %"
        )
    return lines


def _validation(settings: Any, data: FaceData) -> Pairs:
    return data.pairs(
        settings["protocol"],
        "val",
        people=int(settings["people"]),
        seed=int(settings["pair_seed"]),
        fold=int(settings["fold"]),
    )
