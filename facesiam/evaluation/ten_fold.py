"""The ten folds of CFP's own protocol: a net is trained without each split, and tested on it."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.data.formats.cfp_lists import KINDS, TEN_FOLD
from facesiam.data.split import ALL_FOLDS
from facesiam.evaluation import scores
from facesiam.evaluation.figures import origin
from facesiam.evaluation.metrics import METRICS, ties, verification
from facesiam.evaluation.predict import log_odds
from facesiam.evaluation.protocols import calibrate, refuse_leak, trained
from facesiam.files import write_text
from facesiam.fingerprint import Key, keys, noted_with_key


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
        train: trains a config into a folder, leaving weights.pt.
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
    own = {"config": config.to_dict(), "data": data.key}
    summary = {"trial": trial, "seed": config.seed, "folds": list(done), **_spreads(done), **own}
    write_text(folder / "folds.json", json.dumps(summary, indent=1) + "\n")
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
        return noted_with_key(self.file, self.key)

    def test(self, data: FaceData) -> dict[str, Any]:
        """Test the trained net; write its figures and return them."""
        figures = {**_test_fold(self.config, data, self.folder), "key": self.key}
        write_text(self.file, json.dumps(figures, indent=1) + "\n")
        return figures


def _test_fold(config: TrialConfig, data: FaceData, folder: Path) -> dict[str, Any]:
    """Test a fold's net on its split, with thresholds from the split that validated it."""
    figures: dict[str, Any] = {"fold": config.fold, **origin(config, data)}
    pixels = data.pixels(config.packing)
    for number, kind in enumerate(KINDS):
        net, epoch, val_acc = trained(folder / "weights.pt", config)
        pairs = data.official(number, config.fold)
        refuse_leak(data, data.pairs_of(config, "train"), pairs, f"{TEN_FOLD}, fold {config.fold}")
        calibrate(net, config, pixels, data.official(number, config.fold % 10 + 1))
        odds = log_odds(net, config, pixels, pairs)
        figures |= {"epoch": epoch, "val_acc": val_acc}
        figures[kind] = verification(odds, pairs.label, config.seed, data.distinct(pairs))
        figures[kind]["ties"] = {"n": ties(odds, pairs.label)}
        scores.write(folder / f"scores-{kind}.csv", data.names, pairs, odds)
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
