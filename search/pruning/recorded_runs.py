"""Recorded runs by epoch: the odds are learned from them, and ``search.replay`` runs over them.

A folder of CSVs in the form of search/pruning/recordings (``index.csv`` with a line per run,
``<id>.csv`` with its epochs), a table of curves (curve_tables.py), or a run folder of a search.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from facesiam import nearby
from facesiam.config import SETTINGS, Value
from facesiam.files import is_dir, is_file
from facesiam.objective import Objective
from search.pruning import curve_tables
from search.pruning.curve_tables import lines
from search.runs import layout
from search.runs.layout import RunError
from search.space.shipped import RECORDINGS, whole

ACCURACY = Objective("val_acc", "max")
SHIPPED = RECORDINGS
"""The runs of the 2019 study."""
PROTOCOLS: dict[str, Value] = {"single": "cfp-pairs", "two": "frontal-triplets"}
"""The protocol of the 2019 study by its loss: each of its two codes had one of each."""
PAIRS = {"cfp-pairs": 2800, "frontal-triplets": 2000}
"""Validation pairs of the whole CFP, which the recordings of the study do not have."""
SECONDS = {"alexnet": 60.0, "vgg16_bn": 240.0}
"""Seconds an epoch where none were recorded: those of the study, one and four hours for 60."""


@dataclass(frozen=True)
class Curve:
    """One recorded run."""

    id: str
    settings: dict[str, Value]
    """Those that were recorded; `epochs` are the planned ones."""
    rows: tuple[dict[str, float], ...]
    """EpochMetrics as far as they were recorded, from epoch 0 on."""
    cut_off: bool = False
    """The run was stopped or ended before its last planned epoch."""
    altered_from: Curve | None = None
    """The recorded run that it is, with other epochs (``altered_curves``); None: this very run."""
    timed: bool = True
    """Its seconds are known; otherwise an epoch counts 1."""

    @property
    def contest(self) -> tuple[str, int]:
        """Protocol and number of validation pairs: only curves that share both are ranked."""
        return str(self.settings.get("protocol", "")), int(self.rows[0].get("val_pairs", 0))

    def best(self, objective: Objective = ACCURACY) -> float:
        """Return the best score of its epochs; NaN where there is none."""
        return objective.best(row.get(objective.metric, math.nan) for row in self.rows)

    def with_protocol(self, protocol: str) -> Curve:
        """Return the curve with this protocol, on all of CFP, where the recording names none."""
        if "protocol" in self.settings:
            return self
        pairs = {"val_pairs": float(PAIRS.get(protocol, 0))}
        rows = tuple(row if row.get("val_pairs") else row | pairs for row in self.rows)
        return replace(self, settings=self.settings | {"protocol": protocol}, rows=rows)

    def capped(self, epochs: int | None) -> Curve:
        """Return the curve of the same run with at most so many epochs."""
        planned = int(self.settings.get("epochs", len(self.rows)))
        if epochs is None or planned <= epochs:
            return self
        return replace(self, settings=self.settings | {"epochs": epochs}, rows=self.rows[:epochs])


def folders(path: Path) -> list[Path]:
    """Return the folders directly in a folder that are runs or hold tables of curves, by name."""
    inside = (each for each in path.iterdir() if is_dir(each))
    return sorted(
        each for each in inside if layout.has_journal(each) or curve_tables.is_table(each)
    )


def read(path: str | Path, first: int = 0) -> list[Curve]:
    """Read the recorded runs of a folder, those without an epoch left out.

    Args:
        path: of the folder.
        first: of a table, the number of the first epoch that was trained.

    Raises:
        RunError: no such folder, none of the three forms, a damaged file, or no epoch in it.
    """
    path = Path(path)
    if is_file(path):
        raise RunError(f"{path}: a file; recorded curves are given by their folder")
    if not is_dir(path):
        near = nearby.did_you_mean(path, is_dir)
        raise RunError(f"{path}: no such folder of recorded curves{near}")
    if layout.has_journal(path):
        curves = _of_run(path)
    elif curve_tables.is_table(path):
        curves = [Curve(**each._asdict()) for each in curve_tables.read(path, first)]
    elif any(path.glob("*.csv")):
        curves = _of_csvs(path)
    else:
        raise RunError(f"{path}: holds neither curves (epochs.csv, or <id>.csv) nor a run")
    curves = [curve for curve in curves if curve.rows]
    if not curves:
        raise RunError(f"{path}: no epoch is recorded in it")
    return curves


@functools.cache
def shipped() -> tuple[Curve, ...]:
    """Return the runs of the 2019 study, which are data of the package.

    Raises:
        UserError: it stands without them, or they are damaged. What rests on them would not act.
    """
    return tuple(read(whole()))


def _of_run(path: Path) -> list[Curve]:
    _, trials, measured = layout.read(path)
    curves = []
    for trial, line in trials.items():
        settings, rows = dict(line.get("settings") or {}), tuple(measured.get(trial, ()))
        cut_off = len(rows) < int(settings.get("epochs", 0))
        # What was not recorded cannot be run again.
        curves.append(Curve(trial, settings | {"epochs": len(rows)}, rows, cut_off))
    return curves


def _of_csvs(path: Path) -> list[Curve]:
    files = sorted(file for file in path.glob("*.csv") if file.name != "index.csv")
    index = {row["id"]: (row, line) for line, row in lines(path / "index.csv", "id")}
    curves = []
    for file in files:
        about, line = index.get(file.stem, ({}, 0))
        curves.append(_of_csv(file, _settings(about, f"{path / 'index.csv'}: line {line}")))
    return curves


def _of_csv(file: Path, settings: dict[str, Value]) -> Curve:
    pairs = PAIRS.get(str(settings.get("protocol")), 0)
    seconds = SECONDS.get(str(settings.get("net")), 1.0)
    rows: list[dict[str, float]] = []
    timed = True
    for number, line in lines(file, "epoch"):
        try:
            # Cells without a column come under None, as a list: not a number.
            row = {name: float(text) for name, text in line.items() if text}
        except (TypeError, ValueError):
            raise RunError(f"{file}: line {number} holds what is not a number") from None
        if row.get("epoch") != len(rows):
            raise RunError(f"{file}: line {number} should be epoch {len(rows)}")
        timed &= "seconds" in row or settings.get("net") in SECONDS
        rows.append({"val_pairs": float(pairs), "seconds": seconds} | row)
        if problem := _problem(rows[-1]):
            raise RunError(f"{file}: line {number}, {problem}")
    # A log that ends before its run did: what was not recorded cannot be run again.
    settings["epochs"] = len(rows)
    return Curve(file.stem, settings, tuple(rows), timed=timed)


def _problem(row: Mapping[str, float]) -> str | None:
    """Return what is impossible in an epoch, or None."""
    for name in ("train_acc", "val_acc"):
        if wrong := curve_tables.no_share(name, row.get(name, 0.0)):
            return wrong
    if not 0 < row["seconds"] < math.inf:
        return f"seconds must be above 0, got {row['seconds']:g}"
    return None


def _settings(about: Mapping[str, str], where: str) -> dict[str, Value]:
    """Turn a line of index.csv into settings; flags are 0 and 1 there."""
    settings: dict[str, Value] = {}
    for name, text in about.items():
        setting = SETTINGS.get(name)
        if setting is None or not text:
            continue
        try:
            is_flag = setting.type is bool and text in ("0", "1")
            settings[name] = text == "1" if is_flag else setting.parse(text)
        except ValueError as error:
            raise RunError(f"{where}, {name} {error}") from None
    # Nets and losses that cannot be trained here may have been recorded, but a protocol with a
    # typing mistake would be a contest of its own.
    protocol = settings.get("protocol")
    if protocol is not None and (wrong := SETTINGS["protocol"].problem(protocol)):
        raise RunError(f"{where}, protocol {wrong}")
    if "protocol" not in settings and settings.get("loss") in PROTOCOLS:
        settings["protocol"] = PROTOCOLS[str(settings["loss"])]
    return settings
