"""An exported folder, and the other places that a trained net is loaded from.

These are a file of weights, a run folder or one below it, and a folder of ``facesiam.export``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from facesiam import files, nearby
from facesiam.config import TrialConfig
from facesiam.errors import FileError, WeightsError
from facesiam.evaluation.thresholds import too_few
from facesiam.nets.checkpoint import load_model, model_of
from facesiam.nets.siamese import SiameseNet
from facesiam.nets.weight_files import check_finite, read_weights
from facesiam.objective import Objective

EMBEDDER, VERDICT, MODEL = "embedder.onnx", "verdict.onnx", "model.safetensors"
SETTINGS, PREPROCESS, THRESHOLDS = "config.json", "preprocess.json", "thresholds.json"
CARD = "README.md"
TRAINED = ("retrain/*/seed-*/weights.pt", "weights/*.pt")
"""Weights in a run folder: of trials that were trained again, else those that the search kept."""
_SHOWN = 5


@dataclass(frozen=True)
class Stored:
    """A trained net with what is known of it."""

    path: Path
    """The file of weights, or the exported folder."""
    net: SiameseNet
    """In evaluation mode and fp32, on the GPU where there is one."""
    config: TrialConfig
    info: Mapping[str, Any]
    """The `epoch`, its `val_acc`, and `data`, the key of the data that it was trained on."""
    thresholds: Mapping[float, float]
    """By false-accept rate on validation pairs the threshold of the scores; empty: none stored."""
    few: Mapping[float, str]
    """By such a rate a sentence, where too few pairs chose its threshold to tell it."""


def load(place: str | Path) -> Stored:
    """Load a trained net in fp32, in which its ONNX files compute as well.

    Args:
        place: a file of weights, an exported folder, or a run folder; of several nets in a run
            that which is best by the metric that chose their epochs.

    Raises:
        WeightsError: there is none, or it cannot be used.
    """
    path = Path(place).expanduser()
    if not files.exists(path):
        hint = nearby.nearest_weights(path, _is_loaded)
        raise WeightsError(f"{path}: no such run folder, exported folder or file of weights{hint}")
    try:
        if files.is_dir(path) and not files.is_file(path / SETTINGS):
            path = best_weights(path)
        exported = files.is_dir(path)
        net, config, info = _exported(path) if exported else load_model(path, torch.float32)
        if exported:
            thresholds, few = _thresholds(path / THRESHOLDS)
        else:
            thresholds, few = _tested(path, net)
    except FileError as error:
        raise WeightsError(str(error)) from None
    check_finite(path, net.state_dict())
    return Stored(path, net, config, info, thresholds, few)


def _is_loaded(path: Path) -> bool:
    """Return whether a path has the form of those that ``load`` takes."""
    if not files.is_dir(path):
        return nearby.is_weights(path)
    if any(files.is_file(path / name) for name in (SETTINGS, "weights.pt")):
        return True
    return any(next(path.glob(pattern), None) for pattern in TRAINED)


def best_weights(run: Path) -> Path:
    """Return the file of weights in a folder whose score is best.

    The score is that which chose the epoch of each: of the metric that ranks a run's trials. Of a
    run folder those of ``search.retrain`` are taken, where there are any.

    Raises:
        WeightsError: there is none, one cannot be read, or their metrics differ.
    """
    if files.is_file(run / "weights.pt"):
        return run / "weights.pt"
    for pattern in TRAINED:
        found = sorted(run.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            return _best(found)[0]
    there = ", ".join(sorted(path.name for path in run.iterdir())[:_SHOWN]) or "nothing"
    raise WeightsError(
        f"{run}: holds no weights ({' or '.join(TRAINED)}) and is not an exported folder, which "
        f"has a {SETTINGS}; it holds {there}"
    )


def _best(found: Sequence[Path]) -> tuple[Path, tuple[Objective, float]]:
    scores = [_score(file) for file in found]
    rules = sorted({f"{rule.metric} ({rule.mode})" for rule, _ in scores})
    if len(rules) > 1:
        raise WeightsError(
            f"{found[0].parent}: the nets were chosen by {' and by '.join(rules)}, which cannot "
            "be compared; give the file to use"
        )
    return max(zip(found, scores, strict=True), key=lambda one: one[1][0].key(one[1][1]))


def better_kept(run: str | Path, taken: Path) -> str:
    """Return a sentence where a run's search kept a net that validated better; "" elsewhere.

    Args:
        run: what was given to ``load``.
        taken: the file of weights that it took.
    """
    kept = sorted(Path(run).expanduser().glob(TRAINED[1]))
    if taken in kept or not kept:
        return ""
    try:
        rule, score = _score(taken)
        best, (other, known) = _best(kept)
    except WeightsError:  # they are not asked for, or not to be compared
        return ""
    if other != rule or not rule.better(known, score):
        return ""
    return (
        f"{best}, of the search itself, validated better: {rule.metric} {rule.shown(known)}"
        f"{rule.unit} against {rule.shown(score)}{rule.unit}; give that file to take it"
    )


def _score(file: Path) -> tuple[Objective, float]:
    """Return what chose the epoch of a file of weights, and its score."""
    state = read_weights(file)
    noted = state if isinstance(state, dict) else {}
    rule = Objective(str(noted.get("metric", "val_acc")), str(noted.get("mode", "max")))
    known = noted.get(rule.metric)
    if not isinstance(known, int | float) or math.isnan(known):
        raise WeightsError(f"{file}: does not say how it validated; give the file to use")
    return rule, float(known)


def _exported(folder: Path) -> tuple[SiameseNet, TrialConfig, dict[str, Any]]:
    """Return what ``load_model`` does, of an exported folder."""
    noted = files.read_json(folder / SETTINGS)
    if not isinstance(noted, dict) or "config" not in noted:
        raise WeightsError(f"{folder / SETTINGS}: not the settings of an exported net")
    if not files.is_file(folder / MODEL):
        raise WeightsError(
            f"{folder}: has no {MODEL}, as it was exported with --onnx alone; export it with "
            "--safetensors too, or use its ONNX files with onnxruntime"
        )
    return model_of(folder, {**noted, "model": read_weights(folder / MODEL)}, torch.float32)


def _thresholds(file: Path, rows: str = "rows") -> tuple[dict[float, float], dict[float, str]]:
    """Return the thresholds by false-accept rate in a JSON file; none where it has none.

    Returns:
        They, and by rate what ``too_few`` says of those that too few pairs chose.
    """
    if not files.is_file(file):
        return {}, {}
    noted = files.read_json(file)
    try:
        found = list(noted.get(rows, ()))
        known = {float(row["asked"]): float(row["threshold"]) for row in found}
        said = {float(row["asked"]): too_few(row) for row in found if "different" in row}
        return known, {rate: text for rate, text in said.items() if text}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise WeightsError(f"{file}: its thresholds ({rows}) cannot be read") from None


def _tested(weights: Path, net: SiameseNet) -> tuple[dict[float, float], dict[float, str]]:
    """Return what ``_thresholds`` does of those that ``search.retrain`` left, as scores."""
    of_log_odds, few = _thresholds(weights.with_name("test.json"), "at_far")
    odds = torch.tensor(list(of_log_odds.values()), dtype=torch.float64)
    scores = net.scores(torch.stack([odds / 2, -odds / 2], 1))
    return dict(zip(of_log_odds, scores.tolist(), strict=True)), few
