"""The figures of a test, and the two files that it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData, Pairs
from facesiam.evaluation import scores
from facesiam.evaluation.metrics import Floats, ties, verification
from facesiam.evaluation.thresholds import Judged, ThresholdOrigin
from facesiam.files import write_text
from facesiam.fingerprint import tester_version, trainer_version


def judged(data: FaceData, pairs: Pairs, score: Floats) -> Judged:
    """Return the P pairs of a dataset with their scores, (P,)."""
    return Judged(score, pairs.label, data.distinct(pairs))


def figures_of(
    tested: Judged,
    protocol: str,
    seed: int,
    epoch: int | None,
    val_acc: float,
    threshold: ThresholdOrigin,
) -> dict[str, Any]:
    """Return what every test has of its pairs.

    Args:
        tested: the test pairs with the log-odds of "same person".
        protocol: whose pairs they are.
        seed: of the training, and of the resamples of the intervals.
        epoch: of the weights; None: of several nets.
        val_acc: share of the validation pairs predicted right, in [0, 1].
        threshold: what decides that of `val_acc` and of the test's accuracy.

    Returns:
        These, the metrics of ``metrics.verification``, ``ties`` and ``same``, the share of pairs
        of the same person.
    """
    return {
        "protocol": protocol,
        "seed": seed,
        "epoch": epoch,
        "val_acc": val_acc,
        "threshold": threshold,
        **verification(tested.score, tested.label, seed, tested.distinct),
        "ties": ties(tested.score, tested.label),
        "same": float((tested.label == 0).mean()),
    }


def origin(config: TrialConfig, data: FaceData) -> dict[str, Any]:
    """Return what the figures of a net come from: settings, key of the data, code."""
    code = {"trainer": trainer_version(), "tester": tester_version()}
    return {"config": config.to_dict(), "data": data.key, **code}


def write(
    folder: Path,
    name: str | None,
    figures: Mapping[str, Any],
    data: FaceData,
    pairs: Pairs,
    log_odds: Floats,
) -> None:
    """Write scores.csv and test.json into a folder; with a name scores-NAME.csv, test-NAME.json.

    Args:
        folder: gets them.
        name: the protocol, where it is not the trial's own.
        figures: of the test.
        data: what the pairs point into.
        pairs: the P test pairs.
        log_odds: of "same person", (P,).
    """
    suffix = f"-{name}" if name else ""
    scores.write(folder / f"scores{suffix}.csv", data.names, pairs, log_odds)
    write_text(folder / f"test{suffix}.json", json.dumps(figures, indent=1) + "\n")
