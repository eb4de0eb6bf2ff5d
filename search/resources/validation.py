"""What the validation pairs of a dataset can tell: how finely, and by which metric."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facesiam.config import TrialConfig
from facesiam.config.metrics import TPR
from facesiam.config.rounding import rounded_up
from facesiam.errors import DataError, UserError, counted
from facesiam.evaluation.thresholds import fewest_pairs
from search.runs.rated_pairs import rated_pairs
from search.space import SearchSpace

if TYPE_CHECKING:
    from facesiam.data.dataset import FaceData, Pairs
    from facesiam.evaluation.rated_pairs import RatedPairs

UNBALANCED = 0.4
"""Least share of either kind of pairs at which accuracy still ranks nets: below it, a net that
always gives the same answer is right in over 60 % of them."""
ASSUMED_ACCURACY = 0.9
WIDER = {
    "images": "every two of the validation images",
    "people": "every two of all images of the validation people",
}
"""The values of `fpr_pairs` that can have more pairs than the protocol's, the fewest first."""


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


def check_rate(space: SearchSpace, data: FaceData) -> list[str]:
    """Return what `val_tpr_at_fpr` rests on, a line for each set of pairs that trials have.

    Returns:
        The lines; none where the space ranks by another metric.

    Raises:
        DataError: the pairs of two people are too few for the rate.
    """
    lines = []
    for name, rated in rated_pairs(space, data).items():
        fpr, fewest = rated.fpr, fewest_pairs(rated.fpr)
        if not rated.enough:
            given, more = str(space.possible("fpr_pairs")[0]), _wider(space, data, name, rated)
            whose = name if given == "protocol" else f"{name} with fpr_pairs: {given}"
            if not rated.same:
                raise DataError(
                    f"{TPR} needs validation pairs of one person, and {whose} has none; take "
                    f"other data{more}"
                )
            raise DataError(
                f"fpr: {fpr:g} needs {fewest:,} validation pairs of two people, and {whose} has "
                f"{rated.different:,}; {_instead(rated)}{more}"
            )
        lines.append(
            f"{name}: {TPR} is the true accepts at {100 * fpr:g} % false accepts: "
            f"{counted(rated.same, 'pair')} of one person and {rated.different:,} of two, of "
            f"{counted(rated.people, 'person', 'people')}, whom its interval resamples"
        )
    return lines


def _instead(rated: RatedPairs) -> str:
    """Return in words what to do about a rate that some pairs are too few for."""
    if rated.different < 2:
        return "take other data"
    digits = 10 ** (math.floor(math.log10(1 / rated.different)) - 1)
    lowest = digits * rounded_up(1 / rated.different / digits)
    return f"take {lowest:.2g} or a higher rate"


def _wider(space: SearchSpace, data: FaceData, name: str, rated: RatedPairs) -> str:
    """Return in words what gives more pairs of two people than those of this name; "": nothing."""
    for value, which in WIDER.items():
        try:
            others = rated_pairs(space.override([f"fpr_pairs={value}"]), data)
        except UserError:  # a decision net has its protocol's alone
            return ""
        if name in others and others[name].different > rated.different:
            return f", or {which} by fpr_pairs: {value}"
    return ""


def check_cohort(space: SearchSpace, data: FaceData) -> list[str]:
    """Return a line for each protocol whose training people are fewer than a `cohort` asks for."""
    lines: dict[str, str] = {}
    for settings in space.examples():
        config = TrialConfig.from_dict(settings)
        if not config.cohort or config.protocol in lines:
            continue
        people = len(np.unique(data.person[data.images_of(data.pairs_of(config, "train"), "all")]))
        asked = max(int(str(value)) for value in space.possible("cohort"))
        if asked > people:
            lines[config.protocol] = (
                f"cohort: {asked:,} is more than the {counted(people, 'person', 'people')} who "
                f"train in {config.protocol}; all of them count, as with cohort: {people}"
            )
    return list(lines.values())


def _validation(settings: Any, data: FaceData) -> Pairs:
    return data.pairs(
        settings["protocol"],
        "val",
        people=int(settings["people"]),
        seed=int(settings["pair_seed"]),
        fold=int(settings["fold"]),
    )
