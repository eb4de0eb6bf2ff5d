"""What a space file may say beside its settings: every key, its type, default and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from facesiam.config.trial import METRICS, SETTINGS, Setting, Value

ALGORITHMS = ("tpe", "random", "grid", "rows")
SAMPLER = 2
"""Raised whenever `tpe` suggests otherwise than before for the same trials; 1: Optuna's own order,
ten trials of start-up."""

OPTIONS: dict[str, Setting] = {
    option.name: option
    for option in (
        Setting("name", str, "", "name of the run and its folder; without it, the file's name"),
        Setting(
            "data",
            str,
            "",
            "the CFP zip, its extracted folder, or drawn for drawn faces; --data wins over it",
        ),
        Setting(
            "algorithm",
            str,
            "tpe",
            "how trials are chosen: tpe (Optuna), random, grid (every combination), rows (the "
            "rows below); without it tpe, or rows or grid where nothing is searched",
            choices=ALGORITHMS,
        ),
        Setting("trials", int, 20, "number of trials, for tpe and random", low=1, high=100_000),
        Setting(
            "minutes",
            float,
            0.0,
            "how long the search may take: then no trial starts, those "
            "that run save their state within their step, and what there is is ranked; "
            "--resume goes on, for as long again; 0: no limit",
            low=0,
            high=1e6,
        ),
        Setting("seed", int, 0, "seeds the choice of trials", low=0, high=2**31 - 1),
        Setting(
            "metric", str, "val_acc", "what the best epoch and trial are best in", choices=METRICS
        ),
        Setting(
            "mode",
            str,
            "max",
            "whether more (max) or less (min) of the metric is better; "
            "without it max for accuracies, min for losses",
            choices=("max", "min"),
        ),
        Setting(
            "keep",
            int,
            3,
            "how many of the best trials keep their weights, best epoch's",
            low=1,
            high=100_000,
        ),
        Setting("report", bool, False, "write the report when the search is done"),
    )
}
"""Keys with a single value."""

PARTS: dict[str, str] = {
    "fixed": "settings that are the same in every trial; for a searched setting with a `when:`, "
    "its value where it is not active",
    "search": "settings that differ between trials: a list of choices, or a range",
    "rows": "the documents' runs by id",
    "prune": "rules that stop a trial early; false: none of them, true: all of them, asha too",
    "resources": "CPUs and GPUs of a trial",
}
"""Keys with more below them."""


@dataclass(frozen=True)
class Rule:
    """A rule of `prune:`: true or false, or its options where it has any."""

    help: str
    on: bool = True
    """Whether it is on where a file does not name it."""
    options: Mapping[str, Setting] = field(default_factory=dict)

    def switched(self, on: bool) -> bool | dict[str, Value]:
        """Return what a space holds for it: False; or its options' defaults, True without any."""
        if on and self.options:
            return {name: option.default for name, option in self.options.items()}
        return on


def _by_name(*settings: Setting) -> dict[str, Setting]:
    return {setting.name: setting for setting in settings}


RULES: dict[str, Rule] = {
    "dead": Rule(
        "stop a trial whose trunk got no gradient for whole epochs of 100 updates and more, and "
        "whose outputs cannot depend on the input: nothing can change that"
    ),
    "diverged": Rule("stop a trial whose loss is not finite"),
    "chance": Rule(
        "stop a trial that guesses: neither accuracy nor the metric ever outside the band of "
        "guessing, and the odds of a late start (learned from recorded curves, an epoch counted "
        "by its learning rate) not worth its epochs",
        options=_by_name(
            Setting(
                "care",
                float,
                16.0,
                "how many times a lost good trial weighs more than its epochs",
                above=0,
            ),
            Setting(
                "level",
                float,
                0.01,
                "how likely a net that guesses leaves the band at all, over all its epochs",
                above=0,
                high=0.5,
            ),
        ),
    ),
    "plateau": Rule(
        "stop a trial whose metric has not improved for `patience` epochs and whose 95 % "
        "interval lies below the leader's, by more than `within`, where the learning rate has "
        "fallen and no trial like it has gained as much since; of val_acc and val_auc only",
        options=_by_name(
            Setting("patience", int, 20, "epochs without a new best", low=1),
            Setting(
                "within",
                float,
                0.02,
                "gap to the leader up to which the trial still goes on",
                low=0,
                high=1,
            ),
        ),
    ),
    "asha": Rule(
        "successive halving (ASHA): of the trials at a rung, only the best go on",
        on=False,
        options=_by_name(
            Setting(
                "grace",
                int,
                3,
                "epochs that every trial may run, from its take-off on where "
                "that is in the first third of its epochs",
                low=1,
            ),
            Setting("factor", int, 4, "one trial in this many goes on from each rung", low=2),
            Setting(
                "compare",
                str,
                "epoch",
                "trials with different `epochs` meet at the same "
                "epoch, or at the same share of their schedule (grace then counts epochs of "
                "the longest), as they do wherever the learning rate falls",
                choices=("epoch", "share"),
            ),
            Setting(
                "noise",
                float,
                0.5,
                "a trial this many standard errors below the cutoff still goes on",
                low=0,
                high=10,
            ),
        ),
    ),
}
"""The rules of `prune:`, in the order of a dumped file."""

CONTROL = Setting(
    "control",
    float,
    0.0,
    "share of the trials that a rule would stop and that run on to the end "
    "all the same, to measure how often the rules are wrong",
    low=0,
    high=1,
)


def pruning(on: bool | None = None) -> dict[str, Any]:
    """Return SearchSpace.prune where a file says nothing of it, or says `prune: true` or `false`.

    Args:
        on: every rule on (True) or off (False); None: each as by default.
    """
    rules = {name: rule.switched(rule.on if on is None else on) for name, rule in RULES.items()}
    return {**rules, CONTROL.name: CONTROL.default}


RANGE: dict[str, str] = {
    "low": "lowest value",
    "high": "highest value, included",
    "log": "draw uniformly in the logarithm",
    "step": "distance of one value from the next",
}
"""What a range takes, beside `when`."""

WHEN = (
    "searched only in trials where these other searched settings have this value, or one of these"
)

PUBLISHED: dict[str, Setting] = {
    "val": Setting("val", float, 0, "best validation accuracy in percent", low=0, high=100),
    "test": Setting("test", float, 0, "test accuracy of that epoch in percent", low=0, high=100),
    "overfit": Setting("overfit", bool, False, "the documents' verdict; null: none"),
    "epoch": Setting("epoch", int, 0, "best epoch, from 0", low=0),
}
ROW: dict[str, str] = {
    "settings": "what differs from the fixed settings, as the run really ran",
    "published": "what the documents report",
    "printed": "settings that the documents' table prints otherwise",
    "note": "what a reader of the table should know",
}

AMOUNTS: dict[str, Setting] = {
    "cpus": Setting("cpus", float, "auto", "CPUs of a trial; auto: an equal share", above=0),
    "gpus": Setting(
        "gpus", float, "auto", "GPUs of a trial, such as 0.5; auto: 1 if there is one", low=0
    ),
}
PER_NET = "the same for one net, where nets differ"
NETS = SETTINGS["net"].choices
