"""Metrics of verification: accuracy, AUC, equal error rate, true accepts at few false accepts.

Everywhere, label 0 (same person) is the positive class and the score is the log-odds of "same":
0 is the threshold of the accuracy, the other metrics depend on the order alone. Scores are
log-odds and not probabilities: a probability in float64 is exactly 1 from log-odds of 37 on, in
float32 from 17 on, and the pairs beyond, which decide the true accepts at few false accepts, would
be ties.

Pairs of equal scores are accepted together or not at all, as no threshold lies between them. A NaN
score counts as wrong in the accuracy, and makes AUC and EER NaN, as the pairs have no order. AUC
and EER are also NaN where a class has no pair.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FALSE_ACCEPTS = {"tpr_at_fpr_1e-2": 1e-2, "tpr_at_fpr_1e-3": 1e-3}
"""Measures of true accepts, and the false accepts that each allows."""
METRICS = ("accuracy", "auc", "eer", *FALSE_ACCEPTS)
RESAMPLES = 1_000
CHUNK = 4_000_000
"""Cells of the (resamples, pairs) arrays held at once: 32 MB each."""


def accuracy(log_odds: ArrayLike, label: ArrayLike) -> float:
    """Return the share of the P pairs predicted right, in [0, 1]; NaN without pairs.

    "Same" is predicted where the log-odds are above 0, that is, where the first logit is higher
    than the second; exactly 0 is predicted "different", NaN is always wrong.

    Raises:
        ValueError: the two differ in length, or a label is neither 0 nor 1.
    """
    score, same = checked(log_odds, label)
    return float(np.mean(_right(score, same))) if len(score) else math.nan


def wilson(right: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a share, in [0, 1], from ``right`` of ``n``; (0, 1) for n = 0.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    JASA 22 (1927).

    Raises:
        ValueError: ``right`` is not within 0 and ``n``.
    """
    if not 0 <= right <= n:
        raise ValueError(f"right must be within 0 and n = {n}, got {right}")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, slack = right / n, z * z / n
    centre = (share + slack / 2) / (1 + slack)
    half = z / (1 + slack) * math.sqrt(share * (1 - share) / n + slack / (4 * n))
    # At 0 and n the bound is exactly 0 or 1; rounding would leave 1e-17 beside it.
    low = 0.0 if right == 0 else centre - half
    high = 1.0 if right == n else centre + half
    return low, high


def auc(score: ArrayLike, label: ArrayLike) -> float:
    """Return the chance that a same pair scores above a different pair, ties counting half.

    Raises:
        ValueError: as ``accuracy``.
    """
    scores, same = checked(score, label)
    if not _ranked(scores, same):
        return math.nan
    return float(_areas(*_roc(*_group_counts(scores, same)))[0])


def eer(score: ArrayLike, label: ArrayLike) -> float:
    """Return the equal error rate, in [0, 1]: where false accepts are as frequent as rejects.

    Between two points of the ROC curve the crossing is interpolated linearly, so a perfect ranking
    gives 0, a reversed one 1, and the same score for every pair 0.5.

    Raises:
        ValueError: as ``accuracy``.
    """
    scores, same = checked(score, label)
    if not _ranked(scores, same):
        return math.nan
    return float(_crossings(*_roc(*_group_counts(scores, same)))[0])


def true_accepts(score: ArrayLike, label: ArrayLike, false_accepts: float) -> float:
    """Return the true accept rate at a false accept rate of at most ``false_accepts``.

    The threshold is the lowest score that keeps this bound, so where there are fewer than
    1 / `false_accepts` different pairs none of them may be accepted. NaN where a class has no
    pair or a score is NaN.

    Raises:
        ValueError: as ``accuracy``.
    """
    scores, same = checked(score, label)
    if not _ranked(scores, same):
        return math.nan
    return float(_accepted(*_roc(*_group_counts(scores, same)), false_accepts)[0])


def roc(score: ArrayLike, label: ArrayLike) -> tuple[Floats, Floats]:
    """Return false and true accept rates (G + 1,) at every threshold, from (0, 0) to (1, 1).

    Raises:
        ValueError: as ``accuracy``; a class has no pair; a score is NaN.
    """
    scores, same = checked(score, label)
    if not _ranked(scores, same):
        raise ValueError("a curve needs pairs of both kinds, and scores that are numbers")
    false, true = _roc(*_group_counts(scores, same))
    return false[0], true[0]


def ties(score: ArrayLike, label: ArrayLike) -> int:
    """Return how many of the P pairs have exactly the score of a pair of the other class.

    No threshold separates these.

    Raises:
        ValueError: as ``accuracy``.
    """
    scores, same = checked(score, label)
    positive, negative = (counts[0] for counts in _group_counts(scores, same))
    both = (positive > 0) & (negative > 0)
    return int((positive + negative)[both].sum())


def verification(
    log_odds: ArrayLike, label: ArrayLike, seed: int = 0, distinct: ArrayLike | None = None
) -> dict[str, dict[str, float]]:
    """Return the METRICS of P pairs, each as ``{"value", "low", "high"}``, all in [0, 1].

    ``accuracy`` also has ``n`` and Wilson's 95 % interval. The intervals of the others are the
    2.5th and 97.5th percentile over 1,000 bootstrap resamples drawn from ``seed``, same and
    different pairs each resampled among themselves: the protocols fix how many there are of each.

    A pair that a protocol lists twice counts twice in the values, as is usual in the literature,
    but is no further evidence: it counts once in ``n``, and is drawn as one.

    Args:
        log_odds: (P,) of "same person".
        label: (P,) 0 same, 1 different.
        seed: of the resamples.
        distinct: (P,) a number for each pair, the same for the same two pictures; None: all
            differ.

    Raises:
        ValueError: as ``accuracy``.
    """
    score, same = checked(log_odds, label)
    pair = np.arange(len(score)) if distinct is None else np.asarray(distinct, dtype=np.int64)
    n = len(np.unique(pair))
    share = float(_right(score, same).mean()) if n else math.nan
    low, high = wilson(round(share * n) if n else 0, n)
    result: dict[str, dict[str, float]] = {
        "accuracy": {"value": share, "low": low, "high": high, "n": n},
        "auc": {"value": auc(score, label), "low": math.nan, "high": math.nan},
        "eer": {"value": eer(score, label), "low": math.nan, "high": math.nan},
    }
    for name, most in FALSE_ACCEPTS.items():
        value = true_accepts(score, label, most)
        result[name] = {"value": value, "low": math.nan, "high": math.nan}
    if _ranked(score, same):
        drawn = _bootstrap(score, same, pair, np.random.default_rng(seed))
        for name, values in drawn.items():
            bounds = np.percentile(values, [2.5, 97.5])
            result[name].update(low=float(bounds[0]), high=float(bounds[1]))
    return result


def checked(given: ArrayLike, label: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Return P scores as float64 (P,), and for each whether its pair is of one person (P,).

    Raises:
        ValueError: the two differ in length, or a label is neither 0 nor 1.
    """
    score, labels = np.asarray(given, dtype=np.float64), np.asarray(label)
    if score.ndim != 1 or score.shape != labels.shape:
        raise ValueError(
            f"scores and labels must both be (P,), got {score.shape} and {labels.shape}"
        )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("a label must be 0 (same person) or 1 (different people)")
    return score, labels == 0


def _right(score: Floats, same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    right: NDArray[np.bool_] = ((score > 0) == same) & ~np.isnan(score)
    return right


def _ranked(score: Floats, same: NDArray[np.bool_]) -> bool:
    return bool(same.any() and not same.all() and not np.isnan(score).any())


def _groups(score: Floats) -> Ints:
    """Number each pair's score (P,), 0 the highest; equal scores share a number."""
    return np.unique(-score, return_inverse=True)[1].astype(np.int64)


def _group_counts(score: Floats, same: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    groups = _groups(score)
    size = int(groups.max(initial=-1)) + 1
    positive = np.bincount(groups[same], minlength=size)
    negative = np.bincount(groups[~same], minlength=size)
    return positive[None, :], negative[None, :]


def _roc(positive: Ints, negative: Ints) -> tuple[Floats, Floats]:
    """Turn counts (B, G) per score, highest first, into B curves: false and true accepts."""
    curves = []
    for counts in (negative, positive):
        accepted = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
        curves.append(np.pad(accepted, ((0, 0), (1, 0))))
    return curves[0], curves[1]


def _areas(false_accepts: Floats, true_accepts: Floats) -> Floats:
    heights = (true_accepts[:, 1:] + true_accepts[:, :-1]) / 2
    areas: Floats = (np.diff(false_accepts, axis=1) * heights).sum(axis=1)
    return areas


def _accepted(false_accepts: Floats, true_accepts: Floats, most: float) -> Floats:
    """Return the highest true accepts of each of B curves with at most so many false ones."""
    allowed = np.where(false_accepts <= most + 1e-12, true_accepts, 0.0)
    highest: Floats = allowed.max(axis=1)
    return highest


def _crossings(false_accepts: Floats, true_accepts: Floats) -> Floats:
    """Return where each of B curves (B, G + 1) has as many false accepts as false rejects."""
    excess = false_accepts + true_accepts - 1  # false accepts less false rejects: from -1 to 1
    after = np.argmax(excess >= -1e-12, axis=1)
    row = np.arange(len(excess))
    over, under = excess[row, after], excess[row, after - 1]
    step = -under / (over - under)
    start = false_accepts[row, after - 1]
    crossings: Floats = start + step * (false_accepts[row, after] - start)
    return crossings


def _bootstrap(
    score: Floats, same: NDArray[np.bool_], pair: Ints, rng: np.random.Generator
) -> dict[str, Floats]:
    """Return RESAMPLES values of every measure but the accuracy."""
    groups = _groups(score)
    size = int(groups.max()) + 1
    found: dict[str, list[Floats]] = {name: [] for name in METRICS[1:]}
    left = RESAMPLES
    while left:
        rows = min(left, max(1, CHUNK // len(score)))
        curves = _roc(
            _resampled(groups[same], pair[same], rows, size, rng),
            _resampled(groups[~same], pair[~same], rows, size, rng),
        )
        found["auc"].append(_areas(*curves))
        found["eer"].append(_crossings(*curves))
        for name, most in FALSE_ACCEPTS.items():
            found[name].append(_accepted(*curves, most))
        left -= rows
    return {name: np.concatenate(values) for name, values in found.items()}


def _resampled(groups: Ints, pair: Ints, rows: int, size: int, rng: np.random.Generator) -> Ints:
    """Draw ``rows`` resamples of ``groups`` (P,) and count each, (rows, size).

    Entries with the same number in ``pair`` (P,) are drawn together.
    """
    number = np.unique(pair, return_inverse=True)[1].reshape(-1)
    count = int(number.max()) + 1
    if count == len(groups):
        flat = groups[rng.integers(count, size=(rows, count))] + size * np.arange(rows)[:, None]
        return np.bincount(flat.ravel(), minlength=rows * size).reshape(rows, size)
    drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
    times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)[:, number]
    flat = groups + size * np.arange(rows)[:, None]
    counts = np.bincount(flat.ravel(), times.ravel(), minlength=rows * size)
    return counts.reshape(rows, size).astype(np.int64)
