"""Trials written by hand → the record of each pruning rule."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from ranked_runs import ASHA, DEAD, WrittenRun, rising

from search.analysis.rule_audit import HEADERS, clopper_pearson, lost_by_stopping, text
from search.results import load


@pytest.fixture
def run(tmp_path: Path) -> WrittenRun:
    return WrittenRun(tmp_path)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (0, 5, 0, 0.5218),  # 1 - 0.025 ** (1 / 5)
        (5, 5, 0.4782, 1),
        (0, 1, 0, 0.975),
        (1, 1, 0.025, 1),
        (1, 2, 0.0126, 0.9874),  # 1 - sqrt(0.975): P(at least one of two) is 0.025 there
        (1, 4, 0.0063, 0.8059),  # 1 - 0.975 ** (1 / 4)
    ],
)
def test_the_exact_interval(k: int, n: int, low: float, high: float) -> None:
    assert clopper_pearson(k, n) == pytest.approx((low, high), abs=5e-5)


def test_the_record_of_a_rule(run: WrittenRun) -> None:
    run.add("0001", rising(0.82))
    run.add("0002", [0.6] * 4, "stopped", **ASHA)
    run.add("0003", [0.6] * 7, "stopped", **ASHA)
    for name, best in (("0004", 0.81), ("0005", 0.79), ("0006", 0.7), ("0007", 0.6)):
        run.add(name, rising(best), control=True, **ASHA)
    run.add("0008", [0.6] * 6, "failed", control=True, **ASHA)
    rules = run.record()
    assert list(rules) == [
        "rule",
        "decisions",
        "stopped",
        "spared",
        "false",
        "rate",
        "rate_low",
        "rate_high",
        "epochs_saved",
        "epochs_spent",
    ]
    row = rules.iloc[0].to_dict()
    # Of four that ran on, 0004 alone is within 2 points of 0.82. Saved: 6 and 3 of ten epochs.
    # Spent after epoch 3: 6 each by four, and 2 by the one that failed.
    assert row == {
        "rule": "asha",
        "decisions": 7,
        "stopped": 2,
        "spared": 4,
        "false": 1,
        "rate": 0.25,
        "rate_low": pytest.approx(0.0063, abs=5e-5),
        "rate_high": pytest.approx(0.8059, abs=5e-5),
        "epochs_saved": 9,
        "epochs_spent": 26,
    }


def test_exactly_two_points_is_within_whatever_floats_make_of_it(run: WrittenRun) -> None:
    run.add("0001", [0.5016] * 10)
    low = [0.4] * 8
    run.add("0002", [*low, 0.4816, 0.4], control=True, **ASHA)  # 0.5016 - 0.02 > 0.4816 in floats
    run.add("0003", [*low, 0.4814, 0.4], control=True, **ASHA)  # one of 5,000 pairs less
    assert run.record()[["spared", "false"]].to_numpy().tolist() == [[2, 1]]


def test_a_decision_is_false_only_where_something_was_lost_by_stopping(run: WrittenRun) -> None:
    """All of them come within 2 points of 0.82; the decision is of epoch 3, or of an
    unknown one."""
    run.add("0001", rising(0.82))
    for at in (0, 3, 4, 9):
        accuracies = [0.6] * 10
        accuracies[at] = 0.81
        run.add(f"at{at}", accuracies, control=True, **ASHA)
    run.add("late", rising(0.81), control=True, stop_rule="dead", stop_reason="no live unit")
    run.add("same", [0.6, 0.6, 0.6, 0.81, 0.6, 0.81, *[0.6] * 4], control=True, **ASHA)
    found = lost_by_stopping(load(run.folder)[0].set_index("trial"))
    control = ["at0", "at3", "at4", "at9", "late", "same"]
    assert found[control].tolist() == [False, False, True, True, True, False]
    rules = run.record().set_index("rule")
    assert rules.loc["asha", ["spared", "false", "rate"]].tolist() == [5, 2, 0.4]
    assert rules.loc["dead", ["spared", "false", "rate"]].tolist() == [1, 1, 1.0]


def test_a_control_trial_may_be_the_best_itself(run: WrittenRun) -> None:
    run.add("0001", rising(0.6))
    run.add("0002", rising(0.8), control=True, **ASHA)
    assert run.record()["false"].tolist() == [1]
    assert run.story("0002")["control"] == (
        "ran on for 6 epochs and ended as the best: stopping it would have been wrong"
    )


def test_each_rule_has_a_row_and_failures_are_no_decisions(run: WrittenRun) -> None:
    run.add("0001", rising(0.8), control=True, **ASHA)
    run.add("0002", [0.5] * 2, "stopped", **DEAD)
    # The journal has one reason: that it failed stands in the place of the decision.
    run.add("0003", [0.5], "failed", control=True, stop_rule="error", stop_reason="memory")
    run.add("0004", [0.5], "interrupted", stop_rule="interrupted", stop_reason="interrupted")
    run.add("0005", [0.5], "running")
    rules = run.record().set_index("rule")
    assert rules.index.tolist() == ["asha", "dead"]
    assert rules.loc["dead", ["decisions", "stopped", "spared", "epochs_saved"]].tolist() == [
        1,
        1,
        0,
        8,
    ]
    assert rules.loc["dead", ["rate", "rate_low", "rate_high"]].isna().all()
    assert run.story("0003")["ended"] == "failed after 1 of 10 epochs: memory"
    assert run.story("0003")["control"].startswith("ran on; failed, so")


def test_without_a_decision_there_is_no_record(run: WrittenRun) -> None:
    run.add("0001", rising(0.8))
    run.add("0002", [0.5], "failed", stop_rule="error", stop_reason="memory")
    assert run.record().empty and text(run.record()) == ""
    assert str(run.record()["rate"].dtype) == "float64"


def test_a_run_of_before_the_decisions_had_numbers(run: WrittenRun) -> None:
    run.add("0001", rising(0.8))
    run.add("0002", [0.5] * 3, "stopped", stop_rule="asha", stop_reason="behind")
    row = run.record().iloc[0]
    assert (row["stopped"], row["epochs_saved"], row["epochs_spent"]) == (1, 7, 0)
    assert run.story("0002")["decision"] == "asha: behind"


def test_a_run_without_a_score_has_no_false_stop(run: WrittenRun) -> None:
    run.add("0001", [math.nan] * 10, control=True, **ASHA)
    assert run.record()[["spared", "false"]].to_numpy().tolist() == [[1, 0]]
    assert run.story("0001")["control"].endswith(
        "ended without a score: stopping it would have been right"
    )
    assert run.story("0001")["scored"] == "nothing but NaN in 10 epochs"


def test_the_record_in_the_terminal(run: WrittenRun) -> None:
    run.add("0001", rising(0.82), control=True, **ASHA)
    run.add("0002", rising(0.6), control=True, **ASHA)
    run.add("0003", [0.5] * 2, "stopped", **DEAD)
    run.add("0004", [0.5] * 4, "running", control=True, **(ASHA | {"stop_rule": "plateau"}))
    lines = text(run.record()).splitlines()
    assert lines[1].split() == [
        "rule",
        "decisions",
        "stopped",
        "ran",
        "on",
        "false",
        "false,",
        "%",
        "saved",
        "control",
    ]
    assert lines[2].split("  ")[-1].strip() == "12" and "50.0 [1.3, 98.7]" in lines[2]
    assert lines[3].split() == ["dead", "1", "1", "0", "–", "–", "8", "0"]
    assert lines[5:] == [
        "false: ran on, as control, and came within 2 points of the best after the decision; "
        "95 % interval by Clopper and Pearson",
        "dead: no control group: the rate of false stops is not known",
        "plateau: no trial of the control group has run to its end: "
        "the rate of false stops is not known",
    ]
    assert len(HEADERS) == 8 and max(map(len, lines)) <= 120
