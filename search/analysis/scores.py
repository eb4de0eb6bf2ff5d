"""The scores of test pairs: their file, read, and McNemar's test of two nets on the same pairs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from facesiam.errors import shown
from facesiam.evaluation.scores import COLUMNS
from facesiam.files import read_text
from search.analysis.mcnemar import ALPHA, p_value
from search.runs.layout import RunError

OLDER = ("left", "right", "label", "same")
"""Columns of an older version: image numbers, 0 for the same person, and a probability."""


class OlderScores(RunError):
    """A scores file of an older version, whose probabilities cannot be ranked."""


def read(path: Path) -> pd.DataFrame:
    """Return a scores file as a frame of ``left``, ``right``, ``same_person`` and ``log_odds``.

    Raises:
        OlderScores: one of an older version; the text says how to have it written anew.
        RunError: no scores file, or a damaged one; names the line.
        FileError: it cannot be read.
    """
    try:
        frame = pd.read_csv(io.StringIO(read_text(path)))
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RunError(f"{path}: not a scores file ({str(error).strip()})") from None
    if tuple(frame) == OLDER:
        raise OlderScores(
            f"{path}: of an older version, with probabilities in place of log-odds, so that sure "
            "pairs are equal; the same search.retrain command writes it anew, and trains nothing "
            "whose weights are there"
        )
    if tuple(frame) != COLUMNS:
        raise RunError(
            f"{path}: must have the columns {', '.join(COLUMNS)}, got "
            f"{shown(', '.join(map(str, frame)))}"
        )
    numbers = frame[["same_person", "log_odds"]].apply(pd.to_numeric, errors="coerce")
    for column, wrong, form in (
        ("same_person", ~numbers["same_person"].isin((0, 1)), "0 or 1"),
        ("log_odds", numbers["log_odds"].isna() & ~frame["log_odds"].isna(), "a number"),
    ):
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            found = shown(str(frame[column][at]))
            raise RunError(f"{path}: line {at + 2}: {column}: must be {form}, got {found}")
    return frame.assign(
        same_person=numbers["same_person"].astype("int64"),
        log_odds=numbers["log_odds"].astype("float64"),
    )


def compare_tests(protocol: str, tested: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return a sentence for each test on the same pairs as the best one: is it told from it?

    Args:
        protocol: whose pairs.
        tested: what ``read`` returns, by what the net is called.
    """
    right = {
        name: ((frame["log_odds"] > 0) == (frame["same_person"] == 1)) & frame["log_odds"].notna()
        for name, frame in tested.items()
    }
    best = max(right, key=lambda name: right[name].mean(), default="")
    known = list(COLUMNS[:3])
    others = [
        name for name in tested if name != best and tested[name][known].equals(tested[best][known])
    ]
    lines = []
    for name in others:
        only_best = int((right[best] & ~right[name]).sum())
        only_other = int((right[name] & ~right[best]).sum())
        p = min(1.0, len(others) * p_value(only_best, only_other))
        lines.append(
            f"{protocol}: {name} beside {best}, the best of {len(others) + 1} on the same "
            f"{len(right[best]):,} pairs: {only_best} that only the best has right, {only_other} "
            f"that only {name} has; exact McNemar p {p:.2g} after all comparisons with the best, "
            f"{'told apart' if p < ALPHA else 'not told apart'}."
        )
    return lines
