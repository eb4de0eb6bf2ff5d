"""Training into a folder: the weights of the best epoch, the settings and the curve."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from facesiam.config import EpochMetrics, TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.device.arithmetic import extend_history
from facesiam.device.reproducibility import current_arithmetic
from facesiam.errors import UserError
from facesiam.files import write_text
from facesiam.fingerprint import noted_with_key
from facesiam.nets.checkpoint import save_model
from facesiam.objective import Objective
from facesiam.training.loop import Training

MADE = "trained.json"
"""Notes the key of the training that a folder holds, and its ``ran``; written last."""


def is_trained(folder: Path, key: str) -> bool:
    """Return whether a folder has the weights of the training with this key."""
    return (folder / "weights.pt").is_file() and noted_with_key(folder / MADE, key) is not None


def train(
    config: TrialConfig,
    data: FaceData,
    weights: Mapping[str, str],
    folder: Path,
    objective: Objective,
    key: str,
    show: Callable[[EpochMetrics], None] = lambda metrics: None,
) -> None:
    """Train a net, and leave its best epoch's weights, settings and curve in a folder.

    What another training left there goes first: a folder holds one.

    Args:
        config: the settings.
        data: opened data.
        weights: file of pretrained weights per net.
        folder: where weights.pt, settings.json and epochs.csv go, each atomically.
        objective: decides which epoch is best; of equals the first.
        key: of this work; noted last, in trained.json, with what it was computed with.
        show: called with the metrics of each epoch.

    Raises:
        UserError: the objective's metric was NaN in every epoch.
    """
    for name in (MADE, "weights.pt", "test*.json", "scores*.csv", "epochs.csv", "fold.json"):
        for file in folder.glob(name):
            file.unlink()  # of an earlier try, whose settings may differ
    best, rows = None, []
    training = Training(config, data, weights)
    for metrics in training:
        rows.append(metrics)
        value = metrics.to_dict()[objective.metric]
        if objective.better(value, best):
            best = value
            save_model(
                folder / "weights.pt",
                training.weights(),
                training.config,
                epoch=metrics.epoch,
                data=data.key,
                **{"val_acc": metrics.val_acc, **objective.noted(value)},
            )
        show(metrics)
    if best is None:
        why = f"{objective.metric} was a number in no epoch; nothing to test"
        raise UserError(f"{folder}: {why}")
    write_text(folder / "settings.json", json.dumps(config.to_dict(), indent=1) + "\n")
    write_text(folder / "epochs.csv", _csv(rows))
    now = current_arithmetic(config.net, config.precision, training.device.type)
    made = {"key": key, "ran": extend_history((), now, 0)}
    write_text(folder / MADE, json.dumps(made) + "\n")


def _csv(rows: list[EpochMetrics]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0].to_dict()), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.to_dict() for row in rows)
    return text.getvalue()
