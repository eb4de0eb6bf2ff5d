"""The page's charts of scores over settings: slices along one, contours over two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facesiam.config import SETTINGS
from search.analysis.formatting import shown_value
from search.analysis.levels import continuous, levels, ordered
from search.report.chart import Chart, text
from search.report.report_data import active_settings, log_settings
from search.report.setting_worth import Worth
from search.report.smoothing import kernel_mean
from search.report.style import TRAIN, VAL

Floats = NDArray[np.float64]
MOST_SLICES, CROSSED = 12, 3
"""Settings that have a slice, and those of which each pair has a contour: the most important."""
NEARBY = "The mean of the trials near each place; without colour where there are none."
OF_TRIALS = "trials"
"""Marks a trace of a point a trial: page.js fades those that the filter hides."""
GRID = 24
"""Points of a contour along a continuum."""


def slice_charts(worth: Worth) -> list[Chart]:
    """Return the score against each setting: the trials, and the mean of each value or bin."""
    trials = measured(worth)
    log = log_settings(worth.given[:1])
    made = []
    for name in _searched(worth, trials)[:MOST_SLICES]:
        on = _active(worth, trials, name)
        own, values = trials[on], worth.scale * _shown(worth, trials[on])
        at = own[name] if continuous(own[name]) else own[name].map(_word)
        points = _points(own, at, values, worth)
        axis = _axis(own[name], name, name in log)
        drawn = figure(
            [points, _means(own[name], values)],
            {"height": 300, "xaxis": axis, "yaxis": {"title": {"text": worth.measure.label}}},
        )
        made.append(Chart(f"slice-{name.replace('_', '-')}", name, drawn, half=True))
    return made


def contour_charts(worth: Worth) -> list[Chart]:
    """Return the smoothed score over pairs of the most important settings."""
    trials = measured(worth)
    names = [name for name in _searched(worth, trials) if _active(worth, trials, name).all()]
    return [_contour(worth, trials, *pair) for pair in combinations(names[:CROSSED], 2)]


def _contour(worth: Worth, trials: pd.DataFrame, one: str, other: str) -> Chart:
    log = log_settings(worth.given[:1])
    x, y = (_Axis(trials[name], name in log) for name in (one, other))
    values, unit = worth.scale * _shown(worth, trials), worth.measure.unit
    smooth = kernel_mean((x.places, y.places), values, (x.grid, y.grid), (x.width, y.width))
    heat = {
        "type": "contour" if x.continuous and y.continuous else "heatmap",
        "x": x.labels,
        "y": y.labels,
        "z": smooth.T,
        "colorscale": "Viridis",
        "reversescale": not worth.given[0].searched.objective.maximizes,
        "colorbar": {"thickness": 10, "title": {"text": unit.strip()}},
        "hovertemplate": f"%{{x}}, %{{y}}: %{{z:.3~f}}{unit}<extra></extra>",
    }
    points = _points(trials, trials[one].map(x.word), values, worth)
    points |= {
        "y": trials[other].map(y.word).tolist(),
        "text": [f"{value:.3f}".rstrip("0").rstrip(".") for value in values],
        "hovertemplate": f"trial %{{customdata}}: %{{text}}{unit}<extra></extra>",
        "marker": {"size": 7, "color": VAL, "line": {"width": 1, "color": "#ffffff"}},
    }
    layout = {
        "height": 340,
        "xaxis": _axis(trials[one], one, one in log),
        "yaxis": _axis(trials[other], other, other in log),
        "showlegend": False,
    }
    ident = f"contour-{one}-{other}".replace("_", "-")
    return Chart(ident, f"{one} and {other}", figure([heat, points], layout), NEARBY, True)


class _Axis:
    """Where the values of a setting lie: along a line, in [0, 1], or each for itself."""

    def __init__(self, column: pd.Series, log: bool) -> None:
        self.continuous = continuous(column)
        if not self.continuous:
            values = ordered(column, str(column.name))
            self.places: Floats = np.array([float(values.index(value)) for value in column])
            self.grid: Floats = np.array([float(place) for place in range(len(values))])
            self.width = 0.0
            self.labels: Sequence[Any] = [_word(value) for value in values]
            self.word: Any = _word
            return
        numbers = column.to_numpy(dtype=np.float64)
        log = log and bool((numbers > 0).all())
        line = np.log(numbers) if log else numbers
        low, high = line.min(), line.max()
        self.places, self.width = (line - low) / (high - low), 0.12
        self.grid = np.linspace(0.0, 1.0, GRID, dtype=np.float64)
        along = low + self.grid * (high - low)
        self.labels = np.exp(along) if log else along
        self.word = float


def measured(worth: Worth) -> pd.DataFrame:
    """Return the first run's trials that have a score, in order of start."""
    own = worth.trials.head(len(worth.given[0].trials))
    return own[own["score"].notna()].sort_values("trial")


def _shown(worth: Worth, trials: pd.DataFrame) -> Floats:
    """Return the scores in the metric's own direction."""
    sign = 1.0 if worth.given[0].searched.objective.maximizes else -1.0
    return sign * trials["score"].to_numpy(dtype=np.float64)


def _searched(worth: Worth, trials: pd.DataFrame) -> list[str]:
    """Return the settings that vary, the most important first, then those of the space."""
    important = [one.setting for one in worth.importance]
    searched = [
        *worth.given[0].searched.search,
        *(effect.setting for effect in worth.effects.every),
    ]
    names = dict.fromkeys([*important, *searched])
    return [name for name in names if name in SETTINGS and trials[name].nunique() > 1]


def _active(worth: Worth, trials: pd.DataFrame, name: str) -> NDArray[np.bool_]:
    """Return (trials,) where a setting has a meaning."""
    active = active_settings(worth.given[0])
    if name not in active:
        return np.ones(len(trials), dtype=np.bool_)
    return active[name].loc[trials.index].to_numpy(dtype=np.bool_)


def _points(trials: pd.DataFrame, at: pd.Series, values: Floats, worth: Worth) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "trials",
        "meta": OF_TRIALS,
        "x": at.tolist(),
        "y": values,
        "customdata": trials["trial"].tolist(),
        "hovertemplate": f"trial %{{customdata}}: %{{y:.3~f}}{worth.measure.unit}<extra></extra>",
        "marker": {"size": 7, "color": VAL, "opacity": 0.7},
    }


def _means(column: pd.Series, values: Floats) -> dict[str, Any]:
    """Return a line through the mean of each level, at the middle of its values."""
    one = levels(column, np.ones(len(column), dtype=np.bool_))
    of = [one.of == level for level in range(len(one.labels))]
    numbers = column.to_numpy()
    middle = [float(np.median(numbers[here])) for here in of] if one.binned else None
    labels = list(map(text, one.labels))
    return {
        "type": "scatter",
        "mode": "lines+markers" if one.binned else "markers",
        "name": "mean of a bin" if one.binned else "mean",
        "x": middle or labels,
        "y": [float(values[here].mean()) for here in of],
        "customdata": [f"{word}, n = {here.sum()}" for word, here in zip(labels, of, strict=True)],
        "hovertemplate": "%{customdata}: mean %{y:.3~f}<extra></extra>",
        "marker": {"symbol": "diamond", "size": 10, "color": TRAIN},
        "line": {"color": TRAIN, "width": 1.5},
    }


def _axis(column: pd.Series, name: str, log: bool) -> dict[str, Any]:
    title = {"title": {"text": name}}
    if not continuous(column):
        words = [_word(value) for value in ordered(column, name)]
        return title | {"type": "category", "categoryorder": "array", "categoryarray": words}
    kind = "log" if log and bool((column > 0).all()) else "linear"
    return title | {"type": kind, "exponentformat": "e"}  # not 100µ


def _word(value: object) -> str:
    return text(shown_value(value))


def figure(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> dict[str, Any]:
    """Return a figure of plotly.js."""
    return {"data": list(traces), "layout": dict(layout)}
