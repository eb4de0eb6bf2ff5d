"""A trained net tested: on a protocol's test pairs, or as CFP asks, on its ten folds.

Thresholds come from validation pairs and from nowhere else. The test pairs are read here, after
everything has been chosen, and nowhere before.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from facesiam.config.trial import Part, Protocol, TrialConfig
from facesiam.data.dataset import FaceData, Pairs
from facesiam.data.lists import ALL_FOLDS, KINDS, TEN_FOLD
from facesiam.device.hardware import keep_freed_memory
from facesiam.device.image_store import ImageStore
from facesiam.errors import DataError, FileError, WeightsError
from facesiam.evaluation import scores
from facesiam.evaluation.metrics import METRICS, accuracy, calibration, ties, verification
from facesiam.evaluation.predict import log_odds, odds_of, pair_logits
from facesiam.files import read_json, write_text
from facesiam.fingerprint import Key, keys, trainer_version
from facesiam.nets.checkpoint import load_model
from facesiam.nets.siamese import SiameseNet

PROTOCOLS = ("cfp-pairs", "frontal-triplets", TEN_FOLD)


def test(
    trial: str, config: TrialConfig, data: FaceData, folder: Path, protocol: str | None = None
) -> dict[str, Any]:
    """Test the weights in `folder` on a protocol's test pairs; write and return the figures.

    Leaves test.json and scores.csv, or, of another protocol than the trial's, test-NAME.json and
    scores-NAME.csv; the threshold is then put anew, where that protocol's validation pairs are
    judged best. The images come to the net as they did when it was trained.

    Raises:
        DataError: somebody whom that protocol tests was trained on.
        WeightsError: the weights are gone, damaged, or of other settings.
    """
    net, epoch, val_acc = _trained(folder / "weights.pt", config)
    other = protocol not in (None, config.protocol)
    pairs = pairs_of(data, config, protocol, "test")
    asked = protocol or config.protocol
    refuse_leak(data, data.pairs_of(config, "train"), pairs, asked)
    pixels = data.pixels(config.geometry)
    if other:
        val = pairs_of(data, config, protocol, "val")
        val_acc = accuracy(calibrate(net, config, pixels, val), val.label)
    odds = log_odds(net, config, pixels, pairs)
    figures = {
        "trial": trial,
        "protocol": asked,
        "seed": config.seed,
        "epoch": epoch,
        "val_acc": val_acc,
        **verification(odds, pairs.label, config.seed, data.distinct(pairs)),
        "ties": ties(odds, pairs.label),
        "config": config.to_dict(),
        "data": data.key,
        "trainer": trainer_version(),
    }
    suffix = f"-{protocol}" if other else ""
    scores.write(folder / f"scores{suffix}.csv", data.names, pairs, odds)
    write_text(folder / f"test{suffix}.json", json.dumps(figures, indent=1) + "\n")
    return figures


def ensemble(
    name: str,
    files: Mapping[str, Path],
    data: FaceData,
    folder: Path,
    protocol: str | None = None,
) -> dict[str, Any]:
    """Test several nets' mean verdict on a protocol's test pairs; write and return the figures.

    Averaged are the log-odds of "same person", each net's under a threshold of its own where it
    has one; the mean has one more. All are put where the validation pairs are judged best.

    Args:
        name: what the figures call it.
        files: weights by trial, the first one's protocol being that of all unless one is given.
        data: opened data.
        folder: gets test-PROTOCOL.json and scores-PROTOCOL.csv.
        protocol: whose pairs.

    Raises:
        DataError: somebody who is tested was trained on, or the nets mean different pairs.
        WeightsError: a file is gone, or is no model file.
    """
    keep_freed_memory()  # no training has asked for it here
    protocol, pairs, odds = _log_odds(files, data, protocol)
    mean = {part: np.mean(known, axis=0) for part, known in odds.items()}
    if not np.isfinite(mean["val"]).all():
        raise DataError(f"{', '.join(files)}: verdicts of validation pairs are not all numbers")
    threshold, slope = calibration(mean["val"], pairs["val"].label)
    own = {part: (each - threshold) * slope for part, each in mean.items()}
    figures = {
        "trial": name,
        "members": list(files),
        "protocol": protocol,
        "seed": 0,
        "epoch": None,
        "val_acc": accuracy(own["val"], pairs["val"].label),
        **verification(own["test"], pairs["test"].label, distinct=data.distinct(pairs["test"])),
        "ties": ties(own["test"], pairs["test"].label),
        "data": data.key,
    }
    for old in folder.glob("test-*.json"):
        if _members(old) != figures["members"]:
            old.unlink()  # the search has gone on since
    scores.write(folder / f"scores-{protocol}.csv", data.names, pairs["test"], own["test"])
    write_text(folder / f"test-{protocol}.json", json.dumps(figures, indent=1) + "\n")
    return figures


def _log_odds(
    files: Mapping[str, Path], data: FaceData, protocol: str | None
) -> tuple[str, dict[Part, Pairs], dict[Part, list[NDArray[np.float64]]]]:
    """Return an ensemble's protocol, its pairs to validate and test, and each net's log-odds."""
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
        pixels = data.pixels(config.geometry)
        odds["val"].append(calibrate(net, config, pixels, pairs["val"]))
        odds["test"].append(_odds(net, config, pixels, pairs["test"])[0])
    assert protocol is not None
    return protocol, pairs, odds


def ten_folds(
    trial: str,
    config: TrialConfig,
    data: FaceData,
    folder: Path,
    train: Callable[[TrialConfig, Path], None],
    folds: tuple[int, ...] = tuple(ALL_FOLDS),
    say: Callable[[str], None] = lambda line: None,
    key: Key | None = None,
) -> dict[str, Any]:
    """Train without each split in turn and test on it, frontal-frontal and frontal-profile apart.

    Of the nine others one validates: it chooses the epoch and the thresholds, one for each kind.
    A fold whose figures are there, of the same settings, data, weights and code, is not trained
    again.

    Args:
        trial: its id.
        config: its settings; `fold` is set here.
        data: opened data.
        folder: gets fold-01 to fold-10, and folds.json with what is returned.
        train: trains a config into a folder, leaving weights.pt.
        folds: which of them.
        say: told of each fold.
        key: of the settings of one; by default where no pretrained weights are begun with.
    """
    key = key or keys(data.key, {})
    ones = {fold: dataclasses.replace(config, fold=fold) for fold in ALL_FOLDS}
    places = {fold: folder / f"fold-{fold:02d}" for fold in ALL_FOLDS}
    made = {fold: key(one.to_dict()) for fold, one in ones.items()}
    for fold in folds:
        one, place = ones[fold], places[fold]
        figures = known(place / "fold.json", made[fold])
        if figures is None:
            if (place / "fold.json").exists():
                say(f"fold {fold}: once more, as settings, data, weights or code are others now")
            (folder / "folds.json").unlink(missing_ok=True)  # of other settings, data or code
            train(one, place)
            figures = {**_test_fold(one, data, place), "key": made[fold]}
            write_text(place / "fold.json", json.dumps(figures, indent=1) + "\n")
        shares = (f"{kind} {100 * figures[kind]['accuracy']['value']:.1f}" for kind in KINDS)
        say(f"fold {fold}: {', '.join(shares)}")
    done = {  # those of earlier commands as well
        fold: figures
        for fold, place in places.items()
        if (figures := known(place / "fold.json", made[fold]))
    }
    found = list(done.values())
    summary = {
        "trial": trial,
        "seed": config.seed,
        "folds": list(done),
        **{
            kind: {name: _spread([f[kind][name]["value"] for f in found]) for name in METRICS}
            for kind in KINDS
        },
        "config": config.to_dict(),
        "data": data.key,
    }
    write_text(folder / "folds.json", json.dumps(summary, indent=1) + "\n")
    return summary


def _members(file: Path) -> Any:
    """Return whose mean a file of figures says it is; None where it does not."""
    try:
        noted = read_json(file)
    except FileError:
        return None
    return noted.get("members") if isinstance(noted, dict) else None


def known(file: Path, key: str) -> dict[str, Any] | None:
    """Return what a file says of work that has this key; None where there is no such file."""
    try:
        noted = read_json(file)
    except FileError:
        return None  # it is written anew
    return noted if isinstance(noted, dict) and noted.get("key") == key else None


def pairs_of(data: FaceData, config: TrialConfig, protocol: str | None, part: Part) -> Pairs:
    """Return the pairs of a part of a protocol, None being the trial's own.

    Raises:
        DataError: the part has no pairs under these settings.
    """
    asked = cast(Protocol, protocol or config.protocol)
    return data.pairs(asked, part, people=config.people, seed=config.pair_seed, fold=config.fold)


def refuse_leak(data: FaceData, train: Pairs, test: Pairs, protocol: str) -> None:
    """Refuse to test on people who were trained on, or on copies of their images.

    Raises:
        DataError: names some of them.
    """
    trained, tested = (
        np.unique(np.concatenate([pairs.left, pairs.right])) for pairs in (train, test)
    )
    everyone = np.flatnonzero(np.isin(data.person, data.person[trained]))
    both = np.intersect1d(data.person[everyone], data.person[tested])
    if len(both):
        some = ", ".join(map(str, both[:5].tolist()))
        raise DataError(
            f"{protocol}: tests {len(both)} people that this trial was trained on: {some}"
        )
    copied = np.intersect1d(data.content[everyone], data.content[tested])
    if len(copied):
        name = data.names[int(tested[np.isin(data.content[tested], copied)][0])]
        raise DataError(
            f"{protocol}: {len(copied)} test images are byte-identical to images of people who "
            f"train, the first {name}"
        )


def calibrate(
    net: SiameseNet, config: TrialConfig, pixels: NDArray[np.uint8], pairs: Pairs
) -> NDArray[np.float64]:
    """Put the threshold of a net that has one where these pairs are judged best.

    Returns:
        The pairs' log-odds of "same person" under it, (P,).

    Raises:
        DataError: the scores of a net that has a threshold are not numbers.
    """
    odds, scores = _odds(net, config, pixels, pairs)
    if not net.calibrated:
        return odds
    if not np.isfinite(scores).all():
        raise DataError("the net's scores of the validation pairs are not all numbers")
    threshold, slope = calibration(scores, pairs.label)
    net.calibrate(threshold, slope)
    return (scores - threshold) * slope


def _odds(
    net: SiameseNet, config: TrialConfig, pixels: NDArray[np.uint8], pairs: Pairs
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the pairs' log-odds of "same person", and their scores before any threshold."""
    device = next(net.parameters()).device
    logits = pair_logits(net, ImageStore(pixels, config.image_size, device), pairs)
    return odds_of(logits), net.raw(logits).numpy()


def _trained(file: Path, config: TrialConfig) -> tuple[SiameseNet, int, float]:
    """Return the net of a file that a training with these settings left, its epoch and val_acc.

    Raises:
        WeightsError: it cannot be read, or another file has taken its place.
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


def _test_fold(config: TrialConfig, data: FaceData, folder: Path) -> dict[str, Any]:
    """Test a fold's net on its split; the thresholds are of the split that validated it."""
    figures: dict[str, Any] = {
        "fold": config.fold,
        "config": config.to_dict(),
        "data": data.key,
        "trainer": trainer_version(),
    }
    pixels = data.pixels(config.geometry)
    for number, kind in enumerate(KINDS):
        net, epoch, val_acc = _trained(folder / "weights.pt", config)
        pairs = data.official(number, config.fold)
        refuse_leak(data, data.pairs_of(config, "train"), pairs, f"{TEN_FOLD}, fold {config.fold}")
        calibrate(net, config, pixels, data.official(number, config.fold % 10 + 1))
        odds = log_odds(net, config, pixels, pairs)
        figures |= {"epoch": epoch, "val_acc": val_acc}
        figures[kind] = verification(odds, pairs.label, config.seed, data.distinct(pairs))
        figures[kind]["ties"] = {"n": ties(odds, pairs.label)}
        scores.write(folder / f"scores-{kind}.csv", data.names, pairs, odds)
    return figures


def _spread(values: list[float]) -> dict[str, float]:
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return {"mean": statistics.mean(values), "std": deviation, "n": len(values)}
