"""The documents' tables in their own columns, measured beside published, and the test results."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from facesiam.data.lists import KINDS
from facesiam.evaluation.metrics import FALSE_ACCEPTS
from search.analysis import published as documents
from search.analysis.formatting import grid, interval, shown_value
from search.analysis.published import COLUMNS, TITLES, DocumentRow
from search.report.inputs import Measured, Run

NOT_RUN = "not run"
"""CFP's own protocol, as search.retrain names it."""
PUBLISHED: dict[str, dict[str, tuple[float, float]]] = {
    "human": {"FF": (96.2, 0.7), "FP": (94.6, 1.1)},
    "deep features": {"FF": (96.4, 0.7), "FP": (84.9, 1.8)},
    "Fisher vector + metric learning": {"FF": (91.3, 0.8), "FP": (80.6, 2.1)},
}
"""Accuracy and standard deviation over the folds in percent: S. Sengupta et al., "Frontal to
profile face verification in the wild", WACV 2016."""


def published(rows: Mapping[str, DocumentRow], ran: Mapping[str, Measured]) -> str:
    """Write a table per code, its notes under it; '' without rows.

    Args:
        rows: the documents' rows by id.
        ran: the trial that stands for a row, of those that were run.
    """
    parts = []
    if any((one.run.manifest.get("data") or {}).get("source") == "drawn" for one in ran.values()):
        parts.append("**Measured on drawn faces.** The published figures are from photographs.")
    for protocol, title in TITLES.items():
        mine = {name: row for name, row in rows.items() if row.settings["protocol"] == protocol}
        if mine:
            headers = ["Test", *COLUMNS]
            for column in ("Best epoch val.accur.", "Best e.Test accur.", "Overfit", "B.epoch"):
                headers += [column, "measured"]
            cells = [_row_cells(row, ran.get(name)) for name, row in mine.items()]
            left = [True, True, True] + [False] * (len(headers) - 2)
            table = grid([*headers, "Epochs run"], cells, left)
            notes = "\n".join(f"- **{name}**: {note}" for name, note in _notes(mine, ran).items())
            parts += [f"### {title}", table] + ([notes] if notes else [])
    if parts:
        parts.append("Accuracies in percent: published as printed, measured with 95 % interval.")
    return "\n\n".join(parts)


def _row_cells(row: DocumentRow, one: Measured | None) -> list[str]:
    val, test, verdict, epoch, run = NOT_RUN, "–", "–", "–", NOT_RUN
    if one is not None:
        trial, total = one.trial, row.settings["epochs"]
        val = interval(trial["val_acc"], trial["val_acc_low"], trial["val_acc_high"])
        test = _test_cell(one.run.tests[one.name])
        epoch = shown_value(trial["best_epoch"])
        done = int(trial["epochs_run"])
        run = str(done) if done == total else f"{done} of {total}"
        run += "" if trial["status"] == "done" else f", {trial['status']}"
        if done:
            verdict = documents.letter(documents.judge(one.run.curve(one.name)).overfit)
    return [
        row.id,
        *row.cells(),
        row.figure("val"),
        val,
        row.figure("test"),
        test,
        row.figure("overfit"),
        verdict,
        row.figure("epoch"),
        epoch,
        run,
    ]


def _notes(rows: Mapping[str, DocumentRow], ran: Mapping[str, Measured]) -> dict[str, str]:
    """Return the row's own note, and in which settings its trial was not the documents' run."""
    notes = {}
    for name, row in rows.items():
        said = [row.note.strip().rstrip(".") + "."] if row.note.strip() else []
        if name in ran:
            settings = ran[name].run.configs[ran[name].name].to_dict()
            other = [
                f"{key} {shown_value(settings[key])} instead of {shown_value(value)}"
                for key, value in row.settings.items()
                if settings[key] != value
            ]
            said += [f"Measured with {', '.join(other)}."] if other else []
        if said:
            notes[name] = " ".join(said)
    return notes


def tested(runs: Sequence[Run]) -> str:
    """Write what search.retrain measured on the test split, a line per trial and seed."""
    measures = ("accuracy", "auc", "eer", *FALSE_ACCEPTS)
    headers = ["Trial", "Pairs of", "Seed", "Epoch", "Accuracy, %", "AUC, %", "EER, %"]
    headers += [f"TPR at FPR {most:g}, %" for most in FALSE_ACCEPTS.values()] + ["Pairs"]
    cells, notes = [], []
    for run in runs:
        for trial, tests in run.tests.items():
            for test in tests:
                if test.get("ties"):
                    whose = f"Trial {trial}, {test['protocol']}, seed {test['seed']}"
                    notes.append(tied(test["ties"], test["accuracy"]["n"], whose) + ".")
                shares = [_share(test[name]) if name in test else "–" for name in measures]
                epoch = "–" if test["epoch"] is None else str(test["epoch"])
                known = [trial, test["protocol"], str(test["seed"]), epoch]
                cells.append([*known, *shares, str(test["accuracy"]["n"])])
    if not cells:
        return ""
    about = (
        "Trained again and tested at its best epoch, with 95 % intervals; ensemble-N is the mean "
        "verdict of the N best, with the weights that the search kept.\n\n"
    )
    table = grid(headers, cells, [True, True] + [False] * (len(headers) - 2))
    return "\n\n".join([about + table, *notes])


def tied(ties: int, n: int, whose: str) -> str:
    """Say that so many of a test's n pairs have the score of a pair of the other kind."""
    return (
        f"{whose}: {ties} of {n} pairs have the very score of a pair of the other kind; they are "
        "accepted together or not at all, and count half in the AUC"
    )


def folds(summary: Mapping[str, Any]) -> str:
    """Write the ten-fold figures of a trial beside published ones.

    Args:
        summary: what ``verify.ten_folds`` returns.
    """
    measures = ("accuracy", "auc", "eer")
    heads = [f"{kind} {name}" for kind in KINDS for name in ("accuracy, %", "AUC, %", "EER, %")]
    mine = [f"trial {summary['trial']}, {len(summary['folds'])} folds"]
    mine += [_spread(summary[kind][name]) for kind in KINDS for name in measures]
    cells = [mine]
    for name, figures in PUBLISHED.items():
        pairs = [[f"{figures[kind][0]:.1f} ± {figures[kind][1]:.1f}", "–", "–"] for kind in KINDS]
        cells.append([f"{name} (Sengupta et al. 2016)", *pairs[0], *pairs[1]])
    return grid(["", *heads], cells, [True] + [False] * len(heads))


def _test_cell(tests: list[dict[str, Any]]) -> str:
    """Return the mean over seeds; of other settings or code than most of them none is in it."""
    own = [test for test in tests if test["own"]]
    tests = max(
        ([other for other in own if other["work"] == test["work"]] for test in own),
        key=len,
        default=[],
    )
    if len(tests) < 2:
        return _share(tests[0]["accuracy"]) if tests else "–"
    values = [100 * test["accuracy"]["value"] for test in tests]
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f} ({len(values)} seeds)"


def _share(part: Mapping[str, float]) -> str:
    return interval(part["value"], part["low"], part["high"])


def _spread(figure: Mapping[str, float]) -> str:
    return f"{100 * figure['mean']:.1f} ± {100 * figure['std']:.1f}"
