"""The report's sections that are tables: what ran, time, stopping, the ranked trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from search.analysis import rule_audit, trial_table
from search.analysis.formatting import NOTHING, grid, plain, shown_value
from search.analysis.ranked_by import ranking
from search.analysis.ranked_trials import states
from search.report.report_data import Run

TIME_CLAIM = (
    "The 2019 study: AlexNet runs 60 epochs in under an hour, VGG needs four (on a shared GPU); "
    "freezing trains faster."
)
STOPPING = (
    "What each rule of `prune:` did. A trial that is stopped cannot show that the rule was wrong, "
    "so a share of those that it would stop, the control group, runs on to its planned end."
)


def what_ran(runs: Sequence[Run]) -> str:
    """Return a table of facts per run: its command, data, machine and versions."""
    lines = []
    for run in runs:
        noted, data = run.manifest, run.manifest.get("data") or {}
        facts = {
            "run": plain(noted.get("name", run.folder.name)),
            "trials": f"{len(run.trials)} ({states(run.trials)})",
            "epochs": str(run.trials["epochs_run"].sum()),
            "command": f"`{_command(noted.get('command'))}`",
            "data": f"{_source(data)}, key `{data.get('key', NOTHING)}`",
            "best by": f"{run.searched.metric}, {run.searched.mode}",
            "seed": plain(noted.get("seed", NOTHING)),
            "machine": plain(_listed(noted.get("machine"))),
            "versions": plain(_listed(noted.get("versions"))),
            "commit": plain(noted.get("commit") or NOTHING),
            "started": plain(noted.get("started", NOTHING)),
            "finished": plain(noted.get("finished") or _halted(noted) or "not yet"),
        }
        lines.append(grid(["", ""], [[name, value] for name, value in facts.items()], [True] * 2))
    return "\n\n".join(lines)


def training_time(trials: pd.DataFrame, study: bool) -> str:
    """Return the mean seconds an epoch by net and freeze, with the number of trials.

    Args:
        trials: of the runs.
        study: whether the 2019 study's claim stands above it.
    """
    timed = trials[trials["epochs_run"] > 0]
    cells = []
    for (net, freeze), group in timed.groupby(["net", "freeze"]):
        each = group["seconds"] / group["epochs_run"]
        cells.append([str(net), shown_value(freeze), f"{each.mean():.3g}", str(len(group))])
    headers = ["net", "freeze", "seconds an epoch", "trials"]
    table = grid(headers, cells, [True, True, False, False])
    return f"{TIME_CLAIM}\n\n{table}" if study else table


def early_stopping(runs: Sequence[Run]) -> str:
    """Return each pruning rule's record in every run; '' where none stopped a trial."""
    parts = []
    for run in runs:
        planned = {trial: config.epochs for trial, config in run.configs.items()}
        rules = rule_audit.record(run.trials, planned)
        if len(rules):
            parts += [f"### {run.folder.name}"] if len(runs) > 1 else []
            parts.append(rule_audit.markdown(rules))
    return "\n\n".join([STOPPING, *parts]) if parts else ""


def ranked(runs: Sequence[Run]) -> str:
    """Return the ranked trials of every run."""
    if len(runs) == 1:
        return trial_table.markdown(runs[0].trials, ranking(runs[0].folder))
    return "\n\n".join(
        f"### {run.folder.name}\n\n{trial_table.markdown(run.trials, ranking(run.folder))}"
        for run in runs
    )


def _source(data: Mapping[str, str]) -> str:
    return plain(Path(data.get("source", NOTHING)).name)


def _command(command: object) -> str:
    text = " ".join(map(str, command)) if isinstance(command, list) else str(command or NOTHING)
    return plain(text).replace("`", "'")  # it stands in a code span


def _listed(facts: object) -> str:
    if not isinstance(facts, dict):
        return str(facts or NOTHING)
    written = {
        name: ", ".join(map(str, value)) or "none" if isinstance(value, list) else value
        for name, value in facts.items()
    }
    return ", ".join(
        f"memory {value} GiB" if name == "memory_gib" else f"{name.replace('_', ' ')} {value}"
        for name, value in written.items()
    )


def _halted(noted: Mapping[str, Any]) -> str:
    """Say when the last session ended, where trials are left; '' where it has not."""
    sessions = noted.get("sessions") or [{}]
    ended = sessions[-1].get("finished")
    return f"{ended}, with trials left" if ended else ""
