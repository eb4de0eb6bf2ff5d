"""The page's charts of what each setting is worth: importance, effects, slices and contours."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from search.analysis.ablation_base import REPEATS
from search.analysis.differences import Effect
from search.report.chart import Chart, text
from search.report.setting_effects import looks, shown_effect
from search.report.setting_slices import contour_charts, figure, measured, slice_charts
from search.report.setting_worth import Worth
from search.report.style import GREY, TRAIN, VAL

LEVEL = 0.05
"""Greatest p of an importance that is drawn as more than chance."""
ROW, FRAME = 24, 90
"""Pixels of a bar and of what is around all of them."""


def charts(worth: Worth) -> list[Chart]:
    """Return the charts that there is something for.

    Args:
        worth: of the runs; slices, contours and importance are of the first.
    """
    every = [importance_chart(worth), effects_chart(worth)]
    return [*filter(None, every), *slice_charts(worth), *contour_charts(worth)]


def importance_chart(worth: Worth) -> Chart | None:
    """Return the importance of each searched setting as bars, grey where it may be chance."""
    found = worth.importance[::-1]  # plotly's first bar is the lowest
    if not found:
        return None
    bar = {
        "type": "bar",
        "orientation": "h",
        "x": [100 * one.share for one in found],
        "y": [one.setting for one in found],
        "text": [f"{100 * one.share:.0f} %, p {one.p:.2f}" for one in found],
        "textposition": "auto",
        "cliponaxis": False,
        "hovertemplate": "%{y}: %{text}<extra></extra>",
        "marker": {"color": [TRAIN if one.p <= LEVEL else GREY for one in found]},
    }
    layout = {
        "height": FRAME + ROW * len(found),
        "xaxis": {"title": {"text": "share of the importance, %"}, "range": [0, 100]},
        "yaxis": {"type": "category"},
    }
    n = len(measured(worth))
    note = (
        f"PED-ANOVA of {n} trials: what sets the best of them apart from all. Grey bars are no "
        "more than some setting gets where none matters (p above 0.05, from shuffled scores)."
    )
    return Chart("importance", "Importance of the settings", figure([bar], layout), note, True)


def effects_chart(worth: Worth) -> Chart | None:
    """Return every difference with its simultaneous interval, grey where that holds zero."""
    found = [one for one in worth.effects.every if not math.isnan(one.error)][::-1]
    if not found:
        return None
    scale, several = worth.scale, Counter(one.setting for one in found)
    told = [one.low > 0 or one.high < 0 for one in found]
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": [scale * one.mean for one in found],
        "y": [_label(one, several[one.setting] > 1) for one in found],
        "customdata": [f"{text(one.change)}<br>{shown_effect(one, scale)}" for one in found],
        "hovertemplate": "%{y}<br>%{customdata}<extra></extra>",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [scale * (one.high - one.mean) for one in found],
            "arrayminus": [scale * (one.mean - one.low) for one in found],
            "color": GREY,
        },
        "marker": {"size": 9, "color": [VAL if one else GREY for one in told]},
    }
    unit = "points" if worth.measure.percent else worth.measure.label
    layout = {
        "height": FRAME + ROW * len(found),
        "xaxis": {"title": {"text": f"difference, {unit}"}},
        "yaxis": {"type": "category"},
        "shapes": [_zero()],
    }
    name = worth.measure.label.removesuffix(", %").capitalize()
    fell = "" if worth.given[0].searched.objective.maximizes else ", turned: positive is better"
    compared = "with a value less that with the best one, or after the change less before"
    if worth.ablation:
        compared = "after a change less that of the trial that it changes, the ablation's base"
    seeds = any(one.setting == REPEATS for one in found)
    family = f"{looks(worth)} comparisons{' of settings, and over those of seeds' * seeds}"
    note = (
        f"{name} {compared}{fell}. "
        "With 95 % or more all intervals hold together (Bonferroni over "
        f"{family}); {sum(told)} of {len(found)} can be told from zero."
    )
    return Chart("effects", "Differences between values", figure([points], layout), note, True)


def _label(effect: Effect, several: bool) -> str:
    """Return what a narrow screen has room for: of several values not the one compared with."""
    return f"{effect.setting}: {text(effect.after if several else effect.change)}"


def _zero() -> dict[str, Any]:
    """Return a line at a difference of zero."""
    line = {"color": GREY, "width": 1, "dash": "dot"}
    return {"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper", "line": line}
