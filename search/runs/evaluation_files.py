"""The JSON files that tests of nets leave in a run folder, each checked where it is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from facesiam.errors import FileError
from search.runs.field_checks import is_name, is_number, is_whole
from search.runs.json_files import read_object_of

ALWAYS = ("accuracy", "auc", "eer")
"""The measures that tests of all versions have."""


def read_test(path: Path, measures: tuple[str, ...]) -> dict[str, Any]:
    """Return what a test.json holds.

    Args:
        path: of the file.
        measures: figures that it has besides accuracy, AUC and EER, where it is not of before.

    Raises:
        FileError: it cannot be read, or is no test result.
    """
    test = read_object_of(path, {})
    for name in dict.fromkeys((*ALWAYS, *measures)):
        if name in test or name in ALWAYS:
            _check_figure(path, name, test.get(name), ("value", "low", "high"))
    config = test.setdefault("config", {})
    checks: list[tuple[bool, str]] = [
        (is_whole(test.get("seed")), "seed must be a whole number"),
        (
            "epoch" in test and (test["epoch"] is None or is_whole(test["epoch"])),
            "epoch must be a whole number, or null",
        ),
        (is_whole(test["accuracy"].get("n")), "accuracy has no whole number n of pairs"),
        (isinstance(config, dict), "config must be an object"),
        (is_whole(test.get("ties", 0)), "ties must be a whole number"),
        (_is_share(test.get("same", 0)), "same must be a share"),
        (_are_rates(test.get("at_far", [])), "at_far must be a list of thresholds with rates"),
        (is_name(test.get("protocol", "x")), "protocol must be a name"),
        (isinstance(test.get("members", []), list), "members must be a list of trials"),
    ]
    for holds, said in checks:
        if not holds:
            raise FileError(f"{path}: not a test result: {said}")
    return test


def read_folds(path: Path, kinds: tuple[str, ...], measures: tuple[str, ...]) -> dict[str, Any]:
    """Return what a folds.json holds.

    Args:
        path: of the file.
        kinds: of pairs that it has figures of.
        measures: figures of each kind; those besides accuracy, AUC and EER where it is not of
            before.

    Raises:
        FileError: it cannot be read, or is no summary of folds.
    """
    summary = read_object_of(path, {})
    folds = summary.get("folds")
    if not is_name(summary.get("trial")) or not (
        isinstance(folds, list)
        and all(map(is_whole, folds))
        and isinstance(summary.get("seeds", []), list)
    ):
        raise FileError(f"{path}: no summary of folds: it needs a trial and a list of its folds")
    for kind in kinds:
        held = summary.get(kind)
        figures = held if isinstance(held, dict) else {}
        for name in measures:
            if name in figures or name in ALWAYS:
                named = f"{kind} {name}"
                _check_figure(path, named, figures.get(name), ("mean", "std"), most=math.inf)
    return summary


def _is_share(value: Any) -> bool:
    return is_number(value) and (value != value or 0 <= value <= 1)


def _are_rates(rows: Any) -> bool:
    """Say whether a value is a list of ``facesiam.evaluation.thresholds.AtFar``."""
    return isinstance(rows, list) and all(
        isinstance(row, dict)
        and _is_share(row.get("asked"))
        and row["asked"] > 0
        and is_number(row.get("threshold"))
        and is_whole(row.get("different"))
        and is_name(row.get("fpr_pairs", "protocol"))
        and _are_two(row.get("people", [0, 0]))
        and all(_is_rate(row.get(name)) for name in ("val_far", "test_far", "test_tar"))
        for row in rows
    )


def _are_two(counts: Any) -> bool:
    return isinstance(counts, list) and len(counts) == 2 and all(map(is_whole, counts))


def _is_rate(rate: Any) -> bool:
    return (
        isinstance(rate, dict)
        and all(_is_share(rate.get(part)) for part in ("value", "low", "high"))
        and is_whole(rate.get("n"))
    )


def _check_figure(
    path: Path, name: str, figure: Any, parts: tuple[str, ...], most: float = 1.0
) -> None:
    known = figure if isinstance(figure, dict) else {}
    for part in parts:
        value: Any = known.get(part)
        if not is_number(value) or not (value != value or 0 <= value <= most):
            raise FileError(f"{path}: not a test result: {name} has no {part} that is a share")
