"""The report's pictures: a trial's curves, all trials together, accuracy against each setting.

Training is blue and validation orange everywhere; what the documents recorded is the same colour,
thin and dashed. Every picture is 9 inches wide, so that text is 10 pt at 900 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from facesiam.config.trial import SETTINGS
from facesiam.evaluation.metrics import roc
from search.analysis.effects import LADDER
from search.analysis.formatting import shown_value

TRAIN, VAL, GREY, BEST = "#2f6db3", "#d9661f", "#9a9a9a", "#1b1b1b"
RANKED = ("#d9661f", "#2f6db3", "#2a8c5a", "#8a4fb0", "#b58900", "#c2387a")
"""The best trials, in order; all others are grey."""
WIDTH, DPI = 9.0, 150
LN2 = math.log(2)
LOSS_TOP = 3 * LN2
"""Losses above three times chance are cut off: one such epoch would flatten the rest."""
HIGHEST = 1e6
"""Log-odds beyond are drawn there: infinite ones have no place on an axis."""
SHOW_BEYOND = 3
"""Recorded curves are drawn up to this many times the measured length."""


def curves(
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
        recorded: the documents' own curve of the same row, or None.
        best: the epoch to mark, or None.
        trained: the loss that was trained, where it is not the cross-entropy of pairs.
    """
    figure = Figure(figsize=(WIDTH, 3.7), dpi=DPI, layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    last = int(measured["epoch"].max())
    if recorded is not None:
        recorded = recorded[recorded["epoch"] < SHOW_BEYOND * (last + 1)]
    for axes, kind, scale, chance in ((loss, "loss", 1, LN2), (accuracy, "acc", 100, 50)):
        for part, colour, label in (("train", TRAIN, "training"), ("val", VAL, "validation")):
            name = f"{part}_{kind}"
            if recorded is not None:
                axes.plot(
                    recorded["epoch"],
                    scale * recorded[name],
                    color=colour,
                    lw=0.9,
                    ls=(0, (4, 2)),
                    alpha=0.75,
                    label=f"{label}, documents",
                )
            marker = "o" if last < 15 else ""
            axes.plot(
                measured["epoch"],
                scale * measured[name],
                color=colour,
                lw=1.8,
                marker=marker,
                ms=3.5,
                label=f"{label}, measured",
            )
        axes.axhline(chance, color=GREY, lw=0.9, ls=":", label="chance", zorder=0)
        _mark(axes, measured, best, f"val_{kind}", scale)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.set_xlabel("epoch, from 0")
    loss.set_ylabel(
        f"training: {trained}\nvalidation: cross-entropy, nats"
        if trained
        else "cross-entropy, nats"
    )
    accuracy.set_ylabel("pairs judged right, %")
    top = _highest_loss(measured, recorded)
    most = 1.08 * top if trained else min(LOSS_TOP, 1.08 * top)  # of another loss all is shown
    loss.set_ylim(0, most if math.isfinite(top) else LOSS_TOP)
    accuracy.set_ylim(min(45, accuracy.get_ylim()[0]), 101)
    handles, labels = accuracy.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda at: ("documents" in labels[at], at))
    handles, labels = [handles[at] for at in order], [labels[at] for at in order]
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(labels),
        fontsize=8,
        frameon=False,
        columnspacing=1.2,
        handlelength=2.2,
    )
    _finish(figure, path, title)


def overview(path: Path, trials: pd.DataFrame, epochs: pd.DataFrame) -> None:
    """Draw every trial's validation accuracy against epoch, the best few in colour.

    ``trials`` is ranked and has ``like_best``; ``epochs`` holds their epochs.
    """
    figure = Figure(figsize=(WIDTH, 4.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    order = [name for name in trials["trial"] if (epochs["trial"] == name).any()]
    for place, name in reversed(list(enumerate(order))):
        curve = epochs[epochs["trial"] == name]
        best = place < len(RANKED)
        marker = "o" if len(curve) < 15 else ""
        axes.plot(
            curve["epoch"],
            100 * curve["val_acc"],
            color=RANKED[place] if best else GREY,
            lw=1.8 if best else 0.8,
            alpha=1 if best else 0.6,
            marker=marker,
            ms=3.5 if best else 2,
            zorder=3 if best else 2,
            label=f"{place + 1}. {name}" if best else None,
        )
    if len(order) > len(RANKED):
        axes.plot([], [], color=GREY, lw=0.8, label=f"{len(order) - len(RANKED)} others")
    axes.axhline(50, color=GREY, lw=0.9, ls=":", label="chance", zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel("epoch, from 0")
    axes.set_ylabel("validation accuracy, %")
    handles, labels = axes.get_legend_handles_labels()
    named = sorted(zip(labels, handles, strict=True), key=lambda pair: _place(pair[0]))
    axes.legend(
        [handle for _, handle in named],
        [label for label, _ in named],
        fontsize=8.5,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
    )
    _finish(figure, path, "Validation accuracy of every trial")


def scatter(path: Path, trials: pd.DataFrame, names: list[str], log: Collection[str]) -> None:
    """Draw best validation accuracy, with its 95 % interval, against each setting in ``names``."""
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure = Figure(figsize=(WIDTH, 0.5 + 2.7 * down), dpi=DPI, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    # In order of start: points of one choice lie side by side, and by rank would draw a slope.
    shown = trials[trials["val_acc"].notna()].sort_values("trial")
    for axes, name in zip(grid.flat, names, strict=False):
        places = _places(axes, shown[name], name, name in log)
        value = 100 * shown["val_acc"].to_numpy(dtype=float)
        low = value - 100 * shown["val_acc_low"].to_numpy(dtype=float)
        high = 100 * shown["val_acc_high"].to_numpy(dtype=float) - value
        axes.errorbar(
            places,
            value,
            yerr=np.abs([low, high]),
            fmt="o",
            color=VAL,
            ms=4,
            ecolor="#e8b08d",
            elinewidth=1,
            mec="white",
            mew=0.5,
        )
        axes.axhline(50, color=GREY, lw=0.9, ls=":", zorder=0)
        axes.set_xlabel(name)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("best val. accuracy, %")
    how = "bars: 95 % interval; side by side: in order of start"
    _finish(figure, path, f"Best validation accuracy against each setting ({how})")


def verification(path: Path, title: str, tested: Mapping[str, pd.DataFrame]) -> None:
    """Draw ROC curves, and for the first of the tests a histogram of its scores.

    Args:
        path: PNG to write.
        title: above the picture.
        tested: test pairs by what they are, each with the columns of ``search.analysis.scores``.
    """
    figure = Figure(figsize=(WIDTH, 3.9), dpi=DPI, layout="constrained")
    curve, counts = figure.subplots(1, 2)
    for colour, (name, scores) in zip(RANKED, tested.items(), strict=False):
        false, true = roc(scores["log_odds"], 1 - scores["same_person"])
        shown = false > 0  # the axis is logarithmic
        curve.plot(
            100 * false[shown],
            100 * true[shown],
            color=colour,
            lw=1.6,
            label=name,
            drawstyle="steps-post",
        )
    curve.set_xscale("log")
    curve.set_xlim(0.05, 100)
    curve.set_ylim(0, 101)
    curve.set_xlabel("different people accepted, %")
    curve.set_ylabel("same people accepted, %")
    curve.legend(fontsize=8.5, loc="lower right", frameon=False)
    name, scores = next(iter(tested.items()))
    odds = scores["log_odds"].clip(-HIGHEST, HIGHEST)
    bins = np.linspace(odds.min(), odds.max(), 41)
    for same, colour, words in ((1, TRAIN, "same person"), (0, VAL, "different people")):
        of_kind = odds[scores["same_person"] == same]
        counts.hist(of_kind, bins, color=colour, alpha=0.6, label=words)
    counts.axvline(0, color=BEST, lw=0.9, label="threshold")
    counts.set_xlabel(f"log odds of “same person”, {name}")
    counts.set_ylabel("test pairs")
    counts.legend(fontsize=8.5, frameon=False)
    _finish(figure, path, title)


def tradeoff(
    path: Path,
    panels: Mapping[str, list[tuple[str, float, float]]],
    lines: Sequence[list[tuple[float, float]]],
    kept: float,
) -> None:
    """Draw each policy's share of epochs spent against its chance of keeping the best.

    Args:
        path: PNG to write.
        panels: (policy, epochs, chance) by contest; the last policy of each is ours.
        lines: (epochs, chance) of "one epoch, then top k" for each k, a line a contest.
        kept: how near to the best counts as having kept it.
    """
    figure = Figure(figsize=(WIDTH, 5.0), dpi=DPI, layout="constrained")
    for axes, (name, points), line in zip(
        figure.subplots(1, len(panels), squeeze=False, sharey=True).flat,
        panels.items(),
        lines,
        strict=True,
    ):
        axes.plot(
            [100 * x for x, _ in line],
            [100 * y for _, y in line],
            color=GREY,
            lw=1,
            ls=(0, (4, 2)),
            label="one epoch, then top k, each k",
            zorder=1,
        )
        for (policy, spent, chance), mark in zip(points, "sv^Do*P", strict=False):
            ours = policy == points[-1][0]
            axes.plot(
                100 * spent,
                100 * chance,
                mark,
                ms=13 if ours else 8,
                ls="",
                mec="white",
                color=VAL if ours else TRAIN,
                zorder=4 if ours else 3,
                label=policy,
            )
        axes.set_title(name.split(": ")[0], fontsize=9)
        axes.set_xlabel("epochs spent, % of all")
        axes.set_xlim(0, 104)
        axes.set_ylim(-4, 104)
        axes.legend(
            fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False
        )
    figure.axes[0].set_ylabel(f"orders that keep the best within {100 * kept:g} points, %")
    _finish(figure, path, "What each policy spends, and how often it keeps the best run")


def _mark(axes: Axes, measured: pd.DataFrame, best: int | None, name: str, scale: float) -> None:
    if best is None:
        return
    value = scale * float(measured.loc[measured["epoch"] == best, name].iloc[0])
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


def _highest_loss(measured: pd.DataFrame, recorded: pd.DataFrame | None) -> float:
    frames = [measured] if recorded is None else [measured, recorded]
    losses = np.concatenate(
        [frame[["train_loss", "val_loss"]].to_numpy(dtype=float).ravel() for frame in frames]
    )
    losses = losses[np.isfinite(losses)]
    return max(float(losses.max()), 1.2 * LN2) if len(losses) else math.nan


def _places(axes: Axes, values: pd.Series, name: str, log: bool) -> list[float]:
    """Return where each value lies on the x axis; choices are spread a little, side by side."""
    setting = SETTINGS[name]
    distinct = values.dropna().unique()
    if setting.type in (int, float) and len(distinct) > LADDER:
        if log and (values > 0).all():
            axes.set_xscale("log")
        axes.margins(x=0.12)
        return [float(value) for value in values]
    words = [word for word in setting.choices if word in set(distinct)] or sorted(distinct)
    written = [shown_value(word) for word in words]
    axes.set_xticks(range(len(words)), written)
    axes.set_xlim(-0.6, len(words) - 0.4)
    seen: dict[object, int] = {}
    totals = values.value_counts()
    places = []
    for value in values:
        count = int(totals[value])
        spread = (seen.setdefault(value, 0) + 0.5) / count - 0.5
        seen[value] += 1
        places.append(words.index(value) + 0.5 * spread)
    return places


def _place(label: str) -> int:
    head = label.split(".")[0]
    return int(head) if head.isdigit() else 1000 + (label == "chance")


def _finish(figure: Figure, path: Path, title: str) -> None:
    figure.suptitle(title, fontsize=11)
    for axes in figure.axes:
        axes.grid(True, color="#e6e6e6", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    # Without the version of the library in the file, the same run gives the same bytes.
    figure.savefig(path, metadata={"Software": None})
