"""Run folders with scores, as tests of frames, tables and the results command need them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pandas as pd

from facesiam.config import TrialConfig
from facesiam.evaluation.right_pairs import pack
from search.analysis import rule_audit, trial_story
from search.results import load

SPACE = """\
fixed:
  epochs: 3
search:
  augment: [false, true]
  lr: [1e-05, 1e-03]
metric: {metric}
mode: {mode}
"""
DECISION = ("stop_epoch", "stop_rung", "stop_value", "stop_cutoff", "stop_peers", "control")
"""What the journal of older runs does not have."""


def epoch(trial: str, number: int, val_acc: float, **more: float) -> dict[str, object]:
    line = {"train_loss": 0.5, "train_acc": 0.9, "val_loss": 0.6, "val_pairs": 2000}
    line |= {"seconds": 10.0, "samples_per_second": 100.0, "peak_memory_mib": 500.0}
    return {"trial": trial, "epoch": number, "val_acc": val_acc} | line | more


def trial(
    name: str, status: str = "done", *, row: str | None = None, **more: Any
) -> dict[str, object]:
    told = {key: more.pop(key, None) for key in ("stop_rule", "stop_reason")}
    told |= {key: more.pop(key) for key in DECISION if key in more}
    settings = TrialConfig(epochs=3, **more).to_dict()
    line = {"trial": name, "row": row, "status": status, "settings": settings, "time": 1.0}
    return line | told


def write_run(
    folder: Path,
    trials: list[dict[str, object]],
    epochs: list[dict[str, object]],
    metric: str = "val_acc",
    mode: str = "max",
) -> Path:
    return builders.write_run(folder, trials, epochs, SPACE.format(metric=metric, mode=mode))


def three_trials(folder: Path) -> Path:
    """A run of three trials: 0002 is best at epoch 1 with 1,640 of 2,000; 0001 ties; 0003 was stopped."""
    return write_run(
        folder / "code2",
        [
            trial("0001", "running"),
            trial("0001", augment=False),
            trial("0002", augment=True),
            trial("0003", "stopped", lr=1e-3, stop_rule="dead", stop_reason="no live unit"),
        ],
        [
            epoch("0001", 0, 0.70),
            epoch("0001", 1, 0.80),
            epoch("0001", 2, 0.80),
            epoch("0002", 0, 0.75),
            epoch("0002", 1, 0.82, train_acc=0.85),
            epoch("0002", 2, 0.81),
            epoch("0003", 0, 0.50),
        ],
    )


def which(n: int, right: range | list[int]) -> dict[str, float | str]:
    """The fields of an epoch that say which of n pairs were judged right."""
    chosen = np.isin(np.arange(n), list(right))
    return {"val_acc": chosen.mean(), "val_pairs": n, "val_right": pack(chosen)}


def ended(name: str, **more: Any) -> dict[str, object]:
    """A trial that was stopped after an epoch."""
    return trial(name, "stopped", stop_rule="asha", stop_reason="not among the best", **more)


TEN_EPOCHS = (
    "fixed: {{epochs: 10}}\nsearch: {{lr: [1e-05, 1e-03]}}\nmetric: {metric}\nmode: {mode}\n"
)
ASHA = {
    "stop_rule": "asha",
    "stop_reason": "0.6 under 0.7",
    "stop_epoch": 3,
    "stop_rung": 4,
    "stop_value": 0.6,
    "stop_cutoff": 0.7,
    "stop_peers": 5,
}
DEAD = {"stop_rule": "dead", "stop_reason": "no live unit", "stop_epoch": 1, "stop_value": 0.0}


class WrittenRun:
    """A run folder: ``add`` a trial of 10 planned epochs with its accuracies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.space("val_acc", "max")

    def space(self, metric: str, mode: str, more: str = "") -> None:
        (self.folder / "space.yaml").write_text(TEN_EPOCHS.format(metric=metric, mode=mode) + more)

    def add(
        self,
        name: str,
        accuracies: list[float],
        status: str = "",
        *,
        lr: float = 1e-5,
        row: str | None = None,
        last: dict[str, float] | None = None,
        people: int = 0,
        protocol: str = "frontal-triplets",
        pairs: int = 2000,
        vitals: list[dict[str, float]] | None = None,
        **decision: Any,
    ) -> None:
        config = TrialConfig(epochs=10, lr=lr, people=people, protocol=protocol)
        settings = config.to_dict()
        status = status or ("done" if len(accuracies) == 10 else "running")
        line = {"trial": name, "row": row, "status": status, "settings": settings}
        self._append("trials", {"stop_rule": None, "stop_reason": None} | line | decision)
        for at, val_acc in enumerate(accuracies):
            measured = {"trial": name, "epoch": at, "val_acc": val_acc, "val_loss": 1 - val_acc}
            measured |= {"train_loss": 0.5, "train_acc": 0.9, "val_pairs": pairs, "seconds": 1.0}
            vital = vitals[at] if vitals else {}
            vital |= last if last and at == len(accuracies) - 1 else {}
            self._append("epochs", measured | vital)

    def record(self) -> pd.DataFrame:
        trials, _ = load(self.folder)
        return rule_audit.record(trials, rule_audit.planned(self.folder, trials))

    def story(self, trial: str) -> dict[str, str]:
        """Return the story's lines by their label, unfolded; the title's is ''."""
        parts: dict[str, str] = {}
        for line in trial_story.story(self.folder, trial).splitlines():
            label, said = line[:13].strip(), line[13:]
            if line.startswith("trial "):
                parts[""] = line
            elif label:
                parts[last := label] = said
            else:
                parts[last] += f" {said}"
        return parts

    def _append(self, name: str, line: dict[str, object]) -> None:
        with (self.folder / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def rising(best: float) -> list[float]:
    """Ten epochs from 0.6 on, the best one the last but one."""
    return [0.6] * 8 + [best, 0.6]
