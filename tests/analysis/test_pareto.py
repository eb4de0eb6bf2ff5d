"""The front of accuracy against cost: which trials are on it, and what each gives up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ranked_runs import epoch, trial, write_run

from facesiam.objective import Objective
from search import results
from search.analysis import pareto
from search.api import load
from search.api.wording import OptionError
from search.report import trial_rows
from search.report.report_data import read, settings_frame
from search.runs.layout import RunError

RAN = [{"epoch": 0, "device": "cpu", "threads": 1, "precision": "fp32", "processor": "AVX2"}]


def cost(params: int, macs: int, latency_ms: float) -> dict[str, Any]:
    return {"cost": {"params": params, "macs": macs, "latency_ms": latency_ms}, "ran": RAN}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """0001 is best and dear; 0002 gives up a point for a quarter; 0003 is worse than it and no
    cheaper; 0004 is cheapest, and guesses; 0005 is cheap and learned; of 0006 nothing is known."""
    given = {
        "0001": (0.90, cost(8_000_000, 4_000_000_000, 40.0), {}),
        "0002": (0.89, cost(2_000_000, 1_000_000_000, 10.0), {}),
        "0003": (0.88, cost(2_000_000, 1_000_000_000, 9.0), {"lr": 1e-3}),
        "0004": (0.50, cost(1_000, 5_000, 0.1), {"stop_rule": "chance", "stop_reason": "guesses"}),
        "0005": (0.70, cost(900_000, 2_000_000_000, 5.0), {"augment": True}),
        "0006": (0.95, {}, {}),
    }
    lines = [
        trial(name, "stopped" if "stop_rule" in more else "done", **more) | known
        for name, (_, known, more) in given.items()
    ]
    rows = [epoch(name, at, score) for name, (score, _, _) in given.items() for at in range(3)]
    return write_run(tmp_path / "run", lines, rows)


def on(trials: pd.DataFrame, *costs: str) -> list[str]:
    found = pareto.on_front(trials, Objective(), costs)
    return sorted(trials["trial"][found.fillna(False).astype(bool)])


def test_the_front_has_what_no_trial_beats_in_score_and_every_cost(run: Path) -> None:
    trials, _ = results.load(run)
    assert on(trials, "params", "macs", "latency_ms") == ["0001", "0002", "0005"]
    assert on(trials, "params") == ["0001", "0002", "0005"]
    # 0002 and 0003 are the same net: their latencies count as 9.5 ms, so 0003 is beaten.
    assert on(trials, "macs") == ["0001", "0002"]
    assert on(trials, "latency_ms") == ["0001", "0002", "0005"]
    known = trials.set_index("trial")["on_front"]
    assert known["0001"] and not known["0004"] and known.isna().tolist() == [True] + 5 * [False]
    assert trials["params"].dtype == "Int64" and trials["latency_ms"].dtype == "float64"
    by = trials.set_index("trial")
    assert by.loc["0002", ["params", "macs", "latency_ms"]].tolist() == [2e6, 1e9, 10.0]


def test_every_table_has_the_latency_that_counts(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The median over equal nets: the ranked trials had each trial's own, and the front this."""
    assert results.main([str(run), "--pareto", "latency_ms"]) == 0
    said = capsys.readouterr().out
    of = [[word for word in line.split() if word in ("9", "9.5", "10")] for line in rows_of(said)]
    assert of == [["9.5"], ["9.5"], ["9.5"]]  # 0002 and 0003 of the ranked trials; 0002, the front
    (run / "manifest.json").write_text(json.dumps({"name": "run"}))
    kept = read(run)
    page = trial_rows.html(kept, settings_frame(kept))
    assert (page.count(">9.5<"), page.count(">10<"), page.count(">9<")) == (2, 0, 0)
    assert kept.trials["latency_ms"].dropna().tolist() == [
        40.0,
        10.0,
        9.0,
        5.0,
        0.1,
    ]  # as measured


def rows_of(said: str) -> list[str]:
    """Return the lines of the two equal nets."""
    return [line for line in said.split("\n") if {"0002", "0003"} & set(line.split())]


def test_equal_trials_are_both_on_the_front_and_less_can_be_better() -> None:
    frame = pd.DataFrame(
        {
            "learned": True,
            "ran_with": "x",
            "val_loss": [0.3, 0.3, 0.2, 0.4],
            "params": [10, 10, 20, 15],
            "macs": [1, 1, 1, 1],
        }
    )
    found = pareto.on_front(frame, Objective("val_loss", "min"), ["params"])
    assert found.tolist() == [True, True, True, False]


def test_a_trial_that_never_was_better_than_a_guess_is_not_on_the_front(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `prune: false` no rule stops 0004 and 0007, which cost least and guess.

    0008, which a rule would have stopped at chance, ran on as a control and has learned since.
    """
    kept = ("0001", "0002", "0003", "0005", "0006")
    lines = [line for line in trials_of(run) if line["trial"] in kept]
    spared = {"stop_rule": "chance", "stop_reason": "guesses", "control": True}
    lines += [
        trial("0004") | cost(1_000, 5_000, 0.1),
        trial("0007") | cost(2_000, 6_000, 0.2),
        trial("0008", **spared) | cost(3_000, 7_000, 0.3),
        trial("0009", "failed"),
    ]
    scores = {"0001": 0.9, "0002": 0.89, "0003": 0.88, "0005": 0.7, "0006": 0.95}
    scores |= {"0004": 0.52, "0007": 0.525, "0008": 0.56}
    rows = [epoch(name, at, score) for name, score in scores.items() for at in range(3)]
    unpruned = write_run(run.parent / "unpruned", lines, rows)
    trials, _ = results.load(unpruned)
    learned = trials.set_index("trial")["learned"]
    assert learned.index[learned.eq(False).fillna(False)].tolist() == ["0007", "0004"]
    assert pd.isna(learned["0009"])  # it has no epoch
    assert on(trials, "params") == ["0001", "0002", "0005", "0008"]
    assert results.main([str(unpruned), "--pareto", "params"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "has 4 of 9 trials: no other is as good and as cheap. Left out: 2 trials that" in shown


def test_a_front_of_nothing_learned_is_empty_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [trial("0001") | cost(1_000, 5_000, 0.1)]
    run = write_run(tmp_path / "run", lines, [epoch("0001", at, 0.5) for at in range(3)])
    assert results.main([str(run), "--pareto"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "has 0 of 1 trial: no other is as good and as cheap. Left out: 1 trial that" in shown


def test_only_of_a_trial_that_has_ended_it_is_known_that_it_learned_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A front leaves out those at chance so far too, and says that they may yet learn."""
    waits = {"stop_reason": "paused at the rung of 3 epochs"}
    lines = [trial("0001"), trial("0002"), trial("0003", "running")]
    lines += [
        trial("0004", "pending", **waits),
        trial("0005", "running"),
        trial("0006", "stopped"),
    ]
    scores = {"0001": 0.9, "0002": 0.5, "0003": 0.5, "0004": 0.51, "0006": 0.5}
    rows = [epoch(name, at, score) for name, score in scores.items() for at in range(3)]
    run = write_run(tmp_path / "run", [line | cost(1_000, 5_000, 0.1) for line in lines], rows)
    trials, _ = results.load(run)
    assert trials.set_index("trial")["status"]["0004"] == "paused"
    assert results.main([str(run), "--pareto", "params"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "has 1 of 6 trials: no other is as good and as cheap. Left out: 2 trials that learned "
        "nothing, and 2 unfinished trials that learned nothing so far. In brackets"
    ) in shown


def trials_of(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's trials."""
    return [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]


def test_each_says_what_it_gives_up_and_its_part_of_the_cost(run: Path) -> None:
    front = load(run).pareto("params", "latency_ms")
    assert front["trial"].tolist() == ["0001", "0002", "0005"]
    assert front["gives_up"].round(9).tolist() == [0.0, 0.01, 0.2]
    assert front["params_share"].tolist() == [1.0, 0.25, 0.1125]
    assert front["latency_ms"].tolist() == [40.0, 9.5, 5.0]
    assert "macs_share" not in front
    with pytest.raises(OptionError, match="'param' is no cost; did you mean params?"):
        load(run).pareto("param")


def test_the_command_marks_the_front_and_shows_it(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert results.main([str(run), "--pareto", "params"]) == 0
    ranked, front = capsys.readouterr().out.split("\n\n")[:2]
    marked = {line.split()[1]: " * " in line for line in ranked.splitlines() if " done " in line}
    assert marked == {"0001": True, "0002": True, "0003": False, "0005": True, "0006": False}
    assert "* on the front of val_acc against params" in ranked
    assert "The front of val_acc against params has 3 of 6 trials" in front.replace("\n", " ")
    lines = {line.split()[1]: line for line in front.splitlines() if line[:4].strip().isdigit()}
    assert list(lines) == ["0001", "0002", "0005"]
    assert lines["0002"].split()[-6:] == ["[87.6,", "90.3]", "1.0", "2", "M", "(0.25)"]
    assert results.main([str(run), "--pareto", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["trial"] for row in rows] == ["0001", "0002", "0005"]
    assert rows[1]["macs_share"] == 0.25 and rows[1]["on_front"] is True


def test_a_run_of_before_costs_were_measured_is_as_it_was(tmp_path: Path) -> None:
    run = write_run(tmp_path / "old", [trial("0001", "running")], [epoch("0001", 0, 0.7)])
    trials, _ = results.load(run)
    assert trials[["params", "macs", "latency_ms", "on_front"]].isna().all(axis=None)
    with pytest.raises(RunError, match="no trial has params, macs and latency_ms"):
        load(run).pareto()


def test_what_cannot_be_shown_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["--pareto", "parms"], "did you mean params?"),
        (["--pareto", "--why", "0001"], "leave out --top, --csv, --json and --pareto"),
    ):
        with pytest.raises(SystemExit) as ended:
            results.main([str(run), *words])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("params", 11_176_512, "11.2 M"),
        ("macs", 3.6e9, "3.6 G"),
        ("params", 950, "950"),
        ("params", 1197, "1.2 k"),
        ("latency_ms", 9.46, "9.46 ms"),
        ("latency_ms", 999.4, "999 ms"),
        ("latency_ms", 999.6, "1,000 ms"),
        ("latency_ms", 1197.3, "1,197 ms"),
        ("latency_ms", None, "–"),
    ],
)
def test_costs_as_people_read_them(name: str, value: float | None, shown: str) -> None:
    assert pareto.amount(name, float("nan") if value is None else value) == shown


def test_a_latency_of_seconds_is_in_milliseconds_wherever_it_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    lines = [
        trial("0001", "stopped", lr=1e-3) | cost(2_000_000, 10**9, 12345.6),
        trial("0002", "stopped", lr=1e-4) | cost(1_000_000, 10**8, 1197.3),
    ]
    rows = [epoch(name, 0, score) for name, score in (("0001", 0.9), ("0002", 0.8))]
    run = write_run(tmp_path / "run", lines, rows)
    assert results.main([str(run), "--pareto", "latency_ms"]) == 0
    said = capsys.readouterr().out
    assert said.count(" 12,346 ms ") == said.count(" 1,197 ms ") == 2  # ranked, and on the front
    (run / "manifest.json").write_text(json.dumps({"name": "run"}))
    kept = read(run)
    page = trial_rows.html(kept, settings_frame(kept))
    assert ">12346<" in page and ">1197<" in page and "e+0" not in page
