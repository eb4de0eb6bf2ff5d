"""The 2019 study: its published rows, in its own columns, and the curves that it recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from facesiam.config import Value
from search.analysis.formatting import NOTHING
from search.analysis.overfitting import at_chance
from search.space import SearchSpace, load
from search.space.shipped import SPACES, whole

CODES = ("code1.yaml", "code2.yaml")
"""The space files of the study's two codes, each with its rows."""

TITLES = {
    "cfp-pairs": "Code 1: one loss, the official pairs (`cfp-pairs`)",
    "frontal-triplets": "Code 2: two losses, triplets of frontal images (`frontal-triplets`)",
}
COLUMNS = (
    "Net",
    "Optim",
    "LR",
    "WD",
    "Drop out",
    "Batch sz",
    "Pretrain",
    "Freeze",
    "Data Augmentation",
    "Variations",
)
NETS = {"alexnet": "Alexnet", "vgg16_bn": "VGG"}
"""The nets of the study, as its tables call them; a row of one's own may have any."""
CLAIMS = {
    "augment": "augmentation adds close to 4 points",
    "freeze": "freezing helps little, though it trains faster",
    "pretrained": "pretrained test D beats test C, which is not",
    "net": "VGG validates higher than AlexNet, but mostly overfits",
    "lr": "1e-3 is usually bad; 1e-5 and 5e-4 usually work",
    "loss": "the mean of two losses trains better",
    "epochs": "more epochs do not improve on test B",
}
"""What the study concludes about a setting."""
CONTRADICTIONS = {"C": "F in the table, “has overfit” in the text"}
"""Where the study contradicts itself on whether a row overfits."""
LETTER = {True: "T", False: "F", None: "…"}


@dataclass(frozen=True)
class PublishedRow:
    """One line of the study's tables."""

    id: str
    settings: Mapping[str, Value]
    """Every setting, as the study's run really ran."""
    printed: Mapping[str, Value]
    """What the study's table prints where that differs."""
    published: Mapping[str, Any]
    """val and test in percent, overfit (T, F or …), epoch."""
    note: str

    def cells(self) -> list[str]:
        """Return the row's settings under COLUMNS, written as the study writes them."""
        shown = {**self.settings, **self.printed}
        variation = "LINEAR DECISION NET" if shown["join"] == "linear" else "DECISION NET"
        return [
            NETS.get(str(shown["net"]), str(shown["net"])),
            str(shown["optimizer"]).upper(),
            scientific(shown["lr"]),
            scientific(shown["weight_decay"]),
            letter(shown["dropout"]),
            str(shown["batch_size"]),
            letter(shown["pretrained"]),
            letter(shown["freeze"]),
            letter(shown["augment"]),
            variation + (" 2 LOSS" if shown["loss"] == "two" else ""),
        ]

    def figure(self, name: str) -> str:
        """Return a published figure as the study prints it; – where it has none."""
        if name not in self.published:
            return NOTHING
        value = self.published[name]
        return letter(value) if name == "overfit" else str(value)


def rows(*searched: SearchSpace) -> dict[str, PublishedRow]:
    """Return the rows of both codes by id, and the published ones that only these spaces have.

    Args:
        searched: spaces whose rows are added, where they have published figures: those of an
            ablation or of a race, or of a list of one's own to run, are not a study's.

    Raises:
        SpaceError: a space file that the package brings along is missing or cannot be read.
    """
    beside = [load(SPACES / code) for code in CODES]
    found: dict[str, PublishedRow] = {}
    for one in (*beside, *searched):
        for name, row in one.rows.items():
            if not row.published:
                continue
            new = PublishedRow(name, one.row_settings(name), row.printed, row.published, row.note)
            found.setdefault(name, new)
    return found


def has_published(searched: SearchSpace) -> bool:
    """Return whether a space repeats rows that were published, and does not just list its own."""
    return any(row.published for row in searched.rows.values())


def recorded_curve(row: str) -> pd.DataFrame | None:
    """Return the recorded epochs of a row: epoch, train_loss, train_acc, val_loss and val_acc.

    Args:
        row: its id. Row F left no curve; for it, or a row not of the study, None is returned.
    """
    path = whole() / f"{row}.csv"
    return pd.read_csv(path) if row.isalnum() and path.is_file() else None


def recorded_runs() -> pd.DataFrame:
    """Return the study's own runs, a row each, as ``effects`` takes them.

    Returns:
        ``trial``, settings as they really ran, ``val_acc`` in [0, 1], and ``chance``: the net
        never left chance.

    Raises:
        UserError: the recordings are not there.
    """
    runs = pd.read_csv(whole() / "index.csv", dtype={"id": str})
    runs = runs.rename(columns={"id": "trial", "best_val_acc": "val_acc"})
    flags = ["dropout", "pretrained", "freeze", "augment"]
    runs[flags] = runs[flags].astype(bool)
    runs.loc[runs["trial"] == "3", "epochs"] = 60  # its log ends at 48; the run did not
    curves = [recorded_curve(trial) for trial in runs["trial"]]
    runs["chance"] = [curve is not None and at_chance(list(curve["val_acc"])) for curve in curves]
    names = ["net", "join", "loss", "lr", *flags, "epochs"]
    return runs[["trial", *names, "val_acc", "chance"]]


def letter(value: object) -> str:
    """Return a truth as the study writes it: T, F, and … for undecided."""
    if value is None or isinstance(value, bool):
        return LETTER[value]
    return {"...": "…"}.get(str(value), str(value))


def scientific(value: object) -> str:
    """Return a learning rate or a weight decay as the study writes it: 1E-5, 0."""
    if not isinstance(value, int | float) or value == 0:
        return str(value) if value else "0"
    digits, exponent = f"{value:.3e}".split("e")
    return f"{float(digits):g}E{int(exponent)}"
