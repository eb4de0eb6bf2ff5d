"""The levels of a setting: its values, or of a continuum bins of equally many trials.

Accuracy over a learning rate has a peak, not a slope, and a cliff where training diverges. Means
of bins assume no shape, say where the best lies, and are compared as words are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facesiam.config import SETTINGS
from search.analysis.formatting import shown_value

LADDER = 6
"""A numeric setting with more distinct values is a continuum: its values are put into bins."""
FEW_BINS, MANY_BINS, MANY_TRIALS = 3, 5, 20
"""Three bins show a peak in the middle. Five are made of so many trials: four or more in each."""
INACTIVE = -1
"""The level of a trial in which the setting has no meaning, as momentum has none for Adam."""


@dataclass(frozen=True)
class Levels:
    """What the trials have of one setting."""

    labels: tuple[str, ...]
    """Of the K levels, in their order: ``F``, ``supcon``, ``0.001 to 0.0018``."""
    of: NDArray[np.int64]
    """(trials,) the level of each, or INACTIVE."""
    binned: bool = False
    """Whether they are bins of a continuum."""


def levels(column: pd.Series, active: NDArray[np.bool_]) -> Levels:
    """Return the levels of a setting.

    Args:
        column: (trials,) of its values, with its name.
        active: (trials,) where it has a meaning.
    """
    if continuous(column[active]):
        return _bins(column.to_numpy(dtype=np.float64), active)
    values = ordered(column[active], str(column.name))
    place = {value: level for level, value in enumerate(values)}
    of = [place[value] if on else INACTIVE for value, on in zip(column, active, strict=True)]
    return Levels(tuple(map(shown_value, values)), np.array(of, dtype=np.int64))


def continuous(column: pd.Series) -> bool:
    """Say whether a setting's values are a continuum."""
    setting = SETTINGS.get(str(column.name))
    return setting is not None and setting.type in (int, float) and column.nunique() > LADDER


def ordered(values: Iterable[object], name: str) -> list[object]:
    """Return the distinct values of a setting in their order: numbers by size, words as listed."""
    found: Collection[object] = set(values)
    choices = SETTINGS[name].choices if name in SETTINGS else ()
    if choices:
        return [word for word in choices if word in found]
    return sorted(found)  # type: ignore[type-var]  # of one type, as the setting's is


def _bins(values: NDArray[np.float64], active: NDArray[np.bool_]) -> Levels:
    """Cut a continuum where equally many trials lie on both sides; equal values stay together."""
    known = values[active]
    count = MANY_BINS if len(known) >= MANY_TRIALS else FEW_BINS
    edges = np.quantile(known, np.arange(1, count) / count)
    _, of = np.unique(np.searchsorted(edges, known), return_inverse=True)
    labels = []
    for level in range(of.max() + 1):
        low, high = known[of == level].min(), known[of == level].max()
        labels.append(f"{low:.3g} to {high:.3g}" if low < high else f"{low:.3g}")
    every = np.full(len(values), INACTIVE, dtype=np.int64)
    every[active] = of
    return Levels(tuple(labels), every, True)
