"""By what a run ranks its trials, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from facesiam.config.metrics import TPR
from facesiam.files import exists
from search.analysis.ranked_trials import DEFAULT_METRIC
from search.runs import layout
from search.runs.json_files import Manifest
from search.runs.layout import folder_of


class Ranking(NamedTuple):
    """By what the trials of a run are ranked."""

    metric: str = DEFAULT_METRIC
    said: str = ""
    """A sentence on it; "" where it is the default."""
    costs: tuple[str, ...] = ()
    """Costs that the table has columns of, with a mark for the trials on the front."""


def ranking(run: str | Path) -> Ranking:
    """Return by what a run ranks its trials, and why where that is not the default.

    Raises:
        RunError, SpaceError: as ``objective``, or the manifest is damaged.
    """
    folder = folder_of(run)
    searched = layout.space(folder)
    ranked_by, costs = searched.objective, searched.costs
    if ranked_by.metric == DEFAULT_METRIC:
        return Ranking(costs=costs)
    noted = layout.manifest(folder) if exists(folder / layout.MANIFEST) else {}
    first = "largest" if ranked_by.maximizes else "smallest"
    reason = noted.get("metric_reason") or "metric of the space file"
    said = f"ranked by {ranked_by.metric}, the {first} first, not by {DEFAULT_METRIC}: {reason}"
    if ranked_by.metric == TPR:
        said += "".join(map("; {}".format, _rated(noted, float(searched.possible("fpr")[0]))))
    return Ranking(ranked_by.metric, said, costs)


def _rated(noted: Manifest, fpr: float) -> Iterator[str]:
    """Yield what true accepts rest on, a clause for each set of validation pairs."""
    for name, pairs in noted.get("rated_pairs", {}).items():
        yield (
            f"{name}: true accepts at {100 * fpr:g} % false accepts of "
            f"{pairs['same']:,} pairs of one person and {pairs['different']:,} of two, with 95 % "
            f"intervals over the {pairs['people']:,} people"
        )
