"""The report's sections that are tables: what ran, effects, time, stopping, the ranked trials."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from facesiam.config import SETTINGS
from search.analysis import published, rule_audit, trial_table
from search.analysis.effects import Effect, ablation_base, effects
from search.analysis.formatting import NOTHING, grid, plain, shown_value
from search.analysis.published import CLAIMS
from search.analysis.ranked_trials import ranking, states
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
            "finished": plain(noted.get("finished") or "not yet"),
        }
        lines.append(grid(["", ""], [[name, value] for name, value in facts.items()], [True] * 2))
    return "\n\n".join(lines)


def effect_table(trials: pd.DataFrame, names: list[str], log: Collection[str]) -> str:
    """Return the effect of every setting: measured, on the 2019 study's own runs, and its claim.

    Args:
        trials: a row per trial: val_acc, chance, status, and the columns in ``names``.
        names: settings, and what else must be equal for trials to be compared.
        log: settings that act on a logarithmic scale.
    """
    study = published.recorded_runs()
    of_study = [name for name in SETTINGS if name in study]
    columns = []
    for frame, fields, scale in ((trials, names, log), (study, of_study, {"lr"})):
        every = _by_change(effects(frame, fields, scale))
        alive = _by_change(effects(frame[~frame["chance"]], fields, scale))
        columns.append((every, alive))
    keys = dict.fromkeys(key for pair in columns for found in pair for key in found)
    if not keys:
        return "No two trials differ in a setting, so there is nothing to compare."
    order = list(SETTINGS)
    cells = []
    for setting, change in sorted(keys, key=lambda key: order.index(key[0])):
        row = [setting, change]
        for every, alive in columns:
            one, rest = every.get((setting, change)), alive.get((setting, change))
            row += [_shown(one), "the same" if _same(one, rest) else _shown(rest)]
        cells.append([*row, CLAIMS.get(setting, NOTHING)])
    varied = [name for name in names if name in trials and trials[name].nunique() > 1]
    ablation = ablation_base(trials[trials["val_acc"].notna()], varied) is not None
    headers = ["Setting", "Change", "Measured here", "… without nets at chance"]
    headers += ["The study's own runs", "… without nets at chance", "The 2019 study says"]
    return "\n\n".join([_how(trials, ablation), grid(headers, cells, [True] * len(headers))])


def training_time(trials: pd.DataFrame) -> str:
    """Return the mean seconds an epoch by net and freeze, with the number of trials."""
    timed = trials[trials["epochs_run"] > 0]
    cells = []
    for (net, freeze), group in timed.groupby(["net", "freeze"]):
        each = group["seconds"] / group["epochs_run"]
        cells.append([str(net), shown_value(freeze), f"{each.mean():.3g}", str(len(group))])
    headers = ["net", "freeze", "seconds an epoch", "trials"]
    return f"{TIME_CLAIM}\n\n{grid(headers, cells, [True, True, False, False])}"


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


def _by_change(found: list[Effect]) -> dict[tuple[str, str], Effect]:
    return {(effect.setting, effect.change): effect for effect in found}


def _shown(effect: Effect | None) -> str:
    """Return an effect in points with its interval and n: ``+2.7 [+0.4, +5.0], n = 3``."""
    if effect is None:
        return NOTHING
    points = f"{100 * effect.mean:+.1f}"
    if not math.isnan(effect.low):
        points += f" [{100 * effect.low:+.1f}, {100 * effect.high:+.1f}]"
    return f"{points}, n = {effect.n}" + (" trials (linear model)" if effect.fitted else "")


def _same(one: Effect | None, other: Effect | None) -> bool:
    if one is None or other is None:
        return False
    return (one.mean, one.error, one.n) == (other.mean, other.error, other.n)


def _how(trials: pd.DataFrame, ablation: bool) -> str:
    stopped = int((trials["status"] == "stopped").sum())
    text = (
        "Difference in best validation accuracy, in points (after less before), with its interval "
        "and n. Where trials differ in that setting alone, it is the mean over these matched "
        "pairs, n their number, the interval Student's, and none with a single pair. "
        "Where no such pairs exist it is the coefficient of a linear model on all settings that "
        "vary, marked so, n the trials; with fewer than two trials per coefficient nothing is "
        "fitted (–). A pair with a net at chance measures whether it trained at all rather than "
        "how well, so each effect is also given without those nets. The intervals of a column are "
        "simultaneous: with 95 % or more, all of them cover what they estimate (Bonferroni over "
        "the comparisons of settings, and over those of seeds)."
    )
    if ablation:
        text += (
            " This run is an ablation: each change is compared with the trial that it changes, of "
            "the same seed, so n is the number of seeds."
        )
    if stopped:
        text += (
            f" Stopped early: {stopped} of {len(trials)} trials. Each counts with the accuracy "
            "that it had reached, which is not above what it would have ended with."
        )
    return text


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
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in written.items())
