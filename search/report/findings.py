"""What was learned, as Markdown: overfit verdicts, each setting's effect, each rule's record."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import pandas as pd

from facesiam.config.trial import SETTINGS
from search.analysis import published, rule_audit
from search.analysis.effects import Effect, ablated, effects
from search.analysis.formatting import grid
from search.analysis.overfitting import RULE
from search.analysis.published import CLAIMS, OTHER_VERDICTS, DocumentRow

NOTHING = "–"
TIME_CLAIM = (
    "The documents: AlexNet runs 60 epochs in under an hour, VGG needs four (2019, a shared GPU); "
    "freezing trains faster."
)
STOPPING = (
    "What each rule of `prune:` did. A trial that is stopped cannot show that the rule was wrong, "
    "so a share of those judged, the control group, runs on to its planned end."
)


def verdicts(rows: Mapping[str, DocumentRow], measured: Mapping[str, pd.DataFrame]) -> str:
    """Set the documents' overfit verdicts beside the rule's, on their curves and on ours.

    Args:
        rows: the documents' rows by id.
        measured: the epochs of every row that was run, by id.
    """
    cells, agreed, judged, differ = [], 0, 0, []
    for name, row in rows.items():
        curve, own = published.recorded(name), measured.get(name)
        said = row.figure("overfit")
        theirs = published.judge(curve) if curve is not None else None
        ours = published.judge(own) if own is not None else None
        if theirs is not None:
            judged += 1
            same = published.letter(theirs.overfit) == said
            agreed += same
            differ += [] if same else [f"{name} ({OTHER_VERDICTS.get(name, theirs.reason)})"]
        shown = [said + (f" ({OTHER_VERDICTS[name]})" if name in OTHER_VERDICTS else "")]
        for found in (theirs, ours):
            shown += (
                ["–", "–"] if found is None else [published.letter(found.overfit), found.reason]
            )
        cells.append([name, *shown])
    headers = ["Row", "Documents", "Rule, on the documents' curve", "because"]
    headers += ["Rule, on the measured curve", "because"]
    agreement = (
        f"On the documents' recorded curves the rule agrees with their tables in {agreed} of "
        f"{judged} rows" + (f"; it differs on {', '.join(differ)}." if differ else ".")
    )
    honest = (
        "Its bounds were chosen on these same curves, so this says that the rule can express the "
        "documents' verdicts, not how it does on new ones."
    )
    parts = [RULE, grid(headers, cells, [True] * len(headers))]
    return "\n\n".join(parts + ([f"{agreement} {honest}"] if judged else []))


def conclusions(trials: pd.DataFrame, names: list[str], log: Collection[str]) -> str:
    """Write the effect of every setting: measured, and on the documents' own recorded runs.

    Args:
        trials: a row per trial: val_acc, chance, status, and the columns in ``names``.
        names: settings, and what else must be equal for trials to be compared.
        log: settings that act on a logarithmic scale.
    """
    own = published.recorded_runs()
    theirs = [name for name in SETTINGS if name in own]
    tables = [
        _by_change(effects(frame, columns, scale))
        for whole, columns, scale in ((trials, names, log), (own, theirs, {"lr"}))
        for frame in ((whole, whole[~whole["chance"]]) if len(whole) else (whole, whole))
    ]
    order = {name: place for place, name in enumerate(SETTINGS)}
    known = dict.fromkeys(key for table in tables for key in table)
    keys = sorted(known, key=lambda key: order[key[0]])
    if not keys:
        return "No two trials differ in a setting, so there is nothing to compare."
    cells = [
        [
            setting,
            change,
            _shown(tables[0].get((setting, change))),
            _without(tables[0], tables[1], (setting, change)),
            _shown(tables[2].get((setting, change))),
            _without(tables[2], tables[3], (setting, change)),
            CLAIMS.get(setting, NOTHING),
        ]
        for setting, change in keys
    ]
    varied = [name for name in names if name in trials and trials[name].nunique() > 1]
    changed = bool(len(trials)) and ablated(trials[trials["val_acc"].notna()], varied) is not None
    headers = ["Setting", "Change", "Measured here", "… without nets at chance"]
    headers += ["Documents' own runs", "… without nets at chance", "The documents say"]
    return "\n\n".join([_how(trials, changed), grid(headers, cells, [True] * len(headers))])


def overfit_by_net(rows: Mapping[str, DocumentRow], measured: Mapping[str, pd.DataFrame]) -> str:
    """Count the verdicts by net, measured and recorded: VGG overfits, AlexNet mostly does not?"""
    cells = []
    for net in ("alexnet", "vgg16_bn"):
        ids = [name for name, row in rows.items() if row.settings["net"] == net]
        theirs = [published.recorded(name) for name in ids]
        ours = [measured.get(name) for name in ids]
        said = [row.figure("overfit") for name, row in rows.items() if name in ids]
        cells.append([net, _tally(said), _judged(theirs), _judged(ours)])
    headers = ["Net", "Documents' tables", "Rule, on the documents' curves"]
    headers += ["Rule, on the measured curves"]
    return grid(headers, cells, [True] * len(headers))


def training_time(trials: pd.DataFrame) -> str:
    """Write the mean seconds an epoch by net and freeze, with the number of trials."""
    timed = trials[trials["epochs_run"] > 0]
    cells = []
    for (net, freeze), group in timed.groupby(["net", "freeze"]):
        each = group["seconds"] / group["epochs_run"]
        cells.append([str(net), "T" if freeze else "F", f"{each.mean():.3g}", str(len(group))])
    headers = ["net", "freeze", "seconds an epoch", "trials"]
    return f"{TIME_CLAIM}\n\n{grid(headers, cells, [True, True, False, False])}"


def early_stopping(records: Mapping[str, pd.DataFrame]) -> str:
    """Write what each pruning rule did and how often it was wrong; '' where none judged a trial.

    Args:
        records: ``verdicts.record`` of every run, by its name.
    """
    judged = {name: rules for name, rules in records.items() if len(rules)}
    parts = [STOPPING] if judged else []
    for name, rules in judged.items():
        parts += [f"### {name}"] if len(records) > 1 else []
        left = [True] + [False] * (len(rule_audit.HEADERS) - 1)
        parts += [
            grid(rule_audit.HEADERS, rule_audit.cells(rules), left),
            *rule_audit.notes(rules),
        ]
    return "\n\n".join(parts)


def _by_change(found: list[Effect]) -> dict[tuple[str, str], Effect]:
    return {(effect.setting, effect.change): effect for effect in found}


def _shown(effect: Effect | None) -> str:
    """Write an effect in points with its interval and n: ``+2.7 [+0.4, +5.0], n = 3``."""
    if effect is None:
        return NOTHING
    points = f"{100 * effect.mean:+.1f}"
    if not math.isnan(effect.low):
        points += f" [{100 * effect.low:+.1f}, {100 * effect.high:+.1f}]"
    return f"{points}, n = {effect.n}" + (" trials (linear model)" if effect.fitted else "")


def _without(
    every: Mapping[tuple[str, str], Effect],
    alive: Mapping[tuple[str, str], Effect],
    key: tuple[str, str],
) -> str:
    whole, rest = every.get(key), alive.get(key)
    if whole and rest and (whole.mean, whole.error, whole.n) == (rest.mean, rest.error, rest.n):
        return "the same"
    return _shown(alive.get(key))


def _how(trials: pd.DataFrame, changed: bool) -> str:
    stopped = int((trials["status"] == "stopped").sum())
    text = (
        "Difference in best validation accuracy, in points (after less before), with its interval "
        "and n. Where trials differ in that setting alone, it is the mean over these matched "
        "pairs, n their number, the interval Student's, and none with a single pair. "
        "Where no such pairs exist it is the coefficient of a linear model on all settings that "
        "vary, marked so, n the trials; fewer than two trials per coefficient are not fitted, and "
        "– says that there is nothing to go by. A pair with a net at chance measures whether it "
        "trained at all rather than how well, so each effect is also given without those nets. "
        "The intervals of a column hold together: with 95 % or more, all of them cover what they "
        "estimate (Bonferroni over the comparisons of settings, and over those of seeds)."
    )
    if changed:
        text += (
            " This run is an ablation: each change is compared with the trial that it changes, of "
            "the same seed, so n is the number of seeds."
        )
    if stopped:
        text += (
            f" {stopped} of {len(trials)} trials were stopped early; they count with the accuracy "
            "that they had reached, which is not above what they would have ended with."
        )
    return text


def _judged(curves: list[pd.DataFrame | None]) -> str:
    letters = [
        published.letter(published.judge(curve).overfit) for curve in curves if curve is not None
    ]
    return _tally(letters)


def _tally(letters: list[str]) -> str:
    if not letters:
        return NOTHING
    counts = (letters.count("T"), letters.count("F"), letters.count("…"))
    return f"{counts[0]} overfit, {counts[1]} not, {counts[2]} no verdict (n = {len(letters)})"
