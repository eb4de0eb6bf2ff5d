"""Thresholds of "same person": what decides a net's own, and those for a false-accept rate.

A pair is accepted as "same person" where its score is above the threshold, as everywhere. The
false-accept rate (FAR) is the share of the different pairs that are accepted, the true-accept rate
(TAR) that of the same pairs; the false-reject rate is 1 less the TAR.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facesiam.config import Value
from facesiam.config.rounding import rounded_down, rounded_up
from facesiam.config.trial import is_calibrated
from facesiam.errors import DataError
from facesiam.evaluation.metrics import FALSE_ACCEPTS, checked, wilson

ACCEPTED = {
    name: f"true accepts at {100 * most:g} % false accepts" for name, most in FALSE_ACCEPTS.items()
}
"""The measures of FALSE_ACCEPTS as tables name them. The rate of false accepts has a unit of its
own: "TPR at FPR 0.01, %" could be read as 0.01 %."""

ThresholdOrigin = Literal["equal logits", "validation pairs"]
"""What decides the threshold of an accuracy."""
ORIGINS: tuple[ThresholdOrigin, ...] = get_args(ThresholdOrigin)


def own_threshold(settings: Mapping[str, Value]) -> ThresholdOrigin:
    """Return what decides the threshold of a net with these settings."""
    return "validation pairs" if is_calibrated(settings) else "equal logits"


def recorded_threshold(figures: Mapping[str, Any]) -> ThresholdOrigin | None:
    """Return what decides the threshold of a test's figures, as they are in its file.

    Older versions did not record it, but chose that of every ensemble on validation pairs.

    Returns:
        None: it is not known.
    """
    if figures.get("threshold") in ORIGINS:
        return cast(ThresholdOrigin, figures["threshold"])
    if figures.get("members"):
        return "validation pairs"
    settings = figures.get("config")
    return own_threshold(settings) if isinstance(settings, dict) and settings else None


def describe_threshold(origin: ThresholdOrigin | None, protocol: str | None = None) -> str:
    """Return in words where a threshold lies, to follow "at the threshold" or "threshold:".

    Args:
        origin: of the threshold; None: not recorded, by older versions.
        protocol: whose validation pairs decide; None: not to be named.
    """
    if origin is None:
        return "not recorded"
    if origin == "equal logits":
        return "where the net's two logits are equal, which no pairs chose"
    return f"where most validation pairs{f' of {protocol}' if protocol else ''} are judged right"


class Judged(NamedTuple):
    """P pairs with their scores."""

    score: NDArray[np.float64]
    """(P,) higher where the two images are more alike."""
    label: NDArray[np.int64]
    """(P,) 0 same, 1 different."""
    distinct: NDArray[np.int64] | None = None
    """(P,) a number for each pair, the same for the same two pictures; None: all differ."""


class Rate(TypedDict):
    """A share of pairs with its 95 % interval, all in [0, 1].

    The interval is Wilson's where the pairs are those of a protocol, and that of a bootstrap over
    people where they are every two of many images (``people_rates``).
    """

    value: float
    low: float
    high: float
    n: int
    """Pairs that it is a share of; those of the same two pictures count once."""


class AtFar(TypedDict):
    """A threshold, and the rates of the validation and test pairs at it."""

    asked: float
    """The false-accept rate that the validation pairs may have at most."""
    threshold: float
    """A pair is accepted where its score is above it."""
    different: int
    """Different pairs of validation that it was chosen from, each as often as listed."""
    val_far: Rate
    val_tar: Rate
    test_far: Rate
    test_tar: Rate
    fpr_pairs: NotRequired[str]
    """Which every two images the pairs are (the setting); else they are the protocol's."""
    people: NotRequired[list[int]]
    """Of validation and of test, where ``fpr_pairs`` is there."""


def threshold_at(score: ArrayLike, label: ArrayLike, far: float) -> float:
    """Return the smallest threshold whose false-accept rate is at most ``far``.

    It is the score of a different pair: of n of them, floor(far n) may lie above it. Fewer than
    1 / ``far`` of them allow none, and the threshold is the largest score of a different pair.

    Args:
        score: (P,) higher where the two images are more alike.
        label: (P,) 0 same, 1 different.
        far: above 0 and below 1.

    Raises:
        ValueError: as ``metrics.checked``; ``far`` is out of bounds; no pair is of two people, or
            the score of one is NaN.
    """
    if not 0 < far < 1:
        raise ValueError(f"a false-accept rate must be above 0 and below 1, got {far:g}")
    scores, same = checked(score, label)
    different = np.sort(scores[~same])
    if not len(different) or np.isnan(different).any():
        raise ValueError("a threshold needs different pairs, and scores that are numbers")
    return float(different[-1 - most_accepted(far, len(different))])


def most_accepted(far: float, different: int) -> int:
    """Return how many of so many different pairs may be accepted at a false-accept rate."""
    return rounded_down(far * different)


def fewest_pairs(far: float) -> int:
    """Return how many different pairs it takes for one to be accepted at a false-accept rate."""
    return rounded_up(1 / far)


def rates_at(judged: Judged, threshold: float) -> tuple[Rate, Rate]:
    """Return the false-accept and the true-accept rate of P pairs at a threshold.

    A pair that is listed twice counts twice in the shares and once in ``n``, as in
    ``metrics.verification``. A NaN score is not accepted. A rate of no pairs is NaN.

    Raises:
        ValueError: as ``metrics.checked``.
    """
    scores, same = checked(judged.score, judged.label)
    pair = np.arange(len(scores)) if judged.distinct is None else judged.distinct
    accepted = scores > threshold
    return _rate(accepted[~same], pair[~same]), _rate(accepted[same], pair[same])


def at_far(val: Judged, test: Judged, asked: Sequence[float]) -> list[AtFar]:
    """Choose a threshold for each false-accept rate on validation pairs, and test it.

    Args:
        val: validation pairs, which decide the thresholds.
        test: test pairs, of the same net under the same calibration.
        asked: false-accept rates, each above 0 and below 1.

    Raises:
        DataError: the score of a validation pair of two people is NaN.
        ValueError: as ``threshold_at``.
    """
    if np.isnan(val.score[val.label == 1]).any():
        raise DataError("the net's scores of the validation pairs are not all numbers")
    found = []
    for far in asked:
        threshold = threshold_at(val.score, val.label, far)
        (val_far, val_tar), (test_far, test_tar) = (
            rates_at(pairs, threshold) for pairs in (val, test)
        )
        found.append(
            AtFar(
                asked=far,
                threshold=threshold,
                different=int((val.label == 1).sum()),
                val_far=val_far,
                val_tar=val_tar,
                test_far=test_far,
                test_tar=test_tar,
            )
        )
    return found


_EVERY_TWO = {"images": "images of the protocol's pairs", "people": "images of any view"}


def describe_rates(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return in words of which pairs rates are, and what their intervals are.

    Args:
        rows: each an ``AtFar``, or what has rates of the protocol's pairs alone; some may be of
            other pairs than the rest.
    """
    return "; ".join(dict.fromkeys(map(_describe_rate, rows)))


def _describe_rate(row: Mapping[str, Any]) -> str:
    if "fpr_pairs" not in row or "people" not in row:
        return "rates of the protocol's pairs, with 95 % Wilson intervals"
    val, test = (f"{people:,}" for people in row["people"])
    which = _EVERY_TWO.get(row["fpr_pairs"], "images")
    return (
        f"rates over every two {which} (fpr_pairs: {row['fpr_pairs']}), of {val} validation and "
        f"{test} test people, with 95 % intervals of a bootstrap over people"
    )


def far_digits(asked: float) -> int:
    """Return how many digits of percent show a false-accept rate that was asked for: 2 or more."""
    return max(2, rounded_up(-math.log10(asked)) - 1)


def pairs_named(row: Mapping[str, Any]) -> str:
    """Return the name of the pairs of an ``AtFar``: the protocol's, or which every two images."""
    return f"every two ({row['fpr_pairs']})" if "fpr_pairs" in row else "the protocol's"


def too_few(row: AtFar) -> str:
    """Return a sentence where validation has too few different pairs for a rate, else ``""``."""
    fewest = fewest_pairs(row["asked"])
    if row["different"] >= fewest:
        return ""
    return (
        f"FAR {row['asked']:g} needs {fewest:,} validation pairs of two people, and there are "
        f"{row['different']:,}: the threshold is the largest score of these, which says little of "
        "that rate"
    )


def _rate(accepted: NDArray[np.bool_], pair: NDArray[np.int64]) -> Rate:
    n = len(np.unique(pair))
    share = float(accepted.mean()) if n else math.nan
    low, high = wilson(round(share * n) if n else 0, n)
    return Rate(value=share, low=low, high=high, n=n)
