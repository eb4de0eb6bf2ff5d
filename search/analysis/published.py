"""What the documents report: their rows, in their own columns, and the curves they recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from facesiam.config.trial import Value
from search.analysis.overfitting import Verdict, at_chance, verdict
from search.space import model
from search.space.shipped import SPACES, whole

CODES = ("code1.yaml", "code2.yaml")
"""The documents' two codes, each with its rows."""

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
CLAIMS = {
    "augment": "augmentation adds close to 4 points",
    "freeze": "freezing helps little, though it trains faster",
    "pretrained": "pretrained test D beats test C, which is not",
    "net": "VGG validates higher than AlexNet, but mostly overfits",
    "lr": "1e-3 is usually bad; 1e-5 and 5e-4 usually work",
    "loss": "the mean of two losses trains better",
    "epochs": "more epochs do not improve on test B",
}
"""What the documents conclude about a setting."""
OTHER_VERDICTS = {"C": "F in the table, “has overfit” in the text"}
"""Where the documents contradict themselves on a row's overfit."""
LETTER = {True: "T", False: "F", None: "…"}


@dataclass(frozen=True)
class DocumentRow:
    """One line of the documents' tables."""

    id: str
    settings: Mapping[str, Value]
    """Every setting, as the documents' run really ran."""
    printed: Mapping[str, Value]
    """What the documents' table prints where that differs."""
    published: Mapping[str, Any]
    """val and test in percent, overfit (T, F or …), epoch."""
    note: str

    def cells(self) -> list[str]:
        """Return the row's settings under COLUMNS, written as the documents write them."""
        shown = {**self.settings, **self.printed}
        variation = "LINEAR DECISION NET" if shown["join"] == "linear" else "DECISION NET"
        return [
            "VGG" if shown["net"] == "vgg16_bn" else "Alexnet",
            str(shown["optimizer"]).upper(),
            number(shown["lr"]),
            number(shown["weight_decay"]),
            letter(shown["dropout"]),
            str(shown["batch_size"]),
            letter(shown["pretrained"]),
            letter(shown["freeze"]),
            letter(shown["augment"]),
            variation + (" 2 LOSS" if shown["loss"] == "two" else ""),
        ]

    def figure(self, name: str) -> str:
        """Return a published figure as the documents print it, – where they have none."""
        if name not in self.published:
            return "–"
        value = self.published[name]
        return letter(value) if name == "overfit" else str(value)


def rows(*searched: model.SearchSpace) -> dict[str, DocumentRow]:
    """Return the rows of both codes, and those that only the given spaces have, by id.

    Raises:
        SpaceError: a space file that the package brings along is missing or cannot be read.
    """
    beside = [model.load(SPACES / code) for code in CODES]
    found: dict[str, DocumentRow] = {}
    for one in (*beside, *searched):
        for name, row in one.rows.items():
            new = DocumentRow(name, one.row_settings(name), row.printed, row.published, row.note)
            found.setdefault(name, new)
    return found


def recorded(row: str) -> pd.DataFrame | None:
    """Return the curve that the documents' own run left: epoch, and the losses and accuracies.

    None where there is none: row F, or a row that is not the documents'.
    """
    path = whole() / f"{row}.csv"
    return pd.read_csv(path) if row.isalnum() and path.is_file() else None


def recorded_runs() -> pd.DataFrame:
    """Return the documents' own runs: trial, settings as they really ran, val_acc in [0, 1].

    ``chance`` says that the net never left chance.

    Raises:
        UserError: the recordings are not there.
    """
    runs = pd.read_csv(whole() / "index.csv", dtype={"id": str})
    runs = runs.rename(columns={"id": "trial", "best_val_acc": "val_acc"})
    flags = ["dropout", "pretrained", "freeze", "augment"]
    runs[flags] = runs[flags].astype(bool)
    runs.loc[runs["trial"] == "3", "epochs"] = 60  # its log ends at 48; the run did not
    curves = [recorded(trial) for trial in runs["trial"]]
    runs["chance"] = [curve is not None and at_chance(list(curve["val_acc"])) for curve in curves]
    names = ["net", "join", "loss", "lr", *flags, "epochs"]
    return runs[["trial", *names, "val_acc", "chance"]]


def judge(curve: pd.DataFrame) -> Verdict:
    """Judge a frame with the two losses and the two accuracies, a row per epoch."""
    names = ("train_loss", "val_loss", "train_acc", "val_acc")
    train_loss, val_loss, train_acc, val_acc = (curve[name].tolist() for name in names)
    return verdict(train_loss, val_loss, train_acc, val_acc)


def letter(value: object) -> str:
    """Write a truth as the documents do: T, F, and … for no verdict."""
    if value is None or isinstance(value, bool):
        return LETTER[value]
    return {"...": "…"}.get(str(value), str(value))


def number(value: object) -> str:
    """Write a learning rate or a weight decay as the documents do: 1E-5, 0."""
    if not isinstance(value, int | float) or value == 0:
        return str(value) if value else "0"
    digits, exponent = f"{value:.3e}".split("e")
    return f"{float(digits):g}E{int(exponent)}"
