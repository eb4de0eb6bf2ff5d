"""Results of CFP's ten folds: the report's part on them, and the table that retrain prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facesiam import cli
from facesiam.cli.terminal import WHOLE, columns, fitted
from facesiam.data.formats.cfp_lists import KINDS, TEN_FOLD
from facesiam.data.split import ALL_FOLDS
from facesiam.evaluation.thresholds import ACCEPTED, describe_threshold, recorded_threshold
from search.analysis.formatting import NOTHING, grid, mean_and_std, stacked
from search.runs.evaluation_files import read_folds

FEW = "tpr_at_fpr_1e-2"
"""True accepts at the fewest false accepts that one fold's 350 pairs of different people allow."""
MEASURES = {"accuracy": "accuracy", "auc": "AUC", "eer": "EER", FEW: ACCEPTED[FEW]}
"""What the table has of each kind of pairs, and how it is headed."""
PUBLISHED: dict[str, dict[str, tuple[float, float]]] = {
    "human": {"FF": (96.2, 0.7), "FP": (94.6, 1.1)},
    "deep features": {"FF": (96.4, 0.7), "FP": (84.9, 1.8)},
    "Fisher vector + metric learning": {"FF": (91.3, 0.8), "FP": (80.6, 2.1)},
}
"""Accuracy and standard deviation over the folds in percent: S. Sengupta et al., "Frontal to
profile face verification in the wild", WACV 2016."""
ABOUT = (
    "CFP's ten folds, in percent, mean ± std over the folds that are done; n says how many where "
    "that is not all ten. Each fold is trained on eight of the others, the ninth chooses epoch "
    "and thresholds."
)


def section(run: Path) -> str:
    """Return the ten-fold tables that a run folder has, as Markdown; '' without."""
    files = sorted(run.glob(f"retrain/*/{TEN_FOLD}/seed*/folds.json"))
    found = [folds(read_folds(file, KINDS, tuple(MEASURES))) for file in files]
    return "\n\n".join([ABOUT, *found]) if found else ""


def folds(summary: Mapping[str, Any]) -> str:
    """Return the ten-fold measures of a trial beside published ones, as Markdown.

    Args:
        summary: what ``ten_fold.ten_folds`` returns.
    """
    headers, cells = _rows(summary)
    table = grid(headers, cells, [True] + [False] * (len(headers) - 1))
    return f"{table}\n\n{_standing(summary)}"


def print_folds(summary: Mapping[str, Any]) -> None:
    """Print what ``folds`` returns, as a table that fits the terminal."""
    headers, cells = _rows(summary)
    width = columns(WHOLE)
    table = stacked(headers, cells, [True] + [False] * (len(headers) - 1), width)
    cli.show(f"{table}\n{fitted(_standing(summary), width)}")


def _rows(summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the headers and rows of the ten-fold measures."""
    of = f"mean score of {len(seeds)} seeds,\n" if (seeds := summary.get("seeds")) else ""
    name = f"trial {summary['trial']}, {of}{_folds_done(len(summary['folds']))}"
    known = [summary[kind].get(measure) for kind in KINDS for measure in MEASURES]
    shown = [mean_and_std(one["mean"], one["std"]) if one else NOTHING for one in known]
    heads = [f"{kind} {_head(words)}" for kind in KINDS for words in MEASURES.values()]
    cells = [[name, *shown]]
    for method, figures in PUBLISHED.items():
        row = [f"{method}\n(Sengupta et al. 2016)"]
        for mean, std in (figures[kind] for kind in KINDS):
            row += [f"{mean:.1f} ± {std:.1f}", *[NOTHING] * (len(MEASURES) - 1)]
        cells.append(row)
    return ["", *heads], cells


def _head(words: str) -> str:
    """Return a measure as its column is headed, on two lines where it is long."""
    return f"{words}, %".replace(" at ", "\nat ")


def _folds_done(done: int) -> str:
    """Return over how many folds a row is, which is told apart where it is not all of them."""
    every = len(ALL_FOLDS)
    return f"{every} folds" if done == every else f"n = {done} of {every} folds"


def _standing(summary: Mapping[str, Any]) -> str:
    """Return at which thresholds the figures of the ten folds stand."""
    origin = recorded_threshold(summary)
    words = "where most pairs of the split that validates the fold are judged right"
    words = words if origin == "validation pairs" else describe_threshold(origin)
    return (
        f"Accuracies at the threshold: {words}. EER and true accepts are read off the ROC curve "
        "of each fold's own pairs."
    )
