"""The report's sections that compare runs with the 2019 study: its tables and overfit column."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import pandas as pd

from facesiam.config import Value
from search.analysis import published
from search.analysis.formatting import (
    NOTHING,
    grid,
    interval,
    mean_and_std,
    measure,
    shown_value,
)
from search.analysis.overfitting import RULE, detect_overfit
from search.analysis.published import COLUMNS, CONTRADICTIONS, TITLES, PublishedRow
from search.report.report_data import Evaluation, RunTrial

INTRODUCTION = (
    "The 2019 study is what this project began with: 19 trainings of Siamese AlexNets and VGGs on "
    "CFP, by hand, in two notebooks (code 1 and code 2)."
)
NOT_RUN = "not run"


def tables(rows: Mapping[str, PublishedRow], ran: Mapping[str, RunTrial]) -> str:
    """Return a table per code, measured beside published, its notes under it; '' without rows.

    Args:
        rows: the published rows by id.
        ran: the trial of each row, of those that were run.
    """
    if not rows:
        return ""
    parts = [INTRODUCTION]
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
    parts.append("Accuracies in percent: published as printed, measured with 95 % interval.")
    return "\n\n".join(parts)


def overfit(rows: Mapping[str, PublishedRow], measured: Mapping[str, pd.DataFrame]) -> str:
    """Return the study's overfit column beside the rule's results, on its curves and on ours.

    Args:
        rows: the published rows by id; '' without.
        measured: the epochs of every row that was run, by id.
    """
    if not rows:
        return ""
    cells, agreed, decided, differ = [], 0, 0, []
    for name, row in rows.items():
        said, other = row.figure("overfit"), CONTRADICTIONS.get(name)
        shown = [said + (f" ({other})" if other else "")]
        curves = published.recorded_curve(name), measured.get(name)
        recorded, own = (None if curve is None else detect_overfit(curve) for curve in curves)
        if recorded is not None:
            decided += 1
            same = published.letter(recorded.overfit) == said
            agreed += same
            differ += [] if same else [f"{name} ({other or recorded.reason})"]
        for found in (recorded, own):
            letter = NOTHING if found is None else published.letter(found.overfit)
            shown += [letter, NOTHING if found is None else found.reason]
        cells.append([name, *shown])
    headers = ["Row", "2019 study", "Rule, on the study's curve", "because"]
    headers += ["Rule, on the measured curve", "because"]
    agreement = (
        f"On the study's recorded curves the rule agrees with its tables in {agreed} of {decided} "
        "rows" + (f"; it differs on {', '.join(differ)}." if differ else ".")
    )
    honest = (
        "The rule's bounds were chosen on these same curves, so this shows that it can reproduce "
        "the study's decisions, not how it does on new curves."
    )
    parts = [RULE, grid(headers, cells, [True] * len(headers))]
    return "\n\n".join(parts + ([f"{agreement} {honest}"] if decided else []))


def overfit_by_net(rows: Mapping[str, PublishedRow], measured: Mapping[str, pd.DataFrame]) -> str:
    """Return the counts of overfit results by net; the arguments are those of ``overfit``."""
    if not rows:
        return ""
    cells = []
    for net in ("alexnet", "vgg16_bn"):
        mine = {name: row for name, row in rows.items() if row.settings["net"] == net}
        recorded = [published.recorded_curve(name) for name in mine]
        printed = [row.figure("overfit") for row in mine.values()]
        cells.append(
            [net, _tally(printed), _counts(recorded), _counts([measured.get(n) for n in mine])]
        )
    headers = ["Net", "The study's tables", "Rule, on the study's curves"]
    headers += ["Rule, on the measured curves"]
    return grid(headers, cells, [True] * len(headers))


def _row_cells(row: PublishedRow, one: RunTrial | None) -> list[str]:
    val, test, overfits, epoch, run = NOT_RUN, NOTHING, NOTHING, NOTHING, NOT_RUN
    if one is not None:
        trial, total = one.trial, row.settings["epochs"]
        val = interval(trial["val_acc"], trial["val_acc_low"], trial["val_acc_high"])
        test = _test_cell(one.run.tests[one.name])
        epoch = shown_value(trial["best_epoch"])
        done = int(trial["epochs_run"])
        run = str(done) if done == total else f"{done} of {total}"
        run += "" if trial["status"] == "done" else f", {trial['status']}"
        if done:
            overfits = published.letter(detect_overfit(one.run.curve(one.name)).overfit)
    return [
        row.id,
        *row.cells(),
        *(row.figure("val"), val),
        *(row.figure("test"), test),
        *(row.figure("overfit"), overfits),
        *(row.figure("epoch"), epoch),
        run,
    ]


def _notes(rows: Mapping[str, PublishedRow], ran: Mapping[str, RunTrial]) -> dict[str, str]:
    """Return each row's own note, and in which settings its trial was not the study's run."""
    notes = {}
    for name, row in rows.items():
        said = [row.note.strip().rstrip(".") + "."] if row.note.strip() else []
        if name in ran:
            settings = ran[name].run.configs[ran[name].name].to_dict()
            other = [
                f"{key} {_setting(key, settings[key])} instead of {_setting(key, value)}"
                for key, value in row.settings.items()
                if settings[key] != value
            ]
            said += [f"Measured with {', '.join(other)}."] if other else []
        if said:
            notes[name] = " ".join(said)
    return notes


def _setting(name: str, value: Value) -> str:
    return "all" if name == "people" and value == 0 else shown_value(value)


def _test_cell(tests: Sequence[Evaluation]) -> str:
    """Return the mean over seeds, of those with the settings and code that most of them have."""
    own = [test for test in tests if test.own]
    alike = max(
        ([other for other in own if other.work == test.work] for test in own), key=len, default=[]
    )
    if len(alike) < 2:
        return measure(alike[0].measures["accuracy"]) if alike else NOTHING
    values = [test.measures["accuracy"]["value"] for test in alike]
    spread = mean_and_std(statistics.mean(values), statistics.stdev(values))
    return f"{spread} ({len(values)} seeds)"


def _counts(curves: Sequence[pd.DataFrame | None]) -> str:
    found = [detect_overfit(curve).overfit for curve in curves if curve is not None]
    return _tally([published.letter(overfit) for overfit in found])


def _tally(letters: Sequence[str]) -> str:
    if not letters:
        return NOTHING
    counts = (letters.count("T"), letters.count("F"), letters.count("…"))
    return f"{counts[0]} overfit, {counts[1]} not, {counts[2]} undecided (n = {len(letters)})"
