"""The ten folds of CFP's own protocol: a net is trained without each split, and tested on it."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.data.formats.cfp_lists import KINDS, TEN_FOLD
from facesiam.data.split import ALL_FOLDS
from facesiam.evaluation import scores
from facesiam.evaluation.calibration import calibration
from facesiam.evaluation.figures import origin
from facesiam.evaluation.leaks import refuse_leak
from facesiam.evaluation.metrics import METRICS, ties, verification
from facesiam.evaluation.predict import log_odds
from facesiam.evaluation.protocols import calibrate, trained
from facesiam.files import own_folder, write_text
from facesiam.fingerprint import Key, keys, noted_with_key, tester_version


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
    """Train without each split in turn, and test on it; FF and FP pairs are tested apart.

    One of the nine other splits validates: it decides the epoch and the thresholds, one for each
    kind of pairs. A fold whose figures are there, of the same settings, data, weights and code, is
    not trained again.

    Args:
        trial: its id.
        config: its settings; `fold` is set here.
        data: opened data.
        folder: gets fold-01 to fold-10, and folds.json with what is returned.
        train: leaves weights.pt of a config in a folder, trained now or before.
        folds: the numbers of those to train and test.
        say: called with a line about each fold.
        key: returns the key of a fold's settings; None: one for nets without pretrained weights.

    Returns:
        The figures, as they are in folds.json: of all folds that are done.
    """
    key = key or keys(data.key, {})
    every = {number: _Fold(config, number, folder, key) for number in ALL_FOLDS}
    for number in folds:
        fold = every[number]
        figures = fold.figures()
        if figures is None:
            if fold.file.exists():
                say(f"fold {number}: once more, as settings, data, weights or code are others now")
            (folder / "folds.json").unlink(missing_ok=True)  # of other settings, data or code
            train(fold.config, fold.folder)
            figures = fold.test(data)
        shares = (f"{kind} {100 * figures[kind]['accuracy']['value']:.1f}" for kind in KINDS)
        say(f"fold {number}: {', '.join(shares)}")
    # Those of earlier commands are among them.
    done = {number: figures for number, fold in every.items() if (figures := fold.figures())}
    for number in sorted(every.keys() - done.keys()):
        if noted_with_key(every[number].file, every[number].key):
            say(f"fold {number}: left out, as other code tested it; ask for it, too, to test it")
    own = {"config": config.to_dict(), "data": data.key}
    summary = {"trial": trial, "seed": config.seed, "folds": list(done), **_spreads(done), **own}
    write_text(folder / "folds.json", json.dumps(summary, indent=1) + "\n")
    return summary


def folds_of_seeds(
    trial: str, configs: Sequence[TrialConfig], data: FaceData, folder: Path, key: Key
) -> dict[str, Any]:
    """Test the mean score of several seeds' nets on each fold that all of them have done.

    The log-odds are averaged, each net's at the thresholds that it has alone; their mean gets
    thresholds of its own, from the split that validates.

    Args:
        trial: its id.
        configs: its settings, with two seeds or more.
        data: opened data.
        folder: has what ``ten_folds`` left of each in seed-0, seed-1, ...; gets seeds-0-1-... with
            a folder of scores for each fold, and folds.json.
        key: as of ``ten_folds``.

    Returns:
        The figures, as they are in folds.json, with `seeds` in place of `seed`.
    """
    seeds = [config.seed for config in configs]
    place = own_folder(folder, f"seeds-{'-'.join(map(str, seeds))}")
    done = {}
    for number in ALL_FOLDS:
        folds = [_Fold(one, number, folder / f"seed-{one.seed}", key) for one in configs]
        if all(fold.figures() for fold in folds):
            nets = [(fold.config, fold.folder) for fold in folds]
            done[number] = _test_fold(nets, data, own_folder(place, f"fold-{number:02d}"))
    own = {"config": configs[0].to_dict(), "data": data.key, "threshold": "validation pairs"}
    summary = {"trial": trial, "seeds": seeds, "folds": list(done), **_spreads(done), **own}
    write_text(place / "folds.json", json.dumps(summary, indent=1) + "\n")
    return summary


class _Fold:
    """One of the folds: its settings, its folder and the file of its figures."""

    def __init__(self, config: TrialConfig, number: int, folder: Path, key: Key) -> None:
        self.config = dataclasses.replace(config, fold=number)
        self.folder = folder / f"fold-{number:02d}"
        self.file = self.folder / "fold.json"
        self.key = key(self.config.to_dict())

    def figures(self) -> dict[str, Any] | None:
        """Return the figures in the file; None where they are of other work, or not there."""
        found = noted_with_key(self.file, self.key)
        return found if found and found.get("tester") == tester_version() else None

    def test(self, data: FaceData) -> dict[str, Any]:
        """Test the trained net; write its figures and return them."""
        figures = {**_test_fold([(self.config, self.folder)], data, self.folder), "key": self.key}
        write_text(self.file, json.dumps(figures, indent=1) + "\n")
        return figures


def _test_fold(
    nets: Sequence[tuple[TrialConfig, Path]], data: FaceData, folder: Path
) -> dict[str, Any]:
    """Test a fold's net, or the mean of several, on its split.

    The thresholds are from the split that validated it.

    Args:
        nets: settings of each, and the folder of its weights.
        data: opened data.
        folder: gets the scores.
    """
    config = nets[0][0]
    figures: dict[str, Any] = {"fold": config.fold, **origin(config, data)}
    for number, kind in enumerate(KINDS):
        val, pairs = (data.official(number, n) for n in (config.fold % 10 + 1, config.fold))
        odds = list[NDArray[np.float64]]()
        for one, place in nets:
            net, epoch, val_acc = trained(place / "weights.pt", one)
            train, pixels = data.pairs_of(one, "train"), data.pixels(one.packing)
            refuse_leak(data, train, pairs, f"{TEN_FOLD}, fold {one.fold}")
            of_val = calibrate(net, one, pixels, val)
            odds.append(np.concatenate([of_val, log_odds(net, one, pixels, pairs)]))
            figures |= {"epoch": epoch, "val_acc": val_acc}
        of_val, of_test = np.split(np.mean(odds, axis=0), [len(val.label)])
        if len(nets) > 1:
            centre, slope = calibration(of_val, val.label)
            of_test = (of_test - centre) * slope
        figures[kind] = verification(of_test, pairs.label, config.seed, data.distinct(pairs))
        figures[kind]["ties"] = {"n": ties(of_test, pairs.label)}
        scores.write(folder / f"scores-{kind}.csv", data.names, pairs, of_test)
    return figures


def _spreads(folds: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Return by kind of pairs and metric its mean and deviation over some folds' figures."""
    return {
        kind: {
            name: spread([figures[kind][name]["value"] for figures in folds.values()])
            for name in METRICS
        }
        for kind in KINDS
    }


def spread(values: list[float]) -> dict[str, float]:
    """Return mean, standard deviation (of one value NaN) and number of some values."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return {"mean": statistics.mean(values), "std": deviation, "n": len(values)}
