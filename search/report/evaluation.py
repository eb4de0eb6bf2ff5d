"""Results on the test split: the report's section on them, and the table that retrain prints."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from facesiam import cli
from facesiam.cli.terminal import WHOLE, columns, fitted
from facesiam.errors import counted
from facesiam.evaluation.metrics import METRICS
from facesiam.evaluation.thresholds import (
    ACCEPTED,
    AtFar,
    Rate,
    describe_rates,
    describe_threshold,
    far_digits,
    pairs_named,
    recorded_threshold,
    too_few,
)
from facesiam.files import exists
from search.analysis import scores
from search.analysis.formatting import (
    NOTHING,
    grid,
    interval,
    mean_and_std,
    measure,
    percent,
    stacked,
)
from search.report import ten_folds
from search.report.figures import verification
from search.report.report_data import Run
from search.report.tested_nets import tested_nets
from search.resources.validation import unbalanced

RATE_HEADS = (
    *("FAR asked", "threshold", "FAR of validation, %", "n", "FAR of test, %", "n"),
    *("TAR of test, %", "n"),
)
ABOUT = (
    "Trained again and tested at its best epoch, with 95 % intervals; ensemble-N is the mean "
    "score of the N best trials, with the weights that the search kept. The accuracy is that at "
    "the threshold of its row: equal logits, which no pairs chose, or where most validation pairs "
    "of the protocol are judged right. EER and true accepts are read off the test pairs' own ROC "
    "curve."
)
ABOUT_RATES = (
    "At thresholds of log-odds that were chosen on validation pairs, for the false-accept rates "
    "that `--far` or the space's `fpr` asked for: "
)


def section(runs: Sequence[Run], folder: Path | None) -> str:
    """Return the section, '' where nothing was tested.

    Args:
        runs: whose tests are in the table; the comparisons, curves and folds are of the first.
        folder: gets the pictures; None: there are none.
    """
    first = runs[0]
    curves = roc_curves(first, folder) if folder else ""
    parts = [tested(runs), comparisons(first), curves, ten_folds.section(first.folder)]
    return "\n\n".join(part for part in parts if part)


def tested(runs: Sequence[Run]) -> str:
    """Return the table of all tests, a line per trial, protocol and seed; '' without tests."""
    headers = [
        "Trial",
        "Pairs of",
        "Seed",
        "Epoch",
        "Threshold",
        "Accuracy, %",
        "AUC, %",
        "EER, %",
    ]
    headers += [f"True{words.removeprefix('true')}, %" for words in ACCEPTED.values()] + ["Pairs"]
    cells, notes = [], []
    every = [(name, test) for run in runs for name, tests in run.tests.items() for test in tests]
    for trial, test in every:
        whose = f"Trial {trial}, {test.protocol}, seed {test.seed}"
        if test.same is not None and (said := unbalanced(test.same, "test")):
            notes.append(f"{whose}: {said}: judge by AUC and EER.")
        if test.ties:
            notes.append(ties_note(test.ties, test.pairs, whose) + ".")
        known = test.measures
        shares = [measure(known[name]) if name in known else NOTHING for name in METRICS]
        epoch = NOTHING if test.epoch is None else str(test.epoch)
        row = [trial, test.protocol, str(test.seed), epoch, test.threshold or "not recorded"]
        cells.append([*row, *shares, str(test.pairs)])
    if not cells:
        return ""
    table = grid(headers, cells, [True, True] + [False] * (len(headers) - 2))
    return "\n\n".join([ABOUT, table, *notes])


def at_thresholds(runs: Sequence[Run]) -> str:
    """Return the table of rates at thresholds for false accepts, with notes; '' without any."""
    every = [(name, test) for run in runs for name, tests in run.tests.items() for test in tests]
    asked = [(trial, test, row) for trial, test in every for row in test.at_far]
    if not asked:
        return ""
    headers = ["Trial", "Pairs of", "Pairs", "Seed", *RATE_HEADS]
    cells = [
        [name, test.protocol, pairs_named(row), str(test.seed), *_rate_cells(row)]
        for name, test, row in asked
    ]
    few = dict.fromkeys(f"{said}." for *_, row in asked if (said := too_few(row)))
    table = grid(headers, cells, [True, True, True] + [False] * (len(headers) - 3))
    about = f"{ABOUT_RATES}{describe_rates(row for *_, row in asked)}."
    return "\n\n".join([about, table, *few])


def ties_note(ties: int, n: int, whose: str) -> str:
    """Return the sentence on a test whose pairs of both kinds share scores.

    Args:
        ties: pairs that have the score of a pair of the other kind.
        n: all pairs.
        whose: what the test is called.
    """
    return (
        f"{whose}: {ties} of {counted(n, 'pair')} {'has' if ties == 1 else 'have'} exactly the "
        "score of a pair of the other kind; such pairs are accepted together or not at all, and "
        "count half in the AUC"
    )


def comparisons(run: Run) -> str:
    """Return McNemar's tests of each protocol's nets against its best one; '' without two."""
    found: dict[str, dict[str, pd.DataFrame]] = {}
    for trial, tests in run.tests.items():
        for test in tests:
            if exists(test.scores):
                with suppress(scores.OlderScores):  # ``roc_curves`` says so
                    frame = scores.read(test.scores)
                    found.setdefault(test.protocol, {})[f"{trial}, seed {test.seed}"] = frame
    lines = [line for name, nets in found.items() for line in scores.compare_tests(name, nets)]
    return "\n".join(f"- {line}" for line in lines)


def roc_curves(run: Run, folder: Path) -> str:
    """Draw the test pairs of every tested trial; return the pictures, and what cannot be drawn."""
    if not any(run.tests.values()):
        return ""
    nets, parts = tested_nets(run)
    for trial, of_trial in groupby(nets, lambda net: net.trial):
        path = folder / f"roc-{trial}.png"
        tested = {net.test.protocol: net.pairs for net in of_trial}
        verification(path, f"Test pairs of trial {trial}", tested)
        parts.append(f"![ROC curves and scores of trial {trial}]({path.name})")
    return "\n\n".join(parts)


def print_table(tested: list[dict[str, Any]]) -> None:
    """Print the test results of one protocol, a row a seed and one of their means.

    Args:
        tested: what ``protocols.test`` or ``ensemble.ensemble`` returned, of one protocol.
    """
    measures = [ACCEPTED.get(name, name).replace(" at ", " at\n") + ", %" for name in METRICS]
    headers = ["seed", "epoch", "val_acc, %", *measures]
    cells = [
        [
            str(row["seed"]),
            NOTHING if row["epoch"] is None else str(row["epoch"]),
            percent(row["val_acc"]),
            *(measure(row[name]) for name in METRICS),
        ]
        for row in tested
    ]
    if len(tested) > 1:
        cells.append([f"mean ± std, n = {len(tested)}", "", *_means(tested)])
    first, width = tested[0], columns(WHOLE)
    lines = [_standing(first)]
    if said := unbalanced(first["same"], "test"):
        lines.append(f"{said}: judge by AUC and EER")
    lines += [
        ties_note(row["ties"], row["accuracy"]["n"], f"seed {row['seed']}")
        for row in tested
        if row["ties"]
    ]
    n = f"n = {first['accuracy']['n']:,} pairs, 95 % intervals"
    title = f"test split of {first['protocol']}, trial {first['trial']}, {n}"
    table = stacked(headers, cells, [False] * len(headers), width)
    cli.show("\n".join([title, table, *(fitted(line, width) for line in lines)]))


def _standing(test: Mapping[str, Any]) -> str:
    """Return on which pairs, and at which threshold, the figures of a printed table stand."""
    words = describe_threshold(recorded_threshold(test), test["protocol"])
    return (
        f"val_acc is of validation pairs, the rest of test pairs; both accuracies at the "
        f"threshold {words}; EER and true accepts are read off the test pairs' own ROC curve"
    )


def print_rates(tested: list[dict[str, Any]]) -> None:
    """Print the rates at thresholds for false accepts, a row a seed and rate, where there are any.

    Args:
        tested: as for ``print_table``.
    """
    rows: list[tuple[int, AtFar]] = [
        (one["seed"], row) for one in tested for row in one.get("at_far", ())
    ]
    if not rows:
        return
    headers, cells = ["seed", *RATE_HEADS], [[str(seed), *_rate_cells(row)] for seed, row in rows]
    what = describe_rates(row for _, row in rows)
    title = f"at thresholds of log-odds that were chosen on validation pairs: {what}"
    table = stacked(headers, cells, [False] * len(headers), columns(WHOLE))
    print(f"\n{fitted(title, columns(WHOLE))}\n{table}")
    for said in dict.fromkeys(too_few(row) for _, row in rows):
        if said:
            print(fitted(said, columns(WHOLE)))


def _rate_cells(row: AtFar) -> list[str]:
    """Return the cells of RATE_HEADS."""
    return [
        f"{row['asked']:g}",
        f"{row['threshold']:.3f}",
        _rate(row["val_far"], far_digits(row["asked"])),
        f"{row['val_far']['n']:,}",
        _rate(row["test_far"], far_digits(row["asked"])),
        f"{row['test_far']['n']:,}",
        _rate(row["test_tar"]),
        f"{row['test_tar']['n']:,}",
    ]


def _rate(rate: Rate, digits: int = 1) -> str:
    return interval(rate["value"], rate["low"], rate["high"], digits)


def _means(tested: list[dict[str, Any]]) -> list[str]:
    columns = [[row["val_acc"] for row in tested]]
    columns += [[row[name]["value"] for row in tested] for name in METRICS]
    return [mean_and_std(statistics.mean(c), statistics.stdev(c)) for c in columns]
