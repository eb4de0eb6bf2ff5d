"""The page's charts of a search over time: the best so far, and what each worker ran when."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from search.analysis.formatting import counted
from search.report.chart import Chart, text
from search.report.measures import Measure
from search.report.periods import Clock, Period
from search.report.report_data import Run
from search.report.style import GREY, RANKED, TRAIN, VAL
from search.report.trial_rows import ends
from search.runs.journal import read_events
from search.runs.line_format import EPOCHS

FAILED = "#c2387a"
Bars = dict[str, dict[str, list[Any]]]
"""The bars of a timeline by how they end: their lanes, starts, lengths and texts."""


def best_so_far(run: Run, measure: Measure, ran: Sequence[Period]) -> list[Chart]:
    """Return the best score so far against the epochs that were run, and against hours."""
    scores: list[tuple[float, str, int, float]] = []
    clock = Clock(ran)
    when = {
        (one.trial, line["epoch"]): clock.at(time)
        for one in ran
        for line, time in zip(one.epochs, one.times(), strict=True)
    }
    seen = 0
    for name, line in read_events(run.folder):
        if name == EPOCHS:
            seen += 1
            scores.append((seen, line["trial"], line["epoch"], measure.of(line)))
    charts = [_best("best-epochs", "epochs run, all trials together", scores, measure, run)]
    by_hour = sorted((when[one[1:3]], *one[1:]) for one in scores if one[1:3] in when)
    if by_hour:
        title = f"{clock.unit} in which a trial ran"
        charts.append(_best("best-hours", title, by_hour, measure, run))
    return [chart for chart in charts if chart.figure["data"]]


def timeline(run: Run, ran: Sequence[Period]) -> Chart | None:
    """Return what each worker ran when, with what each stop saved; None without such a record."""
    if not ran:
        return None
    clock, lanes = Clock(ran), _lanes(ran)
    ended = ends(run.trials)
    rules = sorted({end for end in ended.values() if end not in COLOURS})
    order = sorted(set(lanes))
    bars, saved = _bars(run, ran, lanes, clock, ended)
    note = f"{counted(len(order), 'worker')}; a bar is a trial, times in which nothing ran are "
    note += "left out."
    if saved:
        note += (
            f" The thin bars are the epochs that a stopped trial had left, at its own speed: "
            f"{saved / clock.seconds:.3g} {clock.unit} of a worker in all."
        )
    layout = {
        "height": 150 + 42 * min(len(order), 12) + 14 * max(0, len(order) - 12),
        "barmode": "overlay",
        "xaxis": {"title": {"text": f"{clock.unit} in which a trial ran"}, "rangemode": "tozero"},
        "yaxis": {"categoryorder": "array", "categoryarray": order[::-1], "type": "category"},
    }
    figure = {"data": _traces(bars, rules), "layout": layout}
    return Chart("timeline", "Workers", figure, note)


def _bars(
    run: Run, ran: Sequence[Period], lanes: Sequence[str], clock: Clock, ended: Mapping[str, str]
) -> tuple[Bars, float]:
    """Return a bar for each period, and one for what each stop saved; the seconds of those."""
    last = {one.trial: place for place, one in enumerate(ran)}
    bars: Bars = {}
    saved = 0.0
    for place, (one, lane) in enumerate(zip(ran, lanes, strict=True)):
        final = last[one.trial] == place
        end = ended[one.trial] if final else "interrupted"
        start, until = clock.at(one.start), clock.at(one.end)
        said = f"trial {text(one.trial)}, {text(end)}<br>{counted(len(one.epochs), 'epoch')}"
        said += f", {until - start:.3g} {clock.unit}"
        _bar(bars, end, lane, start, until - start, said)
        if final and end not in COLOURS:  # a rule stopped it
            epochs, seconds = _saved(run, one)
            saved += seconds
            hours = seconds / clock.seconds
            said += f"<br>saved {counted(epochs, 'epoch')}, about {hours:.3g} {clock.unit}"
            _bar(bars, "saved", lane, until, hours, said)
    return bars, saved


def _traces(bars: Bars, rules: Sequence[str]) -> list[dict[str, Any]]:
    """Return the bars as plotly takes them, a trace for each kind of end."""
    names = {
        "saved": "what the stop saved",
        **{rule: f"stopped by {text(rule)}" for rule in rules},
    }
    palette = dict(zip(rules, [VAL, *RANKED[3:], GREY] * len(rules), strict=False))
    colours = COLOURS | palette
    return [
        {
            "type": "bar",
            "orientation": "h",
            "name": names.get(end, text(end)),
            "hovertemplate": "%{customdata}<extra></extra>",
            "width": 0.18 if end == "saved" else 0.55,
            "offset": 0.3 if end == "saved" else -0.3,
            "marker": {"color": colours[end], "opacity": 0.55 if end == "saved" else 1}
            | {"line": {"width": 0.5, "color": GREY}}
            # The grey of an interrupted trial, so it is hatched.
            | ({"pattern": {"shape": "/", "size": 5}} if end == "saved" else {}),
            **bars[end],
        }
        for end in sorted(bars, key=lambda end: (end == "saved", end in rules, end))
    ]


COLOURS = {
    "done": TRAIN,
    "running": RANKED[2],
    "pending": RANKED[2],
    "paused": RANKED[2],
    "failed": FAILED,
    "interrupted": GREY,
    "saved": GREY,
}


def _best(
    ident: str,
    title: str,
    scores: Sequence[tuple[float, str, int, float]],
    measure: Measure,
    run: Run,
) -> Chart:
    best, steps = math.nan, []
    each: dict[str, tuple[float, float, str]] = {}
    better = max if run.searched.objective.maximizes else min
    for x, trial, epoch, score in scores:
        if math.isnan(score):
            continue
        now = score if math.isnan(best) else better(best, score)
        said = f"trial {text(trial)}, epoch {epoch}"
        if now != best:
            steps.append((x, now, said))
            best = now
        if trial not in each or better(each[trial][1], score) != each[trial][1]:
            each[trial] = (x, score, said)
    data = []
    if steps:
        steps.append((scores[-1][0], best, steps[-1][2]))
        data = [
            _points(list(each.values()), "best of a trial", "markers", GREY, measure),
            _points(steps, "best so far", "lines+markers", VAL, measure),
        ]
    layout = {
        "height": 320,
        "xaxis": {"title": {"text": title}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": measure.label}},
    }
    against = "epochs" if ident == "best-epochs" else "time"
    figure = {"data": data, "layout": layout}
    return Chart(ident, f"Best so far against {against}", figure, half=True)


def _points(
    points: Sequence[tuple[float, float, str]], name: str, mode: str, colour: str, measure: Measure
) -> Mapping[str, Any]:
    return {
        "type": "scatter",
        "mode": mode,
        "name": name,
        "x": [round(x, 4) for x, _, _ in points],
        "y": [round(y, 5) for _, y, _ in points],
        "customdata": [said for _, _, said in points],
        "hovertemplate": f"%{{customdata}}: %{{y:.4~g}}{measure.unit}<extra></extra>",
        "line": {"shape": "hv", "width": 2, "color": colour},
        "marker": {"size": 5, "color": colour},
    }


def _lanes(ran: Sequence[Period]) -> list[str]:
    """Return the worker of each period: of a machine's workers the first that was free."""
    known = {one.machine for one in ran if one.machine}
    only = next(iter(known)) if len(known) == 1 else ""  # where one has no note, it is that
    free: dict[str, list[float]] = {}
    found = []
    for one in ran:
        machine = one.machine or only
        ends_of = free.setdefault(machine, [])
        slot = next((i for i, end in enumerate(ends_of) if end <= one.start + 1), len(ends_of))
        if slot == len(ends_of):
            ends_of.append(one.end)
        ends_of[slot] = one.end
        found.append((machine, slot))
    several = len(free) > 1
    width = len(str(max(slot for _, slot in found) + 1))
    return [
        f"{text(machine or 'unknown')} {slot + 1:0{width}d}"
        if several
        else f"worker {slot + 1:0{width}d}"
        for machine, slot in found
    ]


def _bar(
    bars: Bars,
    end: str,
    lane: str,
    start: float,
    hours: float,
    said: str,
) -> None:
    bar = bars.setdefault(end, {"y": [], "base": [], "x": [], "customdata": []})
    for key, value in (
        ("y", lane),
        ("base", round(start, 4)),
        ("x", round(hours, 4)),
        ("customdata", said),
    ):
        bar[key].append(value)


def _saved(run: Run, one: Period) -> tuple[int, float]:
    """Return the epochs that a stopped trial had left, and their seconds at its mean speed."""
    curve = run.curve(one.trial)
    left = max(0, run.configs[one.trial].epochs - len(curve))
    seconds = float(curve["seconds"].mean()) if len(curve) else 0.0
    return left, left * (0.0 if math.isnan(seconds) else seconds)
