"""A trained net tested on the test pairs of a protocol.

Thresholds come from validation pairs and from nowhere else. The test pairs are read here, after
everything has been chosen, and nowhere before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from facesiam.config import TrialConfig
from facesiam.config.trial import Part, Protocol
from facesiam.data.dataset import FaceData, Pairs
from facesiam.errors import DataError, WeightsError
from facesiam.evaluation import figures
from facesiam.evaluation.calibration import calibration
from facesiam.evaluation.leaks import refuse_leak
from facesiam.evaluation.metrics import accuracy
from facesiam.evaluation.people_rates import (
    PARTS,
    at_far_of_people,
    has_people_pairs,
    people_pairs,
    rates_of,
)
from facesiam.evaluation.predict import log_odds, log_odds_of, logits_of
from facesiam.evaluation.thresholds import AtFar, Judged, at_far, own_threshold
from facesiam.nets.checkpoint import load_model
from facesiam.nets.siamese import SiameseNet


def test(
    trial: str,
    config: TrialConfig,
    data: FaceData,
    folder: Path,
    protocol: str | None = None,
    far: Sequence[float] = (),
) -> dict[str, Any]:
    """Test the weights in a folder on a protocol's test pairs.

    Writes test.json and scores.csv, of another protocol than the trial's as ``figures.write``
    names them; a calibrated net's threshold is then the one that predicts that protocol's
    validation pairs best.

    Args:
        trial: its id, for the figures.
        config: the trial's settings.
        data: opened data, packed as the images that the net was trained with.
        folder: holds weights.pt, and gets the files.
        protocol: whose pairs; None: the trial's own.
        far: false-accept rates, at whose thresholds the pairs are tested too (``thresholds``);
            where its `fpr_pairs` are others than the protocol's on those, and always at its
            `fpr` (``people_rates``).

    Returns:
        The figures, as they are in test.json.

    Raises:
        DataError: a person whom that protocol tests was trained on; a score of a validation pair
            that decides a threshold is no number.
        WeightsError: the weights are missing, damaged, or of other settings.
    """
    net, epoch, val_acc = trained(folder / "weights.pt", config)
    asked = protocol or config.protocol
    other = asked != config.protocol
    pairs = pairs_of(data, config, asked, "test")
    refuse_leak(data, data.pairs_of(config, "train"), pairs, asked)
    pixels = data.pixels(config.packing)
    if other:
        val = pairs_of(data, config, asked, "val")
        val_acc = accuracy(calibrate(net, config, pixels, val), val.label)
    odds = log_odds(net, config, pixels, pairs)
    tested = figures.judged(data, pairs, odds)
    by = own_threshold(config.to_dict())
    found = {
        "trial": trial,
        **figures.figures_of(tested, asked, config.seed, epoch, val_acc, by),
        **figures.origin(config, data),
    }
    if rates := rates_of(config, far):
        found["at_far"] = _at_far(net, config, data, asked, rates, tested)
    figures.write(folder, asked if other else None, found, data, pairs, odds)
    return found


def _at_far(
    net: SiameseNet,
    config: TrialConfig,
    data: FaceData,
    protocol: str,
    rates: Sequence[float],
    tested: Judged,
) -> list[AtFar]:
    """Choose thresholds on validation pairs, and return the rates of the test pairs at them."""
    if not has_people_pairs(config):
        val = pairs_of(data, config, protocol, "val")
        odds = log_odds(net, config, data.pixels(config.packing), val)
        return at_far(figures.judged(data, val, odds), tested, rates)
    parts = {part: people_pairs(net, config, data, part, protocol) for part in PARTS}
    return at_far_of_people(parts, rates, config.fpr_pairs)


def pairs_of(data: FaceData, config: TrialConfig, protocol: str | None, part: Part) -> Pairs:
    """Return the pairs of a part of a protocol; None stands for the trial's own protocol.

    Raises:
        DataError: the part has no pairs under these settings.
    """
    asked = cast(Protocol, protocol or config.protocol)
    return data.pairs(asked, part, people=config.people, seed=config.pair_seed, fold=config.fold)


def calibrate(
    net: SiameseNet, config: TrialConfig, pixels: NDArray[np.uint8], pairs: Pairs
) -> NDArray[np.float64]:
    """Set the threshold of a calibrated net to the one that predicts these pairs best.

    Returns:
        The pairs' log-odds of "same person" under it, (P,).

    Raises:
        DataError: a score of a calibrated net is not finite.
    """
    logits = logits_of(net, config, pixels, pairs)
    if not net.calibrated:
        return log_odds_of(logits)
    scores = net.scores(logits).numpy()
    if not np.isfinite(scores).all():
        raise DataError("the net's scores of the validation pairs are not all numbers")
    threshold, slope = calibration(scores, pairs.label)
    net.calibrate(threshold, slope)
    return (scores - threshold) * slope


def trained(file: Path, config: TrialConfig) -> tuple[SiameseNet, int, float]:
    """Return the net of a training with these settings, with its epoch and its val_acc.

    Raises:
        WeightsError: the file cannot be read, or is of another training.
    """
    net, own, info = load_model(file)
    epoch, val_acc = info.get("epoch"), info.get("val_acc")
    if not isinstance(epoch, int) or not isinstance(val_acc, int | float):
        raise WeightsError(
            f"{file}: does not say of which epoch its weights are, or how these "
            "validated; remove it to have it trained anew"
        )
    mine, theirs = config.to_dict(), own.to_dict()
    # What precision: auto stands for is part of the key that the training was known by.
    changed = [name for name in mine if name != "precision" and mine[name] != theirs[name]]
    if differ := ", ".join(changed):
        raise WeightsError(
            f"{file}: its weights are of other settings ({differ}); remove it to "
            "have it trained anew"
        )
    return net, epoch, val_acc
