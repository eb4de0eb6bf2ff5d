"""The scores of test pairs: their file, read, and two nets compared on the same pairs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from facesiam.errors import shown
from facesiam.evaluation.right_pairs import Bools
from facesiam.evaluation.scores import COLUMNS
from facesiam.files import read_text
from search.analysis.mcnemar import ALPHA
from search.analysis.paired_difference import PairedDifference, difference
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


def ends(frame: pd.DataFrame) -> list[pd.Series]:
    """Return the two paths of each pair, ``first`` and ``second``, the lower one first.

    Args:
        frame: what ``read`` returns.
    """
    left, right = frame["left"].astype(str), frame["right"].astype(str)
    turned = left > right
    return [
        left.where(~turned, right).rename("first"),
        right.where(~turned, left).rename("second"),
    ]


def by_pair(frame: pd.DataFrame, name: object) -> pd.DataFrame:
    """Return the scores with each pair of the same two pictures once, whatever their order.

    A pair that is listed more than once has the mean of its log-odds, NaN where one of them is.

    Args:
        frame: what ``read`` returns.
        name: of the scores, for messages.

    Returns:
        ``same_person`` and ``log_odds`` by the two paths, sorted.

    Raises:
        RunError: there is no pair, or one is of the same person and of two.
    """
    if frame.empty:
        raise RunError(f"{name}: has no pairs")
    pairs = frame.groupby(ends(frame))
    label = pairs["same_person"].agg(["min", "max"])
    if (both := label["min"] != label["max"]).any():
        one, other = label.index[both][0]
        raise RunError(f"{name}: {one} and {other} are of the same person and of two people")
    return pd.DataFrame(
        {"same_person": label["min"], "log_odds": pairs["log_odds"].mean(skipna=False)}
    )


def paired(a: pd.DataFrame, b: pd.DataFrame) -> PairedDifference | None:
    """Return what two nets' scores, of ``by_pair``, say of their accuracies on the same pairs.

    Returns:
        The difference; None where the pairs are not the same.
    """
    if not a["same_person"].equals(b["same_person"]):  # the paths are compared too
        return None
    return difference(_right(a), _right(b))


def compare_tests(protocol: str, tested: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return a sentence for each test on the same pairs as the best one: is it told from it?

    Args:
        protocol: whose pairs.
        tested: what ``read`` returns, by what the net is called.

    Raises:
        RunError: as ``by_pair``.
    """
    scored = {name: by_pair(frame, name) for name, frame in tested.items()}
    right = {name: _right(frame).mean() for name, frame in scored.items()}
    best = max(right, key=right.__getitem__, default="")
    compared = {
        name: found
        for name in scored
        if name != best and (found := paired(scored[best], scored[name]))
    }
    lines = []
    for name, found in compared.items():
        p = min(1.0, len(compared) * found.p)
        lines.append(
            f"{protocol}: {name} beside {best}, the best of {len(compared) + 1} on the same "
            f"{found.n:,} pairs: {found.only_a} that only the best has right, {found.only_b} "
            f"that only {name} has; exact McNemar p {p:.2g} after all comparisons with the best, "
            f"{'told apart' if p < ALPHA else 'not told apart'}."
        )
    return lines


def _right(frame: pd.DataFrame) -> Bools:
    odds = frame["log_odds"]
    return (((odds > 0) == (frame["same_person"] == 1)) & odds.notna()).to_numpy(dtype=bool)
