"""The page's charts of the score against what a net costs: its points, its front, its axis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders import REFERENCE
from ranked_runs import epoch, trial, write_run

from search.report import costs
from search.report.chart import Chart, Table
from search.report.report_data import read

RAN = [{"epoch": 0, "device": "cpu", "threads": 1, "precision": "fp32", "processor": "AVX2"}]


def run_of(folder: Path, known: list[tuple[float, int, float]]) -> Path:
    """A run of trials with these accuracies, products and latencies, and one without known costs."""
    lines: list[dict[str, Any]] = []
    for number, (_, macs, latency) in enumerate(known):
        cost = {"params": 1000, "macs": macs, "latency_ms": latency}
        lines.append(trial(f"{number:04d}") | {"cost": cost, "ran": RAN})
    lines.append(trial("none"))
    scores = [*(score for score, _, _ in known), 0.99]
    rows = [
        epoch(line["trial"], at, score)
        for line, score in zip(lines, scores, strict=True)
        for at in range(3)
    ]
    run = write_run(folder, lines, rows)
    manifest = json.loads((REFERENCE / "cpu" / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest))
    return run


def charts(run: Path) -> dict[str, Any]:
    return {part.id: part for part in costs.charts(read(run))}


def test_a_chart_has_every_trial_with_a_cost_and_the_front(tmp_path: Path) -> None:
    known = [(0.9, 4 * 10**9, 40.0), (0.8, 10**9, 12.0), (0.7, 10**9, 8.0), (0.6, 7 * 10**6, 1.0)]
    found = charts(run_of(tmp_path / "run", known))
    assert list(found) == ["cost-params", "cost-macs", "cost-latency-ms", "front"]
    trials, front = found["cost-macs"].figure["data"]
    assert trials["y"] == [90.0, 80.0, 70.0, 60.0] and trials["x"][0] == 4e9
    assert (front["x"], front["y"]) == ([7e6, 1e9, 4e9], [60.0, 80.0, 90.0])
    assert front["customdata"][0] == "trial 0003: macs 7 M"
    # Equal nets, 12 and 8 ms, have the median: the worse one of them is on no front.
    _, quick = found["cost-latency-ms"].figure["data"]
    assert (quick["x"], quick["y"]) == ([1.0, 10.0, 40.0], [60.0, 80.0, 90.0])
    assert found["cost-latency-ms"].note == (
        "4 trials. Equal nets count with the median of their latencies."
    )
    table = found["front"]
    assert isinstance(table, Table)
    assert [row[table.headers.index("gives up")] for row in table.rows] == [None, "10.0", "30.0"]


def test_an_axis_has_round_numbers_in_the_tables_words(tmp_path: Path) -> None:
    known = [(0.9, 4 * 10**9, 40.0), (0.5, 7 * 10**6, 10.0)]
    found = charts(run_of(tmp_path / "run", known))
    axis = found["cost-macs"].figure["layout"]["xaxis"]
    assert axis["type"] == "log"
    assert axis["ticktext"] == ["10 M", "30 M", "100 M", "300 M", "1 G", "3 G"]
    assert axis["title"]["text"] == "multiply-accumulates of one pair"
    near = found["cost-latency-ms"].figure["layout"]["xaxis"]  # within a factor of five: linear
    assert "type" not in near and "tickvals" not in near and near["exponentformat"] == "none"


def test_a_latency_of_seconds_is_in_milliseconds_on_axes_and_points(tmp_path: Path) -> None:
    known = [(0.9, 10**9, 12345.6), (0.8, 10**8, 1197.3)]
    figure = charts(run_of(tmp_path / "run", known))["cost-latency-ms"].figure
    axis = figure["layout"]["xaxis"]
    assert axis["ticktext"] == ["1,000 ms", "2,000 ms", "5,000 ms", "10,000 ms"]
    assert figure["data"][0]["customdata"] == [
        "trial 0000: latency_ms 12,346 ms",
        "trial 0001: latency_ms 1,197 ms",
    ]
    one = charts(run_of(tmp_path / "one", known[1:]))["cost-latency-ms"].figure
    assert one["layout"]["xaxis"]["ticktext"] == ["1,197 ms"]


def test_nets_of_one_size_have_one_tick_in_the_tables_words(tmp_path: Path) -> None:
    found = charts(run_of(tmp_path / "run", [(0.9, 4 * 10**9, 40.0), (0.5, 7 * 10**6, 10.0)]))
    axis = found["cost-params"].figure["layout"]["xaxis"]
    assert (axis["tickvals"], axis["ticktext"]) == ([1000.0], ["1 k"])


@pytest.mark.parametrize(
    ("least", "most", "ticks"),
    [(7.0, 195.0, [5, 10, 20, 50, 100, 200]), (1.0, 1e9, [10.0**n for n in range(10)])],
)
def test_ticks_of_a_logarithmic_axis(least: float, most: float, ticks: list[float]) -> None:
    assert costs._ticks(least, most) == ticks


def test_a_run_without_costs_has_no_section(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [])
    assert costs.charts(read(run)) == [] and costs.markdown(read(run)) == ""
    one = charts(run_of(tmp_path / "one", [(0.9, 10, 1.0)]))  # a single trial is its front
    chart = one["cost-macs"]
    assert isinstance(chart, Chart) and chart.figure["data"][1]["y"] == [90.0]
