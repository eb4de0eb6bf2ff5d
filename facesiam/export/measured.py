"""The figures of an exported net: thresholds from validation pairs, rates of the test pairs.

The test pairs are read for the figures that the model card reports, and choose nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesiam.config import TrialConfig
from facesiam.config.trial import Part
from facesiam.data.dataset import FaceData
from facesiam.errors import DataError
from facesiam.evaluation.leaks import refuse_leak
from facesiam.evaluation.metrics import verification
from facesiam.evaluation.people_rates import (
    PARTS,
    at_far_of_people,
    has_people_pairs,
    people_pairs,
    rates_of,
)
from facesiam.evaluation.predict import log_odds_of, logits_of
from facesiam.evaluation.thresholds import AtFar, Judged, at_far
from facesiam.nets.siamese import SiameseNet

FALSE_ACCEPTS = (1e-1, 1e-2, 1e-3)
"""False-accept rates for which an export has thresholds, besides the trial's `fpr` where its
`fpr_pairs` are others than the protocol's."""
Measures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Measured:
    """What a net gave on the validation and test pairs of its data."""

    key: str
    """Of the data's content."""
    format: str
    images: int
    people: dict[Part, int]
    """People in the pairs of each part."""
    measures: dict[Part, Measures]
    """The metrics of validation and test, as ``metrics.verification`` returns them."""
    thresholds: list[AtFar]
    """In units of the net's scores."""


def measure(net: SiameseNet, config: TrialConfig, data: FaceData) -> Measured:
    """Score the validation and test pairs of a net's protocol.

    Args:
        net: in evaluation mode.
        config: its settings.
        data: what it was trained on, packed as its images were.

    Raises:
        DataError: a person who is tested was trained on, or a score is not finite.
    """
    pairs = {part: data.pairs_of(config, part) for part in ("train", *PARTS)}
    refuse_leak(data, pairs["train"], pairs["test"], config.protocol)
    pixels = data.pixels(config.packing)
    judged: dict[Part, Judged] = {}
    measures: dict[Part, Measures] = {}
    for part in PARTS:
        logits = logits_of(net, config, pixels, pairs[part])
        score, label = net.scores(logits).numpy(), pairs[part].label
        if not np.isfinite(score).all():
            raise DataError(f"the net's scores of the {part} pairs are not all numbers")
        distinct = data.distinct(pairs[part])
        judged[part] = Judged(score, label, distinct)
        measures[part] = verification(log_odds_of(logits), label, config.seed, distinct)
    people = {
        part: len(np.unique(data.person[np.concatenate([ends.left, ends.right])]))
        for part, ends in pairs.items()
    }
    if has_people_pairs(config):
        rates = sorted(rates_of(config, FALSE_ACCEPTS), reverse=True)
        every = {part: people_pairs(net, config, data, part, odds=False) for part in PARTS}
        rows = at_far_of_people(every, rates, config.fpr_pairs)
    else:
        rows = at_far(judged["val"], judged["test"], FALSE_ACCEPTS)
    return Measured(data.key, data.format, len(data.names), people, measures, rows)
