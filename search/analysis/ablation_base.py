"""The trial that an ablation changes, recognised by the settings of all its trials."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from facesiam.config import SETTINGS

REPEATS = "seed"
"""The setting whose change repeats a trial."""
DEPENDENT = {"pretrained": ("freeze_batchnorm",)}
"""Settings that cannot stay as they were when another one changes; they are not held equal."""
BEST_ROW = r"best-s\d+"
"""The names that ``search.tuning.ablation`` gives to the trial that it changes."""


def ablation_base(trials: pd.DataFrame, columns: Collection[str]) -> dict[str, Any] | None:
    """Return the settings of the base trial of an ablation, without the seed; None: it is none.

    All other trials change one setting of the base. Where all change the same one, any of them
    could be the base: it is the one that the column ``row`` names so.

    Args:
        trials: a row per trial.
        columns: what varies among them.
    """
    fixed = [name for name in columns if name != REPEATS]
    ones = trials[fixed].drop_duplicates() if fixed else trials.head(0)
    if len(ones) < 3:
        return None
    if len(fixed) == 1:  # each is a change of each
        if "row" not in trials:
            return None
        best = trials["row"].astype("string").str.fullmatch(BEST_ROW).fillna(False)
        ones = trials.loc[best, fixed].drop_duplicates()
        return {str(k): v for k, v in ones.iloc[0].items()} if len(ones) == 1 else None
    # A change has its own value of one setting; all other trials have that of the base.
    common = [set(ones[name].mode()) for name in fixed]
    every = ones.to_dict("records")
    for one in every:
        shared = all(one[name] in values for name, values in zip(fixed, common, strict=True))
        if shared and all(other is one or _changed(one, other, fixed) for other in every):
            return {str(name): value for name, value in one.items()}
    return None


def _changed(one: Mapping[Any, Any], other: Mapping[Any, Any], names: list[str]) -> str | None:
    """Return the one setting in which two configurations differ; None: it is not just one."""
    differ = {name for name in names if one[name] != other[name]}
    for name in sorted(differ):
        if name in SETTINGS and differ <= {name, *DEPENDENT.get(name, ())}:
            return name
    return None
