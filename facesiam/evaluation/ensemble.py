"""An ensemble of trained nets, tested on the test pairs of a protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facesiam.config.trial import Part
from facesiam.data.dataset import FaceData, Pairs
from facesiam.device.hardware import keep_freed_memory
from facesiam.errors import DataError
from facesiam.evaluation import figures
from facesiam.evaluation.calibration import calibration
from facesiam.evaluation.metrics import accuracy
from facesiam.evaluation.predict import log_odds
from facesiam.evaluation.protocols import calibrate, pairs_of, refuse_leak
from facesiam.evaluation.thresholds import ThresholdOrigin, at_far, own_threshold
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
        far: false-accept rates, at whose thresholds the pairs are tested too (``thresholds``).

    Returns:
        The figures, as they are in test-PROTOCOL.json.

    Raises:
        DataError: a person who is tested was trained on, or the nets have different pairs.
        WeightsError: a file is missing, or is no model file.
    """
    keep_freed_memory()  # no training has asked for it here
    members = _members(files, data, protocol)
    protocol, pairs = members.protocol, members.pairs
    mean, threshold = _mean(files, members)
    val, test = (figures.judged(data, pairs[part], mean[part]) for part in mean)
    val_acc = accuracy(val.score, val.label)
    found = {
        "trial": name,
        "members": list(files),
        **figures.figures_of(test, protocol, 0, None, val_acc, threshold),
        "data": data.key,
    }
    if far:
        found["at_far"] = at_far(val, test, far)
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
    threshold: ThresholdOrigin
    """Of the last net."""


def _members(files: Mapping[str, Path], data: FaceData, protocol: str | None) -> _Members:
    threshold: ThresholdOrigin = "equal logits"
    odds: dict[Part, list[NDArray[np.float64]]] = {"val": [], "test": []}
    pairs: dict[Part, Pairs] = {}
    for trial, file in files.items():
        net, config, _ = load_model(file)
        protocol = protocol or config.protocol
        mine = {part: pairs_of(data, config, protocol, part) for part in odds}
        pairs = pairs or mine
        if not all(
            np.array_equal(mine[part].left, pairs[part].left)
            and np.array_equal(mine[part].right, pairs[part].right)
            for part in odds
        ):
            raise DataError(f"{trial} and {next(iter(files))} are not tested on the same pairs")
        refuse_leak(data, data.pairs_of(config, "train"), pairs["test"], protocol)
        pixels = data.pixels(config.packing)
        threshold = own_threshold(config.to_dict())
        judge = log_odds if protocol == config.protocol else calibrate
        odds["val"].append(judge(net, config, pixels, pairs["val"]))
        odds["test"].append(log_odds(net, config, pixels, pairs["test"]))
    assert protocol is not None
    return _Members(protocol, pairs, odds, threshold)


def _mean(
    files: Mapping[str, Path], members: _Members
) -> tuple[dict[Part, NDArray[np.float64]], ThresholdOrigin]:
    """Return the mean log-odds of each part's pairs, (P,), and what decides its threshold."""
    mean = {part: np.mean(known, axis=0) for part, known in members.odds.items()}
    if not np.isfinite(mean["val"]).all():
        raise DataError(f"{', '.join(files)}: predictions of validation pairs are not all numbers")
    if len(files) == 1:
        return mean, members.threshold
    centre, slope = calibration(mean["val"], members.pairs["val"].label)
    return {part: (each - centre) * slope for part, each in mean.items()}, "validation pairs"
