"""An ensemble of trained nets, tested on the test pairs of a protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facesiam.config import TrialConfig
from facesiam.config.trial import Part
from facesiam.data.dataset import FaceData, Pairs
from facesiam.errors import DataError
from facesiam.evaluation import figures
from facesiam.evaluation.calibration import calibration
from facesiam.evaluation.leaks import refuse_leak
from facesiam.evaluation.metrics import accuracy
from facesiam.evaluation.people_rates import (
    PARTS,
    PeoplePairs,
    at_far_of_people,
    has_people_pairs,
    mean_of,
    people_pairs,
    rates_of,
)
from facesiam.evaluation.predict import log_odds
from facesiam.evaluation.protocols import calibrate, pairs_of
from facesiam.evaluation.thresholds import AtFar, Judged, ThresholdOrigin, at_far, own_threshold
from facesiam.files import read_object
from facesiam.nets.checkpoint import load_model


def ensemble(
    name: str,
    files: Mapping[str, Path],
    data: FaceData,
    folder: Path,
    protocol: str | None = None,
    far: Sequence[float] = (),
) -> dict[str, Any]:
    """Test the mean prediction of several nets on a protocol's test pairs.

    The log-odds of "same person" are averaged, each net's at the threshold that it is tested with
    alone (``protocols.test``). The mean of several has a threshold of its own, the one that
    predicts the validation pairs best; one net keeps its own.

    Args:
        name: of the ensemble, in the figures.
        files: model file by trial; without a protocol, the first one's is that of all.
        data: opened data.
        folder: gets test-PROTOCOL.json and scores-PROTOCOL.csv.
        protocol: whose pairs it is tested on.
        far: false-accept rates, at whose thresholds the pairs are tested too, as in
            ``protocols.test``; where the nets' `fpr_pairs` differ, on the protocol's pairs.

    Returns:
        The figures, as they are in test-PROTOCOL.json.

    Raises:
        DataError: a person who is tested was trained on, or the nets have different pairs.
        WeightsError: a file is missing, or is no model file.
    """
    members = _members(files, data, protocol)
    protocol, pairs = members.protocol, members.pairs
    mean = _mean(files, members)
    val, test = (figures.judged(data, pairs[part], mean.odds[part]) for part in PARTS)
    val_acc = accuracy(val.score, val.label)
    found = {
        "trial": name,
        "members": list(files),
        **figures.figures_of(test, protocol, 0, None, val_acc, mean.threshold),
        "data": data.key,
    }
    if rows := _at_far(members, mean, val, test, far):
        found["at_far"] = rows
    for old in folder.glob("test-*.json"):
        if read_object(old).get("members") != found["members"]:
            old.unlink()  # the search has gone on since
    figures.write(folder, protocol, found, data, pairs["test"], test.score)
    return found


class _Members(NamedTuple):
    """The nets of an ensemble, scored."""

    protocol: str
    pairs: dict[Part, Pairs]
    """The pairs to validate and to test, P of each."""
    odds: dict[Part, list[NDArray[np.float64]]]
    """Of each net the log-odds of "same person", (P,)."""
    people: dict[Part, list[PeoplePairs]]
    """Of each net every two images; empty where false accepts are those of the pairs."""
    first: TrialConfig
    """Settings of the first net."""
    threshold: ThresholdOrigin
    """Of the last net."""


def _members(files: Mapping[str, Path], data: FaceData, protocol: str | None) -> _Members:
    configs: list[TrialConfig] = []
    pairs: dict[Part, Pairs] = {}
    odds: dict[Part, list[NDArray[np.float64]]] = {part: [] for part in PARTS}
    people: dict[Part, list[PeoplePairs]] = {part: [] for part in PARTS}
    for trial, file in files.items():
        net, config, _ = load_model(file)
        configs.append(config)
        protocol = protocol or config.protocol
        mine = {part: pairs_of(data, config, protocol, part) for part in PARTS}
        pairs = pairs or mine
        if not all(_are_equal(mine[part], pairs[part]) for part in PARTS):
            raise DataError(f"{trial} and {next(iter(files))} are not tested on the same pairs")
        refuse_leak(data, data.pairs_of(config, "train"), pairs["test"], protocol)
        pixels = data.pixels(config.packing)
        judge = log_odds if protocol == config.protocol else calibrate
        odds["val"].append(judge(net, config, pixels, pairs["val"]))
        odds["test"].append(log_odds(net, config, pixels, pairs["test"]))
        for part in PARTS if has_people_pairs(config) else ():
            people[part].append(people_pairs(net, config, data, part, protocol))
    if len({config.fpr_pairs for config in configs}) > 1:
        people = {part: [] for part in PARTS}
    assert protocol is not None
    threshold = own_threshold(configs[-1].to_dict())
    return _Members(protocol, pairs, odds, people, configs[0], threshold)


def _are_equal(one: Pairs, other: Pairs) -> bool:
    return np.array_equal(one.left, other.left) and np.array_equal(one.right, other.right)


class _Mean(NamedTuple):
    """The mean prediction of the nets of an ensemble."""

    odds: dict[Part, NDArray[np.float64]]
    """The log-odds of the pairs of each part, (P,)."""
    threshold: ThresholdOrigin
    """What decides its threshold."""
    centre: float
    slope: float
    """`odds` are the mean of the nets' log-odds less `centre`, times `slope`."""


def _mean(files: Mapping[str, Path], members: _Members) -> _Mean:
    mean = {part: np.mean(known, axis=0) for part, known in members.odds.items()}
    if not np.isfinite(mean["val"]).all():
        raise DataError(f"{', '.join(files)}: predictions of validation pairs are not all numbers")
    if len(files) == 1:
        return _Mean(mean, members.threshold, 0.0, 1.0)
    centre, slope = calibration(mean["val"], members.pairs["val"].label)
    odds = {part: (each - centre) * slope for part, each in mean.items()}
    return _Mean(odds, "validation pairs", centre, slope)


def _at_far(
    members: _Members, mean: _Mean, val: Judged, test: Judged, far: Sequence[float]
) -> list[AtFar]:
    """Return the rates at thresholds of the mean prediction, of every two images if they are."""
    if members.people["val"]:
        parts = {part: mean_of(members.people[part], mean.centre, mean.slope) for part in PARTS}
        return at_far_of_people(parts, rates_of(members.first, far), members.first.fpr_pairs)
    return at_far(val, test, far)
