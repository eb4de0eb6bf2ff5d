"""The documents' tables in their own columns, measured beside published, and the test results."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from search import documents
from search.documents import COLUMNS, TITLES, DocumentRow
from search.ran import Measured, Run
from search.ranking import grid, interval, shown_value

NOT_RUN = "not run"


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
        row.id, *row.cells(), row.figure("val"), val, row.figure("test"), test,
        row.figure("overfit"), verdict, row.figure("epoch"), epoch, run,
    ]  # fmt: skip


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
    headers = ["Trial", "Seed", "Epoch", "Accuracy, %", "AUC, %", "EER, %", "Pairs"]
    cells = []
    for run in runs:
        for trial in run.trials["trial"]:
            for test in run.tests[trial]:
                shares = [_share(test[name]) for name in ("accuracy", "auc", "eer")]
                pairs = str(test["accuracy"]["n"])
                cells.append([trial, str(test["seed"]), str(test["epoch"]), *shares, pairs])
    if not cells:
        return ""
    return "Trained again and tested at its best epoch, with 95 % intervals.\n\n" + grid(
        headers, cells, [True] + [False] * 6
    )


def _test_cell(tests: list[dict[str, Any]]) -> str:
    if len(tests) < 2:
        return _share(tests[0]["accuracy"]) if tests else "–"
    values = [100 * test["accuracy"]["value"] for test in tests]
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f} ({len(values)} seeds)"


def _share(part: Mapping[str, float]) -> str:
    return interval(part["value"], part["low"], part["high"])
