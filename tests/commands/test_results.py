"""The results command: what it prints, and what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from builders import REFERENCE
from ranked_runs import epoch, three_trials, trial, write_run

from search import results
from search.results import load
from search.runs.journal_writer import Journal


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return three_trials(tmp_path)


@pytest.mark.parametrize("name", ["code2-row-A", "code2-rows-AJK"])
def test_runs_of_before_the_decisions_had_numbers_still_load(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trials, epochs = load(REFERENCE / name)
    assert trials["trial"].iloc[0] == "A" and not trials["control"].any()
    assert trials[["stop_epoch", "stop_rung", "stop_value", "stop_peers"]].isna().all(axis=None)
    assert epochs["updates"].isna().all() and epochs["trunk_grad_max"].isna().all()
    assert str(epochs["updates"].dtype) == "Int64" and len(epochs) in (10, 12)
    assert results.main([str(REFERENCE / name)]) == 0
    assert "decisions" not in capsys.readouterr().out  # no rule stopped any of them


def test_command_prints_the_table(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results.main([str(run), "--csv", str(run / "mine.csv"), "--top", "2"]) == 0
    said = capsys.readouterr()
    assert "82.0 [80.3, 83.6]" in said.out and said.err == f"wrote {run / 'mine.csv'}\n"
    assert len(pd.read_csv(run / "mine.csv")) == 2


def test_command_prints_what_the_rules_did_under_the_table(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert results.main([str(run), "--top", "1"]) == 0
    above, below = capsys.readouterr().out.rstrip("\n").split("\n\n")
    assert "82.0 [80.3, 83.6]" in above
    # 0003 was stopped after one of its three epochs
    assert below.splitlines()[-2].split() == ["dead", "1", "1", "0", "–", "–", "2", "0"]
    assert below.endswith("\nno control group: the rate of false stops is not known")


def test_command_tells_why(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results.main([str(run), "--why", "0003"]) == 0
    assert capsys.readouterr().out.startswith("trial 0003: stopped\n")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("0009", "no trial 0009; its 3 trials are 0001 to 0003"),
        ("2", "no trial 2; did you mean 0002?"),
        ("best", "no trial best; its 3 trials are 0001 to 0003"),
    ],
)
def test_why_of_an_unknown_trial_names_the_nearest(
    run: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert results.main([str(run), "--why", name]) == 2
    assert capsys.readouterr() == ("", f"{run}: {said}\n")


@pytest.mark.parametrize("more", [["--json"], ["--top", "1"], ["--csv", "x.csv"]])
def test_why_stands_alone(run: Path, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        results.main([str(run), "--why", "0001", *more])
    assert stopped.value.code == 2
    assert "--why tells of one trial: leave out --top, --csv" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--json"], ["--top", "1"], ["--csv", "x"], ["--why", "1"]])
def test_repair_stands_alone(
    run: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        results.main([str(run), "--repair", *more])
    assert stopped.value.code == 2 and "--repair stands alone" in capsys.readouterr().err


def test_a_run_behind_a_url_is_not_repaired(capsys: pytest.CaptureFixture[str]) -> None:
    assert results.main(["s3://bucket/run", "--repair"]) == 2
    assert capsys.readouterr() == (
        "",
        "s3://bucket/run: --repair needs a local folder; copy the run to this machine\n",
    )


def test_json_is_valid_and_has_no_nan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(
        tmp_path / "r",
        [trial("0001"), trial("0002", "failed", stop_reason="memory")],
        [epoch("0001", 0, 0.6), epoch("0001", 1, math.nan), epoch("0001", 2, 0.5)],
    )
    assert results.main([str(run), "--json"]) == 0

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    records = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert [record["rank"] for record in records] == [1, None]
    assert records[0]["val_acc"] == 0.6 and records[1]["val_acc"] is None
    assert records[1]["stop_reason"] == "memory"


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--csv", "x.csv"]])
def test_a_missing_run_is_one_sentence_and_exit_2(
    run: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert results.main([str(run.parent / "code3"), *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"{run.parent / 'code3'}: no such run folder; did you mean {run}?\n"


@pytest.mark.parametrize("given", ["demo-2", "demo", "dem0-2"])
def test_a_bare_name_leads_to_the_run_in_the_default_folder(
    tmp_path: Path,
    given: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("demo-1", "demo-2"):
        write_run(tmp_path / "ray_results" / name, [trial("0001", "running")], [])
    monkeypatch.chdir(tmp_path)
    assert results.main([given]) == 2
    said = f"{given}: no such run folder; did you mean ray_results/demo-2?\n"
    assert capsys.readouterr().err == said


def test_no_epoch_yet_is_said_but_failures_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "r", [trial("0001", "running"), trial("0002", "running")], [])
    assert results.main([str(run)]) == 2
    assert capsys.readouterr().err.endswith("no epoch has finished yet (trials: 2 running)\n")
    write_run(run, [trial("0001", "failed", stop_reason="out of memory")], [])
    assert results.main([str(run)]) == 0
    assert "out of memory" in capsys.readouterr().out


def test_a_run_whose_first_trial_has_not_started_is_said_to_be_one(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "manifest.json").write_text("{}")
    (run / "trials.jsonl").unlink()
    (run / "epochs.jsonl").unlink()
    assert results.main([str(run)]) == 2
    assert capsys.readouterr().err == f"{run}: no trial has started yet\n"


@pytest.mark.parametrize("top", ["0", "-1", "many", "1.5"])
def test_top_must_count(run: Path, top: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        results.main([str(run), "--top", top])
    assert stopped.value.code == 2
    assert "must be a whole number" in capsys.readouterr().err


def test_a_csv_that_cannot_be_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results.main([str(run), "--csv", str(run / "none" / "x.csv")]) == 2
    assert "x.csv: cannot be written" in capsys.readouterr().err


def test_why_shows_the_end_of_a_failed_trials_log_and_where_a_trial_was_taken_from(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(run)
    journal.trial("0003", "failed", log=["Fatal Python error", "  File x.py, line 1"])
    journal.trial("0001", "done", reused="ray_results/old/0007")
    assert results.main([str(run), "--why", "0003"]) == 0
    said = capsys.readouterr().out
    assert said.endswith("its log ended with\n    Fatal Python error\n      File x.py, line 1\n")
    assert results.main([str(run), "--why", "0001"]) == 0
    assert "taken from   ray_results/old/0007" in capsys.readouterr().out
