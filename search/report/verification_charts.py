"""The report's charts of test pairs: ROC curves, and the scores of same and different pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesiam.evaluation.metrics import roc
from facesiam.evaluation.thresholds import rates_at
from search.analysis.formatting import percent
from search.report.chart import Chart
from search.report.far_table import OperatingPoint
from search.report.style import BEST, GREY, RANKED, TRAIN, VAL
from search.report.tested_nets import TestedNet

POINTS = 1_000
"""Of a curve with more corners, this many of each of two spacings are drawn."""
BINS = 40
PAPER = {"yref": "paper"}
DASHED = {"color": GREY, "width": 2, "dash": "dash"}
BESIDE = {"xanchor": "left", "yanchor": "top", "xshift": 4, "showarrow": False}

Floats = NDArray[np.float64]


def roc_charts(nets: Sequence[TestedNet]) -> list[Chart]:
    """Return the ROC curves of tested nets, on a linear and on a logarithmic axis.

    Args:
        nets: one or more.
    """
    chance = {
        "x": [0, 100],
        "y": [0, 100],
        "name": "chance",
        "mode": "lines",
        "line": {"color": GREY, "dash": "dot", "width": 1},
        "hoverinfo": "skip",
    }
    curves: list[dict[str, Any]] = []
    for at, net in enumerate(nets):
        curves += _curve(net, RANKED[at % len(RANKED)])
    different = max(int((net.judged.label == 1).sum()) for net in nets)
    floor = float(np.log10(100 / different))
    pairs = sorted({f"{net.test.pairs:,}" for net in nets})
    note = (
        f"Test pairs ({' or '.join(pairs)}) at every threshold of the score. A diamond is the "
        "threshold of the accuracy, log-odds of 0."
    )
    return [
        Chart(
            "roc", "ROC curve", _framed([chance, *curves], {"range": [0, 100]}), note, half=True
        ),
        Chart(
            "roc-log",
            "ROC curve where few different people are accepted",
            _framed(curves, {"type": "log", "range": [floor, 2]}),
            "The same curves on a logarithmic axis, which begins where one pair of different "
            f"people is accepted of {different:,}.",
            half=True,
        ),
    ]


def score_histogram(net: TestedNet, at: Sequence[OperatingPoint], number: int = 1) -> Chart:
    """Return the histogram of a net's scores, of same and of different pairs.

    Args:
        net: the net.
        at: its thresholds for false-accept rates, which are marked.
        number: of the chart in the page, from 1.
    """
    judged = net.judged
    edges = _edges(judged.score)
    layout = {
        "barmode": "overlay",
        "height": 400,
        "xaxis": {"title": {"text": "score: log-odds of “same person”"}},
        "yaxis": {"title": {"text": "test pairs"}, "rangemode": "nonnegative"},
        "shapes": [{"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, **PAPER, "line": DASHED}],
        "annotations": [{"x": 0, "y": 1, **PAPER, "text": "threshold", **BESIDE}],
    }
    traces = [
        _bars(judged.score[judged.label == 0], edges, "same person", TRAIN),
        _bars(judged.score[judged.label == 1], edges, "different people", VAL),
        _thresholds(at, edges),
    ]
    return Chart(
        f"scores-{number}",
        f"Scores of the test pairs of {net.name}",
        {"data": traces, "layout": layout},
        "Right of the threshold a pair is taken for the same person. Triangles are the thresholds "
        f"of the table of false-accept rates{_chosen_on(at)}.",
        half=True,
    )


def _edges(score: Floats) -> Floats:
    """Return the edges of the bins, (BINS + 1,), from the lowest to the highest finite score."""
    finite = score[np.isfinite(score)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    return np.linspace(low - (low == high), high + (low == high), BINS + 1)


def _bars(score: Floats, edges: Floats, words: str, colour: str) -> dict[str, Any]:
    """Return the histogram of the scores of one kind of pairs; infinite ones are in an end bin."""
    return {
        "type": "bar",
        "x": ((edges[1:] + edges[:-1]) / 2).round(6).tolist(),
        "y": np.histogram(score.clip(edges[0], edges[-1]), edges)[0].tolist(),
        "width": float(edges[1] - edges[0]),
        "name": f"{words}, {len(score):,} pairs",
        "marker": {"color": colour},
        "opacity": 0.6,
        "hovertemplate": "%{y} pairs about %{x:.2f}<extra></extra>",
    }


def _thresholds(at: Sequence[OperatingPoint], edges: Floats) -> dict[str, Any]:
    """Return the marks of a net's thresholds, on the axis."""
    marks = [(0.0, "threshold of the accuracy: 0")]
    marks += [
        (one.threshold, f"FAR {100 * one.asked:g} %{_chosen_on([one])}: {one.threshold:.3f}")
        for one in at
        if edges[0] <= one.threshold <= edges[-1]
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [threshold for threshold, _ in marks],
        "y": [0] * len(marks),
        "text": [text for _, text in marks],
        "name": "thresholds",
        "cliponaxis": False,
        "marker": {"symbol": "triangle-up", "size": 11, "color": GREY},
        "hovertemplate": "%{text}<extra></extra>",
    }


def _chosen_on(at: Sequence[OperatingPoint]) -> str:
    """Return on which pairs thresholds were chosen, to be put behind them."""
    return ", chosen on " + at[0].chosen_on if at else ""


def thinned(false: Floats, true: Floats) -> tuple[Floats, Floats]:
    """Return a ROC curve without the points within straight lines, and of many corners a part.

    Args:
        false: (G,) false-accept rates, ascending.
        true: (G,) true-accept rates, ascending.
    """
    step = np.column_stack([np.diff(false), np.diff(true)])
    turns = step[:-1, 0] * step[1:, 1] != step[:-1, 1] * step[1:, 0]
    kept = np.flatnonzero(np.concatenate([[True], turns, [True]]))
    if len(kept) > 2 * POINTS:
        last = len(kept) - 1
        few = np.geomspace(1, last, POINTS), np.linspace(0, last, POINTS)
        kept = kept[np.unique(np.concatenate(few).round().astype(int))]
    return false[kept], true[kept]


def _curve(net: TestedNet, colour: str) -> list[dict[str, Any]]:
    """Return the line of a net and the mark at its threshold."""
    judged = net.judged
    false, true = thinned(*roc(judged.score, judged.label))
    accepted, found = (rate["value"] for rate in rates_at(judged, 0.0))
    name = f"{net.name}: AUC {percent(net.test.measures['auc']['value'])} %"
    shown = {
        "name": name,
        "legendgroup": net.name,
        "hovertemplate": "%{x:.3g} % of different people accepted, %{y:.1f} % of the same"
        f"<extra>{net.name}</extra>",
    }
    line = {"mode": "lines", "line": {"color": colour, "width": 2}}
    mark = {"symbol": "diamond", "size": 10, "color": colour, "line": {"color": BEST, "width": 1}}
    return [
        {
            "x": (100 * false).round(6).tolist(),
            "y": (100 * true).round(6).tolist(),
            **line,
            **shown,
        },
        {
            "x": [round(100 * accepted, 6)],
            "y": [round(100 * found, 6)],
            "mode": "markers",
            "marker": mark,
            **shown,
            "showlegend": False,
        },
    ]


def _framed(traces: Sequence[dict[str, Any]], x: dict[str, Any]) -> dict[str, Any]:
    """Return a figure of ROC curves with its axes."""
    layout = {
        "height": 440,
        "xaxis": {"title": {"text": "different people accepted (FPR), %"}, **x},
        "yaxis": {"title": {"text": "same people accepted (TPR), %"}, "range": [0, 101]},
    }
    return {"data": [{"type": "scatter", **trace} for trace in traces], "layout": layout}
