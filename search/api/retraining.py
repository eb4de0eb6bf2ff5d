"""Retraining from Python: the options of ``search.retrain``, and its figures as a frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.api import notebook, wording
from search.retrain.__main__ import parser, tests
from search.retrain.options import RetrainOptions

if TYPE_CHECKING:
    import pandas as pd

ABOUT = ("trial", "protocol", "seed", "epoch", "n")
OF_FOLDS = ("fold", "pairs")
"""Columns before the figures; of the ten folds, also the number and the kind of pairs."""
ENDS = ("value", "low", "high")


def retrain(run: Path, place: str, given: dict[str, Any]) -> pd.DataFrame:
    """Train a trial of a run again and test it, as ``Run.retrain``.

    Args:
        run: folder of the run.
        place: that, or its URL.
        given: the options, by name.
    """
    import pandas as pd

    for name in ("trial", "ensemble", "soup"):  # of which the command takes one at most
        if given[name] not in (None, False) and given["rank"] == 1:
            given["rank"] = None
    for name in ("far", "folds"):
        value = given[name]
        if isinstance(value, list | tuple | range):
            given[name] = ",".join(map(str, value)) or None
    with wording.python_words():
        found = wording.read(
            parser(wording.Reader),
            [*wording.arguments(given), "--", place],
        )
        options = RetrainOptions(**found)
        console, _ = notebook.console(True)
        rows = tests(run, options, console)
    return pd.DataFrame([_flat(row) for row in rows])


def _flat(test: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a test by column: the value, and the ends of its interval."""
    flat = {name: test.get(name) for name in ABOUT}
    flat |= {name: test[name] for name in OF_FOLDS if "fold" in test}
    for name, figure in test.items():
        if isinstance(figure, Mapping) and set(ENDS) <= figure.keys():
            flat |= {name: figure["value"]}
            flat |= {f"{name}_{end}": figure[end] for end in ENDS[1:]}
            flat["n"] = flat["n"] or figure.get("n")
    return flat
