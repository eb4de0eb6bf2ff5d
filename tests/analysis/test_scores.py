"""The scores file: what is written comes back, what is no such file is named."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from facesiam.data.dataset import Pairs
from facesiam.evaluation.metrics import METRICS
from facesiam.evaluation.scores import write
from search.analysis import scores
from search.report import evaluation
from search.report.report_data import Evaluation
from search.runs.layout import RunError

NAMES = ["a/01.jpg", "a/02.jpg", "b, c/01.jpg"]
PAIRS = Pairs(np.array([0, 0]), np.array([1, 2]), np.array([0, 1]), None)


def an_evaluation(protocol: str, file: Path, ties: int = 0) -> Evaluation:
    figures = {name: {"value": 0.5, "low": 0.4, "high": 0.6, "n": 200} for name in METRICS}
    return Evaluation(protocol, 0, 1, figures, 200, True, file, {}, ties)


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    odds = np.array([736.9996337890625, -1e-300])
    write(tmp_path / "scores.csv", NAMES, PAIRS, odds)
    assert (tmp_path / "scores.csv").read_text() == (
        "left,right,same_person,log_odds\n"
        "a/01.jpg,a/02.jpg,1,736.9996337890625\n"
        'a/01.jpg,"b, c/01.jpg",0,-1e-300\n'
    )
    frame = scores.read(tmp_path / "scores.csv")
    assert frame["same_person"].tolist() == [1, 0] and frame["log_odds"].tolist() == odds.tolist()
    assert frame["right"].tolist() == ["a/02.jpg", "b, c/01.jpg"]


def test_scores_that_are_no_numbers_come_back(tmp_path: Path) -> None:
    write(tmp_path / "scores.csv", NAMES, PAIRS, np.array([math.nan, -math.inf]))
    found = scores.read(tmp_path / "scores.csv")["log_odds"].tolist()
    assert math.isnan(found[0]) and found[1] == -math.inf


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("left,right,label,same\n0,1,0,1.0\n", "of an older version, with probabilities"),
        ("left,right,score\n0,1,0\n", "must have the columns left, right, same_person, log_odds"),
        (
            "left,right,same_person,log_odds\na,b,1,2.5\na,b,2,1.0\n",
            "line 3: same_person: must be 0 or 1, got 2",
        ),
        (
            "left,right,same_person,log_odds\na,b,1,much\n",
            "line 2: log_odds: must be a number, got much",
        ),
        ("left,right,same_person,log_odds\na,b,1,1.0\na,b,1,1.0,9,9\n", "not a scores file"),
        ("", "not a scores file"),
    ],
)
def test_what_is_no_scores_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "scores.csv"
    file.write_text(text)
    with pytest.raises(RunError, match=said) as error:
        scores.read(file)
    assert str(error.value).startswith(str(file)) and "\n" not in str(error.value)
    assert isinstance(error.value, scores.OlderScores) == ("older" in said)


def test_the_report_says_why_it_draws_no_curve_of_older_scores(tmp_path: Path) -> None:
    older, newer = tmp_path / "scores.csv", tmp_path / "scores-cfp-pairs.csv"
    older.write_text("left,right,label,same\n0,1,0,1.0\n0,2,1,1.0\n")
    write(newer, NAMES, PAIRS, np.array([2.0, -1.0]))
    scored = {"frontal-triplets": older, "cfp-pairs": newer}
    tests = [an_evaluation(name, file) for name, file in scored.items()]
    page = evaluation.roc_curves(SimpleNamespace(tests={"0001": tests}), tmp_path)
    assert page.startswith(
        f"No ROC curve of trial 0001, frontal-triplets: {older}: of an older version"
    )
    assert page.endswith("(roc-0001.png)") and (tmp_path / "roc-0001.png").is_file()


def test_ties_are_said_where_a_test_has_them() -> None:
    for ties, said in ((12, True), (0, False)):
        run = SimpleNamespace(tests={"0001": [an_evaluation("cfp-pairs", Path(), ties)]})
        text = evaluation.tested([run])  # type: ignore[list-item]
        line = "Trial 0001, cfp-pairs, seed 0: 12 of 200 pairs have exactly the score of a pair"
        assert (line in text) == said
    assert evaluation.ties_note(1, 200, "A").startswith("A: 1 of 200 pairs has exactly the score")


def test_tests_on_the_same_pairs_are_compared_pair_by_pair(tmp_path: Path) -> None:
    n = 100
    pairs = Pairs(np.arange(n), np.arange(n) + 1, np.arange(n) % 2, None)
    names = [f"{number:03}.jpg" for number in range(n + 1)]
    sure = np.where(pairs.label == 0, 3.0, -3.0)

    def net(name: str, wrong: range, label: np.ndarray = pairs.label) -> pd.DataFrame:
        odds = np.where(np.isin(np.arange(n), wrong), -sure, sure)
        one = Pairs(pairs.left, pairs.right, label, None)
        write(tmp_path / f"{name}.csv", names, one, odds)
        return scores.read(tmp_path / f"{name}.csv")

    tested = {"a": net("a", range(10)), "b": net("b", range(17)), "c": net("c", range(10, 24))}
    said = scores.compare_tests("cfp-pairs", tested)
    # b: seven that only a has right, p = 2 / 128, twice; c: 14 and 10
    assert len(said) == 2
    assert "b beside a, the best of 3 on the same 100 pairs: 7 that only the best has" in said[0]
    assert "p 0.031 after" in said[0] and said[0].endswith(", told apart.")
    assert ": 14 that only the best has right, 10 that only c has; exact McNemar p 1 " in said[1]
    assert said[1].endswith("not told apart.")
    others = net("d", range(17), label=1 - pairs.label)  # of other pairs
    assert scores.compare_tests("cfp-pairs", {"a": tested["a"], "d": others}) == []
    assert scores.compare_tests("cfp-pairs", {}) == []
    run = SimpleNamespace(
        tests={name: [an_evaluation("cfp-pairs", tmp_path / f"{name}.csv")] for name in "ab"}
    )
    page = evaluation.comparisons(run)
    assert page.startswith("- cfp-pairs: b, seed 0 beside a, seed 0, the best of 2 on the same")
