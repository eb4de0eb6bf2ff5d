"""The report's pictures of all trials and of test pairs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from facesiam.config import SETTINGS
from facesiam.evaluation.metrics import roc
from search.analysis.formatting import shown_value
from search.analysis.levels import LADDER
from search.report import style
from search.report.style import BEST, GREY, RANKED, TRAIN, VAL

HIGHEST = 1e6
"""Log-odds beyond are drawn there: infinite ones have no place on an axis."""
PANEL = 34
"""Characters that fit under a panel of ``scatter``; longer words are written slantwise."""


def scatter(path: Path, trials: pd.DataFrame, names: list[str], log: Collection[str]) -> None:
    """Draw best validation accuracy, with its 95 % interval, against each setting.

    Args:
        path: PNG to write.
        trials: a row per trial, with all settings.
        names: the settings.
        log: those on a logarithmic scale.
    """
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure = style.new(0.5 + 2.7 * down)
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
    style.save(figure, path, f"Best validation accuracy against each setting ({how})")


def verification(path: Path, title: str, tested: Mapping[str, pd.DataFrame]) -> None:
    """Draw ROC curves, and for the first of the tests a histogram of its scores.

    Args:
        path: PNG to write.
        title: above the picture.
        tested: test pairs by what they are, each with the columns of ``search.analysis.scores``.
    """
    figure = style.new(3.9)
    curve, counts = figure.subplots(1, 2)
    _plot_roc(curve, tested)
    _plot_scores(counts, *next(iter(tested.items())))
    style.save(figure, path, title)


def _plot_roc(curve: Axes, tested: Mapping[str, pd.DataFrame]) -> None:
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


def _plot_scores(counts: Axes, name: str, scores: pd.DataFrame) -> None:
    odds = scores["log_odds"].clip(-HIGHEST, HIGHEST)
    bins = np.linspace(odds.min(), odds.max(), 41).tolist()
    for same, colour, words in ((1, TRAIN, "same person"), (0, VAL, "different people")):
        of_kind = odds[scores["same_person"] == same]
        counts.hist(of_kind, bins, color=colour, alpha=0.6, label=words)
    counts.axvline(0, color=BEST, lw=0.9, label="threshold")
    counts.set_xlabel(f"log odds of “same person”, {name}")
    counts.set_ylabel("test pairs")
    counts.xaxis.set_major_locator(MaxNLocator(5))  # a narrow range has long numbers
    counts.legend(fontsize=8.5, frameon=False)


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
    if sum(len(text) + 2 for text in written) > PANEL:
        axes.tick_params("x", rotation=30)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
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
