"""What a space file may say beside its settings: every key, its type, default and bounds."""

from __future__ import annotations

from facesiam.config import METRICS, SETTINGS, Setting

ALGORITHMS = ("tpe", "random", "grid", "rows")

OPTIONS: dict[str, Setting] = {
    option.name: option
    for option in (
        Setting("name", str, "", "name of the run and its folder; without it, the file's name"),
        Setting(
            "data", str, "",
            "the CFP zip, its extracted folder, or drawn for drawn faces; --data wins over it",
        ),
        Setting(
            "algorithm", str, "tpe",
            "how trials are chosen: tpe (Optuna), random, grid (every combination), rows (the "
            "rows below); without it tpe, or rows or grid where nothing is searched",
            choices=ALGORITHMS,
        ),
        Setting("trials", int, 20, "number of trials, for tpe and random", low=1, high=100_000),
        Setting("seed", int, 0, "seeds the choice of trials", low=0, high=2**31 - 1),
        Setting("metric", str, "val_acc", "what the best epoch and trial are best in",
                choices=METRICS),
        Setting("mode", str, "max", "whether more (max) or less (min) of the metric is better; "
                "without it max for accuracies, min for losses", choices=("max", "min")),
        Setting("report", bool, False, "write the report when the search is done"),
    )
}  # fmt: skip
"""Keys with a single value."""

PARTS: dict[str, str] = {
    "fixed": "settings that are the same in every trial; for a searched setting with a `when:`, "
    "its value where it is not active",
    "search": "settings that differ between trials: a list of choices, or a range",
    "rows": "the documents' runs by id",
    "prune": "rules that stop a trial early",
    "resources": "CPUs and GPUs of a trial",
}
"""Keys with more below them."""

RULES: dict[str, Setting] = {
    "diverged": Setting("diverged", bool, True, "stop a trial whose loss is not finite"),
}
"""Rules of `prune:` that are switched on or off."""

ASHA: dict[str, Setting] = {
    "grace": Setting("grace", int, 5, "epochs that every trial may run", low=1),
    "factor": Setting("factor", int, 3, "one trial in this many goes on from each rung", low=2),
}
"""What `prune: {asha: …}` takes; `asha: false` is its default."""

RANGE: dict[str, str] = {
    "low": "lowest value", "high": "highest value, included",
    "log": "draw uniformly in the logarithm", "step": "distance of one value from the next",
}  # fmt: skip
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
    "gpus": Setting("gpus", float, "auto", "GPUs of a trial, such as 0.5; auto: 1 if there is one",
                    low=0),
}  # fmt: skip
PER_NET = "the same for one net, where nets differ"
NETS = SETTINGS["net"].choices
