"""Trials written by hand → each rule's record and the story of one trial."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from facesiam.config import TrialConfig
from search.analysis.rule_audit import (
    HEADERS,
    clopper_pearson,
    lost_by_stopping,
    planned,
    record,
    text,
)
from search.analysis.trial_story import story
from search.results import RunError, load

SPACE = "fixed: {{epochs: 10}}\nsearch: {{lr: [1e-05, 1e-03]}}\nmetric: {metric}\nmode: {mode}\n"
ASHA = {
    "stop_rule": "asha",
    "stop_reason": "0.6 under 0.7",
    "stop_epoch": 3,
    "stop_rung": 4,
    "stop_value": 0.6,
    "stop_cutoff": 0.7,
    "stop_peers": 5,
}
DEAD = {"stop_rule": "dead", "stop_reason": "no live unit", "stop_epoch": 1, "stop_value": 0.0}


class Written:
    """A run folder: ``add`` a trial of 10 planned epochs with its accuracies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.space("val_acc", "max")

    def space(self, metric: str, mode: str, more: str = "") -> None:
        (self.folder / "space.yaml").write_text(SPACE.format(metric=metric, mode=mode) + more)

    def add(
        self,
        name: str,
        accuracies: list[float],
        status: str = "",
        *,
        lr: float = 1e-5,
        row: str | None = None,
        last: dict[str, Any] | None = None,
        people: int = 0,
        protocol: str = "frontal-triplets",
        pairs: int = 2000,
        vitals: list[dict[str, Any]] | None = None,
        **decision: Any,
    ) -> None:
        config = TrialConfig(epochs=10, lr=lr, people=people, protocol=protocol)
        settings = config.to_dict()
        status = status or ("done" if len(accuracies) == 10 else "running")
        line = {"trial": name, "row": row, "status": status, "settings": settings}
        self._append("trials", {"stop_rule": None, "stop_reason": None} | line | decision)
        for at, val_acc in enumerate(accuracies):
            measured = {"trial": name, "epoch": at, "val_acc": val_acc, "val_loss": 1 - val_acc}
            measured |= {"train_loss": 0.5, "train_acc": 0.9, "val_pairs": pairs, "seconds": 1.0}
            vital = vitals[at] if vitals else {}
            vital |= last if last and at == len(accuracies) - 1 else {}
            self._append("epochs", measured | vital)

    def record(self) -> pd.DataFrame:
        trials, _ = load(self.folder)
        return record(trials, planned(self.folder, trials))

    def story(self, trial: str) -> dict[str, str]:
        """Return the story's lines by their label, unfolded; the title's is ''."""
        parts: dict[str, str] = {}
        for line in story(self.folder, trial).splitlines():
            label, said = line[:13].strip(), line[13:]
            if line.startswith("trial "):
                parts[""] = line
            elif label:
                parts[last := label] = said
            else:
                parts[last] += f" {said}"
        return parts

    def _append(self, name: str, line: dict[str, Any]) -> None:
        with (self.folder / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


@pytest.fixture
def run(tmp_path: Path) -> Written:
    return Written(tmp_path)


def rising(best: float) -> list[float]:
    """Ten epochs from 0.6 on, the best one the last but one."""
    return [0.6] * 8 + [best, 0.6]


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


def test_the_record_of_a_rule(run: Written) -> None:
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


def test_exactly_two_points_is_within_whatever_floats_make_of_it(run: Written) -> None:
    run.add("0001", [0.5016] * 10)
    low = [0.4] * 8
    run.add("0002", [*low, 0.4816, 0.4], control=True, **ASHA)  # 0.5016 - 0.02 > 0.4816 in floats
    run.add("0003", [*low, 0.4814, 0.4], control=True, **ASHA)  # one of 5,000 pairs less
    assert run.record()[["spared", "false"]].to_numpy().tolist() == [[2, 1]]


def test_a_decision_is_false_only_where_something_was_lost_by_stopping(run: Written) -> None:
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


def test_a_control_trial_may_be_the_best_itself(run: Written) -> None:
    run.add("0001", rising(0.6))
    run.add("0002", rising(0.8), control=True, **ASHA)
    assert run.record()["false"].tolist() == [1]
    assert run.story("0002")["control"] == (
        "ran on for 6 epochs and ended as the best: stopping it would have been wrong"
    )


def test_each_rule_has_a_row_and_failures_are_no_decisions(run: Written) -> None:
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


def test_without_a_decision_there_is_no_record(run: Written) -> None:
    run.add("0001", rising(0.8))
    run.add("0002", [0.5], "failed", stop_rule="error", stop_reason="memory")
    assert run.record().empty and text(run.record()) == ""
    assert str(run.record()["rate"].dtype) == "float64"


def test_a_run_of_before_the_decisions_had_numbers(run: Written) -> None:
    run.add("0001", rising(0.8))
    run.add("0002", [0.5] * 3, "stopped", stop_rule="asha", stop_reason="behind")
    row = run.record().iloc[0]
    assert (row["stopped"], row["epochs_saved"], row["epochs_spent"]) == (1, 7, 0)
    assert run.story("0002")["decision"] == "asha: behind"


def test_a_run_without_a_score_has_no_false_stop(run: Written) -> None:
    run.add("0001", [math.nan] * 10, control=True, **ASHA)
    assert run.record()[["spared", "false"]].to_numpy().tolist() == [[1, 0]]
    assert run.story("0001")["control"].endswith(
        "ended without a score: stopping it would have been right"
    )
    assert run.story("0001")["scored"] == "nothing but NaN in 10 epochs"


def test_the_record_in_the_terminal(run: Written) -> None:
    run.add("0001", rising(0.82), control=True, **ASHA)
    run.add("0002", rising(0.6), control=True, **ASHA)
    run.add("0003", [0.5] * 2, "stopped", **DEAD)
    run.add("0004", [0.5] * 4, "running", control=True, **(ASHA | {"stop_rule": "plateau"}))
    lines = text(run.record()).splitlines()
    assert lines[1].split() == "rule decisions stopped ran on false false, % saved control".split()
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


def test_the_story_of_a_stopped_trial(run: Written) -> None:
    run.add("0001", rising(0.82))
    # z(1 % / 2 / 10 epochs) = 3.29, times sqrt(0.25 / 2,000) = 0.0368, rounded up to whole pairs
    run.add(
        "0002",
        [0.5, 0.53, 0.54, 0.58, 0.57],
        "stopped",
        lr=1e-3,
        last={"trunk_grad_max": 0.0125, "trunk_live": 0.25, "logit_spread": math.nan},
        **(ASHA | {"stop_epoch": 4, "stop_rung": 5}),
    )
    assert run.story("0002") == {
        "": "trial 0002: stopped",
        "settings": "lr 0.001",
        "scored": "58.0 [55.8, 60.1] at epoch 3; 57.0 at epoch 4, its last",
        "took off": "at epoch 2, with 54.0: guessing stays above 46.2, below 53.8 on 2,000 pairs",
        "vital signs": "trunk_grad_max 0.0125, trunk_live 0.25 at epoch 4",
        "ended": "stopped by asha after 5 of 10 epochs",
        "decision": "asha at epoch 4, rung 5, value 0.6, cutoff 0.7, peers 5: 0.6 under 0.7",
        "saved": "5 of 10 epochs",
        "rank": "2 of 2: 58.0 [55.8, 60.1] against 82.0 [80.3, 83.6] of the best, 0001; "
        "an exact McNemar test tells the two apart, whichever the pairs",
    }


def test_the_story_of_the_best_trial(run: Written) -> None:
    run.add("A", rising(0.82), row="A")
    run.add("0002", rising(0.81), row="B")
    told = run.story("A")
    assert told[""] == "trial A: done" and run.story("0002")[""] == "trial 0002, row B: done"
    assert told["settings"] == "those of every other trial"
    assert told["ended"] == "ran to its end, 10 of 10 epochs"
    assert told["rank"] == "1 of 2, the best: 82.0 [80.3, 83.6]"
    assert not told.keys() & {"decision", "saved", "control", "vital signs"}
    assert run.story("0002")["rank"].endswith(
        "; not tested against the best: which pairs were judged right was not kept, or they are "
        "other pairs"
    )


@pytest.mark.parametrize(
    ("accuracies", "status", "said"),
    [
        (
            rising(0.81),
            "done",
            "ended 1.0 points below the best: stopping it would have been wrong",
        ),
        (
            rising(0.7),
            "done",
            "ended 12.0 points below the best: stopping it would have been right",
        ),
        (
            [0.81] + [0.7] * 9,
            "done",
            "ended 1.0 points below the best, but was so before: nothing would have been lost",
        ),
        (
            [0.83] + [0.7] * 9,
            "done",
            "ended as the best, but was so before: nothing would have been lost",
        ),
    ],
)
def test_what_became_of_a_control_trial(
    run: Written, accuracies: list[float], status: str, said: str
) -> None:
    run.add("0001", rising(0.82))
    run.add("0002", accuracies, status, control=True, **ASHA)
    told = run.story("0002")
    assert told["control"] == f"ran on for 6 epochs and {said}"
    assert told["decision"].startswith("asha at epoch 3, ") and "saved" not in told


def test_a_control_trial_that_failed_proves_nothing(run: Written) -> None:
    run.add("0001", rising(0.82))
    run.add("0002", [0.6] * 6, "failed", control=True, **ASHA)
    told = run.story("0002")
    assert told["ended"] == "failed after 6 of 10 epochs"
    assert told["control"] == (
        "ran on for 2 epochs; failed, so whether stopping it would have been right is not known"
    )


def test_the_story_of_a_trial_that_guessed_and_of_one_that_never_ran(run: Written) -> None:
    run.add("0001", [0.5, 0.5], "failed", stop_rule="error", stop_reason="out of memory")
    run.add("0002", [], "pending")
    told = run.story("0001")
    assert told["took off"] == (
        "never in 2 epochs: guessing stays above 46.2, below 53.8 on 2,000 pairs"
    )
    assert told["ended"] == "failed after 2 of 10 epochs: out of memory"
    assert run.story("0002") == {
        "": "trial 0002: pending",
        "settings": "those of every other trial",
        "scored": "nothing yet",
        "ended": "pending after 0 of 10 epochs",
        "rank": "none, as it has no epoch",
    }


@pytest.mark.parametrize(
    ("chance", "low", "high"),
    [("true", "46.2", "53.8"), ("false", "46.2", "53.8"), ("{level: 0.02}", "46.5", "53.5")],
)
def test_the_story_has_the_band_that_the_rules_held_the_trial_against(
    run: Written, chance: str, low: str, high: str
) -> None:
    """Of a level of 0.02 each tail has 0.001 over 10 epochs: z = 3.09, times sqrt(2,000 / 4) =
    69.1 pairs, half a pair more for the steps, and rounded up to whole ones: 70 of 2,000."""
    run.space("val_acc", "max", f"prune: {{chance: {chance}}}\n")
    run.add("0001", [0.5, 0.536, 0.54])
    at, score = (1, "53.6") if chance.startswith("{") else (2, "54.0")
    assert run.story("0001")["took off"] == (
        f"at epoch {at}, with {score}: guessing stays above {low}, below {high} on 2,000 pairs"
    )


def test_where_there_is_no_band_the_story_says_nothing_of_guessing(run: Written) -> None:
    """Unbalanced pairs, or so few that no accuracy is outside: see test_history."""
    run.add("all", [0.5, 0.5], protocol="cfp-pairs")
    run.add("some", [0.5, 0.5], protocol="cfp-pairs", people=50)
    run.add("eleven", [0.5, 0.5], pairs=11)
    run.add("ten", [0.5, 0.5], pairs=10)
    said = {name: "took off" in run.story(name) for name in ("all", "some", "eleven", "ten")}
    assert said == {"all": True, "some": False, "eleven": True, "ten": False}


def test_the_metric_is_named_where_it_is_another(run: Written) -> None:
    run.space("val_loss", "min")
    run.add("0001", [0.7, 0.8])
    assert run.story("0001")["scored"] == "80.0 [78.2, 81.7] at epoch 1, the best by val_loss"


def test_long_reasons_fold(run: Written) -> None:
    reason = " ".join(["a gradient of exactly 0"] * 20)
    run.add("0001", [0.5] * 2, "stopped", **(DEAD | {"stop_reason": reason}))
    told = story(run.folder, "0001").splitlines()
    assert max(map(len, told)) <= 99
    assert run.story("0001")["decision"] == f"dead at epoch 1, value 0: {reason}"


def test_of_a_single_trial_the_settings_are_those_that_are_not_the_default(run: Written) -> None:
    run.add("0001", [0.5])
    assert run.story("0001")["settings"] == "epochs 10"
    with pytest.raises(RunError, match="no trial best; its only trial is 0001$"):
        story(run.folder, "best")


def test_a_run_or_a_trial_that_is_not_there(run: Written) -> None:
    with pytest.raises(RunError, match="no trials.jsonl"):
        story(run.folder, "0001")
    run.add("0001", [0.5])
    with pytest.raises(RunError, match="no trial 0010; did you mean 0001"):
        story(run.folder, "0010")


def test_the_story_says_how_far_a_silent_trunk_is_from_a_certified_death(run: Written) -> None:
    """19 updates an epoch: the last three of six epochs had no gradient."""
    shares = (0.0, 1.0, 0.5, 1.0, 1.0, 1.0)
    silent = [{"updates": 19, "trunk_grad_zero": share} for share in shares]
    run.add("0001", [0.5] * 6, vitals=silent)
    assert run.story("0001")["vital signs"].endswith(
        "; no gradient in 57 updates, of the 100 that certify a death"
    )
