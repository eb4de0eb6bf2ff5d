"""The table of test results that ``search.retrain`` prints."""

from __future__ import annotations

import statistics
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from facesiam.evaluation.metrics import METRICS
from search.analysis.formatting import mean_and_std, measure
from search.report import evaluation

HEADS = {"tpr_at_fpr_1e-2": "TPR at FPR 1e-2", "tpr_at_fpr_1e-3": "at 1e-3"}
"""Column heads of the metrics whose names are no words."""


def print_table(tested: list[dict[str, Any]]) -> None:
    """Print the test results of one protocol, a row a seed and one of their means.

    Args:
        tested: what ``protocols.test`` or ``ensemble.ensemble`` returned, of one protocol.
    """
    table = Table(box=None, pad_edge=False)
    measures = (f"{HEADS.get(name, name)}, %" for name in METRICS)
    for head in ("seed", "epoch", "val_acc, %", *measures):
        table.add_column(head, justify="right", no_wrap=True)
    for row in tested:
        table.add_row(
            str(row["seed"]),
            "–" if row["epoch"] is None else str(row["epoch"]),
            f"{100 * row['val_acc']:.1f}",
            *(measure(row[name]) for name in METRICS),
        )
    if len(tested) > 1:
        table.add_section()
        table.add_row(f"mean ± std, n = {len(tested)}", "", *_means(tested))
    # Without a terminal rich takes 80 columns, which the means of several seeds do not fit.
    width = None if sys.stdout.isatty() else 150
    console = Console(width=width, markup=False)
    first = tested[0]
    console.print(f"test split of {first['protocol']}, trial {first['trial']}, 95 % intervals")
    console.print(table)
    for row in tested:
        if row["ties"]:
            console.print(
                evaluation.ties_note(row["ties"], row["accuracy"]["n"], f"seed {row['seed']}")
            )


def _means(tested: list[dict[str, Any]]) -> list[str]:
    columns = [[row["val_acc"] for row in tested]]
    columns += [[row[name]["value"] for row in tested] for name in METRICS]
    return [mean_and_std(statistics.mean(c), statistics.stdev(c)) for c in columns]
