"""The report's section on training curves: which trials it shows, and their pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from facesiam.errors import counted
from facesiam.nets.losses import LOSSES
from search.analysis import published, ranked_trials
from search.analysis.published import PublishedRow
from search.report import figures, style
from search.report.report_data import Run, RunTrial, log_settings, settings_frame
from search.report.style import BEST, GREY, RANKED, TRAIN, VAL

SHOWN = 3
"""Trials whose curves are drawn when none of them is a row of the 2019 study."""
LN2 = math.log(2)
LOSS_TOP = 3 * LN2
"""Losses above three times chance are cut off: one such epoch would flatten the rest."""
SHOW_BEYOND = 3
"""Recorded curves are drawn up to this many times the measured length."""
DASHED: dict[str, Any] = {"lw": 0.9, "ls": (0, (4, 2)), "alpha": 0.75}


def section(
    first: Run, rows: Mapping[str, PublishedRow], ran: Mapping[str, RunTrial], folder: Path
) -> str:
    """Draw the curves of the rows that were run, or else of the best trials; return the pictures.

    Args:
        first: the run that the page is about.
        rows: the published rows by id.
        ran: the trial of each row, of those that were run.
        folder: gets the pictures.
    """
    shown = {name: one for name, one in ran.items() if one.has_epochs}
    if not shown:
        head = first.trials[first.trials["epochs_run"] > 0].head(SHOWN)
        shown = {str(trial["trial"]): RunTrial(first, trial) for _, trial in head.iterrows()}
    order = [name for name in rows if name in shown]
    order += [name for name in shown if name not in rows]
    parts = []
    for name in order:
        one = shown[name]
        best = None if pd.isna(one.trial["best_epoch"]) else int(one.trial["best_epoch"])
        recorded = published.recorded_curve(name) if name in rows and name in ran else None
        path = folder / f"curves-{name}.png"
        title = f"{'Test' if name in rows else 'Trial'} {name}: {_in_short(one)}"
        loss = one.run.configs[one.name].loss
        trained = None if loss in LOSSES else loss
        draw_curves(path, title, one.run.curve(one.name), recorded, best, trained)
        parts.append(f"![Loss and accuracy of {name}]({path.name})")
    return "\n\n".join(parts + _overviews(first, folder))


def draw_curves(
    path: Path,
    title: str,
    measured: pd.DataFrame,
    recorded: pd.DataFrame | None,
    best: int | None,
    trained: str | None = None,
) -> None:
    """Draw loss and accuracy against epoch, side by side.

    Args:
        path: PNG to write.
        title: above the picture.
        measured: a trial's epochs, in order.
        recorded: the 2019 study's curve of the same row, or None.
        best: the epoch to mark, or None.
        trained: the loss that was trained, where it is not the cross-entropy of pairs.
    """
    figure = style.new(3.7)
    loss, accuracy = figure.subplots(1, 2)
    if recorded is not None:
        last = int(measured["epoch"].max())
        recorded = recorded[recorded["epoch"] < SHOW_BEYOND * (last + 1)]
    _plot(loss, "loss", 1, measured, recorded, best)
    _plot(accuracy, "acc", 100, measured, recorded, best)
    loss.axhline(LN2, color=GREY, lw=0.9, ls=":", label="chance", zorder=0)
    accuracy.axhline(50, color=GREY, lw=0.9, ls=":", label="chance", zorder=0)
    both = f"training: {trained}\nvalidation: cross-entropy, nats"
    loss.set_ylabel(both if trained else "cross-entropy, nats")
    accuracy.set_ylabel("pairs judged right, %")
    top = highest_loss(measured, recorded)
    most = 1.08 * top if trained else min(LOSS_TOP, 1.08 * top)  # of another loss all is shown
    loss.set_ylim(0, most if math.isfinite(top) else LOSS_TOP)
    accuracy.set_ylim(min(45, accuracy.get_ylim()[0]), 101)
    named = dict(zip(*reversed(accuracy.get_legend_handles_labels()), strict=True))
    order = sorted(named, key=_legend_place)
    figure.legend(
        [named[label] for label in order],
        order,
        loc="outside lower center",
        ncols=len(order),
        fontsize=8,
        frameon=False,
        columnspacing=1.2,
        handlelength=2.2,
    )
    style.save(figure, path, title)


def draw_overview(path: Path, trials: pd.DataFrame, epochs: pd.DataFrame) -> None:
    """Draw every trial's validation accuracy against epoch, the best few in colour.

    Args:
        path: PNG to write.
        trials: of a run, ranked.
        epochs: of these trials.
    """
    figure = style.new(4.6)
    axes = figure.subplots()
    order = [name for name in trials["trial"] if (epochs["trial"] == name).any()]
    for place, name in reversed(list(enumerate(order))):
        curve = epochs[epochs["trial"] == name]
        best = place < len(RANKED)
        axes.plot(
            curve["epoch"],
            100 * curve["val_acc"],
            color=RANKED[place] if best else GREY,
            lw=1.8 if best else 0.8,
            alpha=1 if best else 0.6,
            marker="o" if len(curve) < 15 else "",
            ms=3.5 if best else 2,
            zorder=3 if best else 2,
            label=f"{place + 1}. {name}" if best else None,
        )
    lines = axes.get_legend_handles_labels()[0][::-1]  # the best first
    if len(order) > len(RANKED):
        others = counted(len(order) - len(RANKED), "other")
        lines += axes.plot([], [], color=GREY, lw=0.8, label=others)
    lines.append(axes.axhline(50, color=GREY, lw=0.9, ls=":", label="chance", zorder=0))
    _label_epochs(axes)
    axes.set_ylabel("validation accuracy, %")
    axes.legend(
        handles=lines, fontsize=8.5, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False
    )
    style.save(figure, path, "Validation accuracy of every trial")


def highest_loss(measured: pd.DataFrame, recorded: pd.DataFrame | None) -> float:
    """Return the highest finite loss, at least 1.2 times that of chance; NaN without one."""
    frames = [measured] if recorded is None else [measured, recorded]
    losses = np.concatenate(
        [frame[["train_loss", "val_loss"]].to_numpy(dtype=float).ravel() for frame in frames]
    )
    losses = losses[np.isfinite(losses)]
    return max(float(losses.max()), 1.2 * LN2) if len(losses) else math.nan


def _overviews(run: Run, folder: Path) -> list[str]:
    measured = run.trials[run.trials["val_acc"].notna()]
    if len(measured) < 2:
        return []
    draw_overview(folder / "overview.png", run.trials, run.epochs)
    parts = ["![Validation accuracy of every trial](overview.png)"]
    frame = settings_frame(run)
    names = [name for name in ranked_trials.varied(run.searched, []) if frame[name].nunique() > 1]
    if names:
        figures.scatter(folder / "settings.png", frame, names, log_settings([run]))
        parts.append("![Best validation accuracy against each setting](settings.png)")
    return parts


def _plot(
    axes: Axes,
    kind: str,
    scale: float,
    measured: pd.DataFrame,
    recorded: pd.DataFrame | None,
    best: int | None,
) -> None:
    """Plot training and validation ``loss`` or ``acc``, with the best epoch marked."""
    marker = "o" if int(measured["epoch"].max()) < 15 else ""
    for part, colour, label in (("train", TRAIN, "training"), ("val", VAL, "validation")):
        name = f"{part}_{kind}"
        if recorded is not None:
            values = scale * recorded[name]
            axes.plot(
                recorded["epoch"], values, color=colour, label=f"{label}, 2019 study", **DASHED
            )
        axes.plot(
            measured["epoch"],
            scale * measured[name],
            color=colour,
            lw=1.8,
            marker=marker,
            ms=3.5,
            label=f"{label}, measured",
        )
    if best is not None:
        value = scale * float(measured.loc[measured["epoch"] == best, f"val_{kind}"].iloc[0])
        axes.axvline(best, color=BEST, lw=0.8, ls="-", alpha=0.35, zorder=0)
        axes.plot(
            [best],
            [value],
            marker="D",
            ms=6,
            color=VAL,
            mec=BEST,
            mew=1,
            ls="",
            zorder=5,
            label=f"best epoch, {best}",
        )
    _label_epochs(axes)


def _label_epochs(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel("epoch, from 0")


def _legend_place(label: str) -> int:
    """Return the place of a line in the legend: measured, chance, best epoch, recorded."""
    ends = ("measured", "chance", "best epoch", "2019 study")
    return next(place for place, end in enumerate(ends) if end in label)


def _in_short(one: RunTrial) -> str:
    config = one.run.configs[one.name]
    words = [config.net, config.join, config.loss, f"lr {config.lr:g}"]
    words += [name for name in ("pretrained", "freeze", "augment") if getattr(config, name)]
    return ", ".join(words)
