"""Two tested nets compared on the same pairs: which tests are meant, the figures, the exit code."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ranked_runs import three_trials

from search.analysis.paired_difference import interval
from search.compare import main

FIGURE = {"value": 0.5, "low": 0.4, "high": 0.6}
N = 200
SAME = [number % 2 == 0 for number in range(N)]


def leave_test(
    folder: Path,
    wrong: Sequence[int],
    *,
    protocol: str = "",
    seed: int = 0,
    data: str = "key",
    **settings: Any,
) -> Path:
    """Leave a test of 200 pairs in a folder, of which these are judged wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {name: FIGURE for name in ("auc", "eer")}
    figures |= {"accuracy": FIGURE | {"n": N}}
    figures |= {"seed": seed, "epoch": 1, "data": data, "config": {"pair_seed": 0} | settings}
    figures["protocol"] = protocol or "frontal-triplets"
    if folder.parent.name.startswith("ensemble-"):
        figures |= {"members": ["0002", "0001"]}
    suffix = f"-{protocol}" if protocol else ""
    (folder / f"test{suffix}.json").write_text(json.dumps(figures))
    rows = [
        (f"{number:03}.jpg", f"{number + 1:03}.jpg", int(same), -2.0 if same == bad else 2.0)
        for number, same in enumerate(SAME)
        for bad in [number in wrong]
    ]
    return written(folder / f"scores{suffix}.csv", rows)


def written(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("left", "right", "same_person", "log_odds"))
        writer.writerows(rows)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose best trial 0002 has 40 of 200 pairs wrong with two seeds; 0001 has 20 others."""
    folder = three_trials(tmp_path)
    leave_test(folder / "retrain" / "0002" / "seed-10", range(50), seed=10)
    leave_test(folder / "retrain" / "0002" / "seed-2", range(40), seed=2)
    leave_test(folder / "retrain" / "0001" / "seed-2", range(20, 60), seed=2)
    leave_test(folder / "retrain" / "0001" / "seed-10", range(30, 80), seed=10)
    leave_test(folder / "retrain" / "ensemble-2" / "seed-0", range(10))
    return folder


def record(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([*map(str, arguments)]) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.count("\n") == 1
    return said.err


def test_the_figures_of_two_nets(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A has 0 to 39 wrong, B 20 to 59."""
    found = record(capsys, run, run, "--trial-b", "0001")
    low, high = interval(20, 20, N)
    assert found == {
        "a": {
            "name": f"{run}, 0002, seed 2",
            "scores": str(run / "retrain" / "0002" / "seed-2" / "scores.csv"),
            "accuracy": 0.8,
            "threshold": "equal logits",
        },
        "b": {
            "name": f"{run}, 0001, seed 2",
            "scores": str(run / "retrain" / "0001" / "seed-2" / "scores.csv"),
            "accuracy": 0.8,
            "threshold": "equal logits",
        },
        "protocol": "frontal-triplets",
        "data": "key",
        "n": 200,
        "only_a": 20,
        "only_b": 20,
        "difference": {"value": 0.0, "low": low, "high": high},
        "p": 1.0,
        "fail_if_worse": None,
        "worse": None,
    }
    assert main([str(run), str(run), "--trial-b", "ensemble-2"]) == 0
    said = capsys.readouterr().out.splitlines()
    # 30 pairs that only B has right: p = 2 / 2**30, and 30 / 200 more with 0.5 % to either side.
    assert said == [
        f"A, the baseline:   {run}, 0002, seed 2: 80.0 [73.9, 85.0] %",
        f"B, the candidate:  {run}, ensemble-2: 95.0 [91.0, 97.3] %",
        "B - A:             +15.0 points [+9.8, +19.9], of the same 200 test pairs of "
        "frontal-triplets, each once",
        "0 pairs that only A has right, 30 that only B has; exact McNemar p 1.9e-09",
        "threshold of A: where the net's two logits are equal, which no pairs chose",
        "threshold of B: where most validation pairs of frontal-triplets are judged right",
        "two nets, not two settings: both have the seeds 2, 10 (--seed)",
    ]


def test_a_line_that_a_terminal_has_no_room_for_goes_on_below_its_value(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(run.parent)
    assert main([run.name, run.name, "--trial-b", "ensemble-2"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[2:4] == [
        "B - A:             +15.0 points [+9.8, +19.9], of the same 200 test pairs of",
        "                   frontal-triplets, each once",
    ]


def test_which_seed_is_meant(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, run, run, "--trial-b", "0001", "--seed", "10")
    assert (found["only_a"], found["only_b"]) == (30, 30)
    place = run / "retrain" / "0002"
    found = record(capsys, place / "seed-10", place / "seed-2")  # two seeds of one trial
    assert (found["only_a"], found["only_b"], found["a"]["name"]) == (
        0,
        10,
        str(place / "seed-10"),
    )
    found = record(capsys, place, place / "seed-10" / "scores.csv", "--seed", "2")
    assert (found["only_a"], found["a"]["name"]) == (10, f"{place}, seed 2")
    said = refused(capsys, run, run, "--trial-b", "0001", "--seed", "5")
    command = f"python -m search.retrain {run} --trial 0002 --seed 5"
    assert said == f"{run}, 0002: not tested with seed 5; `{command}` tests it\n"
    leave_test(run / "retrain" / "0003" / "seed-7", [], seed=7)
    said = refused(capsys, run, run, "--trial-b", "0003")
    command = f"python -m search.retrain {run} --trial 0003 --seed 2"
    assert said == (
        f"{run}, 0002 is tested with seed 2, 10, {run}, 0003 with seed 7; `{command}` tests B as A "
        "is\n"
    )


def test_which_protocol_is_meant(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (run / "retrain" / trial / "seed-2" for trial in ("0002", "0001"))
    for folder, wrong in ((a, range(5)), (b, range(4))):
        leave_test(folder, wrong, protocol="cfp-pairs", seed=2)
    arguments = [run, run, "--trial-b", "0001"]
    assert record(capsys, *arguments)["protocol"] == "frontal-triplets"  # A's own
    found = record(capsys, *arguments, "--protocol", "cfp-pairs")
    assert (found["protocol"], found["only_a"], found["only_b"]) == ("cfp-pairs", 0, 1)
    for file in (a / "scores.csv", a / "test.json"):
        file.unlink()
    (run / "retrain" / "0002" / "seed-10" / "test.json").unlink()
    assert record(capsys, *arguments)["protocol"] == "cfp-pairs"  # the only one of both
    (b / "test-cfp-pairs.json").unlink()
    said = refused(capsys, *arguments)
    command = f"python -m search.retrain {run} --trial 0001 --protocol cfp-pairs"
    assert said == (
        f"{run}, 0002 is tested on cfp-pairs, {run}, 0001 on frontal-triplets; `{command}` tests B "
        "as A is\n"
    )
    said = refused(capsys, *arguments, "--protocol", "dataset-pairs")
    assert said.startswith(f"{run}, 0002: not tested on dataset-pairs; `python -m search.retrain")
    assert "fold-01/scores-FF.csv" in refused(capsys, *arguments, "--protocol", "cfp-10fold")


def test_pairs_of_the_same_two_pictures_count_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In any order of the lines and of the two, with the mean of their scores."""
    a = written(
        tmp_path / "a.csv",
        [
            ("1", "2", 1, -1.0),
            ("3", "4", 0, -1),
            ("2", "1", 1, 3.0),
            ("5", "6", 0, 1),
            ("7", "8", 1, ""),
            ("8", "7", 1, 5.0),
            ("a", "b", 1, -1.0),
            ("a", "b", 1, 1.5),
        ],
    )
    b = written(
        tmp_path / "b.csv",
        [("8", "7", 1, 1), ("4", "3", 0, 1), ("5", "6", 0, 0), ("1", "2", 1, 1), ("b", "a", 1, 1)],
    )
    found = record(capsys, a, b)
    assert (found["n"], found["only_a"], found["only_b"]) == (5, 1, 2)
    assert (found["a"]["accuracy"], found["b"]["accuracy"]) == (0.6, 0.8)  # no score is wrong
    assert (found["protocol"], found["data"]) == (None, None)
    assert main([str(a), str(b)]) == 0
    folded = "".join(capsys.readouterr().out.split())
    assert "".join(f"which data {a} was tested on is not known".split()) in folded
    both = written(tmp_path / "both.csv", [("1", "2", 1, 3.0), ("2", "1", 0, 3.0)])
    assert (
        refused(capsys, a, both) == f"{both}: 1 and 2 are of the same person and of two people\n"
    )
    assert (
        refused(capsys, a, written(tmp_path / "no.csv", []))
        == f"{tmp_path}/no.csv: has no pairs\n"
    )


@pytest.mark.parametrize(
    ("lost", "points", "code"),
    [
        (0, "0", 0),
        (6, "0", 1),  # p 0.03
        (5, "0", 0),  # p 0.06
        (60, "20", 1),  # -30 points, at most -23.2
        (60, "23.2", 1),
        (60, "23.3", 0),
    ],
)
def test_a_candidate_that_is_worse_ends_with_1(
    lost: int, points: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = leave_test(tmp_path / "a", range(10)), leave_test(tmp_path / "b", range(10 + lost))
    assert main([str(a), str(b), "--fail-if-worse", points]) == code
    said = capsys.readouterr()
    more = "" if points == "0" else f" by more than {points} points"
    assert ("B is worse than A" + more in said.err) == bool(code)
    assert (f"B is not shown to be worse than A{more}: " in said.err) == (not code)
    assert main([str(b), str(a), "--fail-if-worse", points]) == 0  # the better one as candidate
    capsys.readouterr()
    assert main([str(a), str(b), "--json", "--fail-if-worse", points]) == code
    found = json.loads(capsys.readouterr().out)
    assert (found["fail_if_worse"], found["worse"]) == (float(points), bool(code))
    if points == "0":
        assert main([str(a), str(b), "--fail-if-worse"]) == code


def test_what_cannot_be_compared_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = run / "retrain" / "0002" / "seed-2"
    other = leave_test(tmp_path / "other", range(9), data="another", seed=2)
    assert "are tested on other data (content key and another)" in refused(capsys, run, other)
    other = leave_test(tmp_path / "other", range(9), pair_seed=3, seed=2)
    lines = other.read_text().splitlines()
    other.write_text("\n".join([*lines[:-3], "x,y,1,2.0"]))
    assert refused(capsys, run, other) == (
        f"{best / 'scores.csv'} and {other} are not of the same pairs: 3 of 200 are A's alone, 1 of "
        "198 B's (pair_seed 0 and 3); tests of both by search.retrain with the same --protocol are "
        "needed\n"
    )
    other.write_text("\n".join([lines[0], *(line.replace(",0,", ",1,") for line in lines[1:])]))
    assert "they do not agree on who is the same person" in refused(capsys, run, other)
    assert f"{run}, 0002, seed 2: both are this test; --trial-a" in refused(capsys, run, run)
    assert refused(capsys, run, best, "--trial-b", "0001").startswith(
        "--trial-b is of a run folder"
    )
    assert refused(capsys, run, run, "--trial-b", "0003") == (
        f"{run}: 0003 has not been tested; `python -m search.retrain {run} --trial 0003` tests it; "
        "tested are 0001, 0002, ensemble-2 (--trial-b)\n"
    )
    assert f"`python -m search.retrain {run} --ensemble 3` tests it" in refused(
        capsys, run, run, "--trial-b", "ensemble-3"
    )
    assert "no trial 0009; its 3 trials are 0001 to 0003" in refused(
        capsys, run, run, "--trial-b", "0009"
    )
    near = f"no such run folder; did you mean {tmp_path / 'code2'}?"
    assert near in refused(capsys, tmp_path / "code3", run)
    figures = best / "test.json"
    assert f"holds figures, not scores; name {best / 'scores.csv'}" in refused(
        capsys, figures, run
    )
    (best / "scores.csv").unlink()
    assert f"{best / 'scores.csv'}: missing; the same search.retrain command writes it anew" in (
        refused(capsys, run, run, "--trial-b", "0001")
    )
    for points in ("x", "-1", "100"):
        with pytest.raises(SystemExit, match="2"):
            main([str(run), str(run), f"--fail-if-worse={points}"])


def test_the_figures_of_a_fold_tell_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for name, key in (("a", "one"), ("b", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "fold.json").write_text(json.dumps({"data": key}))
        files.append(written(tmp_path / name / "scores-FF.csv", [("1", "2", 1, 3.0)]))
    assert "tested on other data (content one and two)" in refused(capsys, *files)
    (tmp_path / "b" / "fold.json").unlink()
    assert record(capsys, *files)["data"] is None  # of one of them it is not known
