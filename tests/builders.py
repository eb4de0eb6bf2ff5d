"""What many tests begin with: places of the repository, search spaces and run folders."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np

from facesiam.config import TrialConfig, Value
from facesiam.config.trial import Packing
from facesiam.data.dataset import FaceData, Pairs
from facesiam.storage.folder import Storage
from facesiam.training.saving import state_file
from search.runs.journal import read_epochs, read_trials
from search.runs.line_format import OVER
from search.space import SearchSpace, load

ROOT = Path(__file__).parent.parent
SPACES = ROOT / "spaces"
SCRIPTS = ROOT / "scripts"
REFERENCE = ROOT / "ray_results" / "reference"
DEAD = {
    "updates": 50,
    "trunk_grad_zero": 1.0,
    "trunk_grad_max": 0.0,
    "trunk_live": 0.0,
    "head_live": 0.5,
    "logit_spread": 0.0,
    "train_loss": 0.7,
}
"""An epoch of a net whose trunk's last ReLU is dead; two of them have 100 updates. Its training
loss is a bit more than ln 2 = 0.693, which it would have if it called every pair even."""

SCHEDULES: list[dict[str, Value]] = [
    {},
    {"warmup": 0.2},
    {"schedule": "cosine"},
    {"schedule": "onecycle"},
    {"schedule": "cosine", "warmup": 0.2},
]
"""Schedules of the learning rate under which recorded runs are tried."""


def drawn_people(images: Sequence[int]) -> FaceData:
    """What rated pairs ask of data, where each person has so many images."""
    person = np.repeat(np.arange(len(images)), images)
    numbers = np.arange(len(person))
    listed = Pairs(numbers[:-1], numbers[1:], np.ones(len(numbers) - 1, np.int64), None)
    return cast(
        FaceData,
        SimpleNamespace(
            person=person,
            content=numbers,
            names=[],
            pairs_of=lambda config, part: listed,
            images_of=lambda pairs, views: numbers,
        ),
    )


def script(name: str) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def unknown_compression(archive: bytes) -> bytes:
    """Return a zip whose directory says of every part that it is compressed in a way 99."""
    parts = archive.split(b"PK\x01\x02")
    return b"PK\x01\x02".join([parts[0], *(part[:6] + b"\x63\0" + part[8:] for part in parts[1:])])


SQUEEZE, LETTERBOX, ALIGNED = (
    Packing(geometry, 224) for geometry in ("squeeze", "letterbox", "aligned")
)
"""The packings of the default `packed_size`."""

CFP = os.environ.get("FACESIAM_DATA", "")
"""The zip of the real CFP, or nothing."""

THREE_EPOCHS = "fixed: {epochs: 3}\nsearch: {lr: {low: 1e-5, high: 1e-1, log: true}}\n"
SETTINGS: dict[str, Value] = TrialConfig(epochs=3).to_dict()
"""Of a trial of this space."""


def space(folder: Path, text: str) -> SearchSpace:
    """Write a space file into the folder and load it."""
    file = folder / "space.yaml"
    file.write_text(text)
    return load(file)


def worker_config(
    run: Path, data: FaceData, settings: TrialConfig, trial: str = "0001"
) -> dict[str, Any]:
    """What Ray hands to a trial."""
    return {
        "trial": trial,
        "settings": settings.to_dict(),
        "data": str(data.folder),
        "weights": {},
        "run": str(run),
        "cpus": 2,
        "device": "cpu",
        "noted": 0,
        "metric": "val_acc",
        "mode": "max",
        "keep_threshold": None,
    }


def epoch(number: int, score: float = 0.5) -> dict[str, float]:
    """An epoch's metrics, as few as a journal can do with."""
    return {"epoch": number, "val_acc": score, "val_pairs": 100, "seconds": 1.0}


def write_lines(file: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write JSON lines."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_run(
    folder: Path,
    trials: Sequence[Mapping[str, object]],
    epochs: Sequence[Mapping[str, object]],
    space: str = "",
) -> Path:
    """Write a run's two journal files, and its space file if there is a text; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if space:
        (folder / "space.yaml").write_text(space)
    write_lines(folder / "trials.jsonl", trials)
    write_lines(folder / "epochs.jsonl", epochs)
    return folder


def unsaved_epochs(run: Path, storage: Storage) -> int:
    """How many noted epochs of trials that have not ended no saved state has: a kill costs them.

    Args:
        run: the run's folder, with its journal.
        storage: where its workers save their states; a worker that is about to end may save more.
    """
    epochs = read_epochs(run)
    going = [name for name, line in read_trials(run).items() if line["status"] not in OVER]
    saved = {name: (storage.load(state_file(name)) or {}).get("epoch", 0) for name in going}
    return sum(max(0, len(epochs.get(name, ())) - saved[name]) for name in going)
