"""Recorded curves as if a run had started later, or its learning rate had followed a schedule."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import replace

from facesiam.config import Value
from facesiam.config.rounding import rounded_down
from facesiam.config.trial import is_calibrated
from search.pruning import schedule_progress
from search.pruning.recorded_runs import Curve


def scheduled(curve: Curve, schedule: Mapping[str, Value]) -> Curve:
    """Return the run as if its learning rate had followed a schedule, with the same length.

    A net is taken to move in proportion to its rate: after each epoch it is as far as the recorded
    one was after the sum of the rates up to then, rounded down to whole epochs.

    Args:
        curve: a run with a constant learning rate.
        schedule: the settings `schedule` and `warmup`, as far as they are not the defaults.
    """
    settings, planned = curve.settings | dict(schedule), len(curve.rows)
    moved = (
        schedule_progress.full_rate_epochs(settings, epochs, planned)
        for epochs in range(1, planned + 1)
    )
    rows = (curve.rows[max(0, rounded_down(each) - 1)] for each in moved)
    return replace(curve, settings=settings, rows=tuple(rows), altered_from=_recorded(curve))


def delayed(
    curve: Curve, epochs: int, seed: int = 0, guesses: Mapping[str, float] | None = None
) -> Curve:
    """Return the run as if it had guessed for so many epochs first, with the same length.

    Accuracies are drawn: as many fair coins as it has validation pairs, or, where the threshold
    is chosen on them, the best threshold for a random order of them. Other metrics stay at what
    they were in the first epoch.

    Args:
        curve: the run.
        epochs: for which it guesses.
        seed: of the coins.
        guesses: scores of a guess by metric, where they are said.
    """
    rng, pairs = random.Random(f"{seed}/late/{curve.id}"), int(curve.rows[0].get("val_pairs", 0))
    guess = _calibrated_guess if is_calibrated(curve.settings) else _guess
    first = []
    for _ in range(epochs):
        coins = {"val_acc": guess(rng, pairs)} if "val_acc" in curve.rows[0] else {}
        first.append(curve.rows[0] | coins | dict(guesses or {}))
    rows = (*first, *curve.rows)[: len(curve.rows)]
    return replace(curve, rows=rows, altered_from=_recorded(curve))


def _recorded(curve: Curve) -> Curve:
    """Return the run as it was recorded."""
    return curve.altered_from or curve


def _guess(rng: random.Random, pairs: int) -> float:
    return rng.getrandbits(pairs).bit_count() / pairs if pairs else 0.5


def _calibrated_guess(rng: random.Random, pairs: int) -> float:
    """Return the accuracy at the best threshold of scores in random order."""
    steps = [1, -1] * (pairs // 2)
    rng.shuffle(steps)
    return 0.5 + max(itertools.accumulate(steps), default=0) / max(pairs, 1)
