"""Whether a trial that is trained again is the net that its search had, and if not, why."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facesiam.config import TrialConfig
from facesiam.device.arithmetic import Arithmetic, ComputeHistory
from facesiam.device.hardware import gpu_names
from facesiam.device.reproducibility import current_arithmetic, reproduce
from facesiam.files import read_text
from facesiam.fingerprint import Key
from facesiam.objective import Objective
from search.analysis.formatting import counted, percent
from search.runs.line_format import EpochLine, TrialLine

COMPARED = ("train_loss", "val_loss", "val_acc")
"""What has the same digits in each epoch of the same training."""


def as_it_ran(
    ran: ComputeHistory, config: TrialConfig, threads: int | None
) -> tuple[Arithmetic, str]:
    """Return the arithmetic to train with, that of the trial if possible, and a sentence on it."""
    now = current_arithmetic(
        config.net, config.precision, "cuda" if gpu_names() else "cpu", threads
    )
    now, why = reproduce(ran, now, 0, threads)
    said = f"trains with {now.describe()}"
    if not ran:
        return now, f"{said}; what it ran with was not recorded"
    if len(ran) > 1:
        return now, (
            f"{said}; what it ran with changed at its epoch {ran[1]['epoch']}, so this gives "
            "another net"
        )
    return now, f"it {why}, which gives another net" if why else f"{said}, as it ran"


def code_changed(line: TrialLine, config: TrialConfig, key: Key) -> str:
    """Return a sentence where a trial's numbers came from other code than this; "" else.

    Args:
        line: of the trial in the journal.
        config: its settings.
        key: of trials on the data of the run, with the code that is here.
    """
    known, ran = line.get("key"), line.get("ran")
    if not known or not ran or key(config.to_dict(), ran) == known:
        return ""
    return (
        "the trainer's code, its libraries, a plugin or the pretrained weights have changed since "
        "it ran, which can give another net"
    )


def compared(curve: Path, searched: Sequence[EpochLine], objective: Objective) -> str:
    """Return a sentence on whether a training gave the numbers of the search.

    Args:
        curve: the epochs.csv of the training.
        searched: the epochs of the trial in the journal.
        objective: decides which epoch is best.
    """
    rows: list[Mapping[str, Any]] = list(csv.DictReader(read_text(curve).splitlines()))
    pairs = list(zip(rows, searched, strict=False))
    differs = next((at for at, both in enumerate(pairs) if not _same(*both)), None)
    here, there = _best(rows, objective, " of validation pairs"), _best(searched, objective)
    if differs is not None:
        return (
            f"another net than the search's, from epoch {differs} on: {here}, and {there} in the "
            "search"
        )
    if len(rows) <= len(searched):
        more = f", the first of {len(searched)}" if len(rows) < len(searched) else ""
        return f"the numbers of the search in {counted(len(rows), 'epoch')}{more}: {here}"
    if not pairs:
        return f"{here}; the search has no epoch of it"
    return (
        f"the numbers of the search in the {counted(len(pairs), 'epoch')} that it ran there "
        f"({there}), then {len(rows) - len(pairs)} more: {here}"
    )


def _same(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Return whether two epochs have the same digits; what is not recorded does not differ."""
    return all(
        theirs.get(name) is None or repr(float(mine[name])) == repr(float(theirs[name]))
        for name in COMPARED
    )


def _best(rows: Sequence[Mapping[str, Any]], objective: Objective, of: str = "") -> str:
    """Return the validation accuracy at the best epoch, in words."""
    found = [row.get(objective.metric) for row in rows]
    values = [float("nan") if value is None else float(value) for value in found]
    at = objective.best_epoch(values)
    if at is None:
        return "no score"
    best = rows[at]
    return f"{percent(float(best['val_acc']))} %{of} at epoch {best['epoch']}"
