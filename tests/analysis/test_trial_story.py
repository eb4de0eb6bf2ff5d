"""Trials written by hand → the story of one of them."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
from ranked_runs import ASHA, DEAD, WrittenRun, rising

from search.analysis.ranked_trials import choose
from search.analysis.trial_story import story
from search.results import RunError


@pytest.fixture
def run(tmp_path: Path) -> WrittenRun:
    return WrittenRun(tmp_path)


def test_the_story_of_a_stopped_trial(run: WrittenRun) -> None:
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
        "scored": "58.0 [55.8, 60.1] % at epoch 3; 57.0 % at epoch 4, its last",
        "took off": "at epoch 2, with 54.0 %: guessing stays above 46.2 %, below 53.8 % on 2,000 pairs",
        "vital signs": "trunk_grad_max 0.0125, trunk_live 0.25 at epoch 4",
        "ended": "stopped by asha after 5 of 10 epochs",
        "decision": "asha at epoch 4: 0.6 under 0.7",
        "saved": "5 of 10 epochs",
        "rank": "2 of 2: 58.0 [55.8, 60.1] % against 82.0 [80.3, 83.6] % of the best, 0001; "
        "an exact McNemar test tells the two apart, whichever the pairs",
        "ran with": "not recorded",
    }


def test_the_story_of_the_best_trial(run: WrittenRun) -> None:
    run.add("A", rising(0.82), row="A")
    run.add("0002", rising(0.81), row="B", chosen_by="rows")
    run.add("0003", rising(0.8), chosen_by="enqueued")
    assert run.story("0003")[""] == "trial 0003, enqueued: done"
    run.add("0004", rising(0.7), enqueued=True)  # of an older version
    assert run.story("0004")[""] == "trial 0004, enqueued: done"
    run.add("0005", rising(0.7), chosen_by="tpe")
    run.add("0006", rising(0.7), chosen_by="random")
    assert run.story("0005")[""] == "trial 0005, chosen by tpe: done"
    assert run.story("0006")[""] == "trial 0006, drawn at random: done"
    told = run.story("A")
    assert told[""] == "trial A: done" and run.story("0002")[""] == "trial 0002, row B: done"
    assert told["settings"] == "those of every other trial"
    assert told["ended"] == "ran to its end, 10 of 10 epochs"
    assert told["rank"] == "1 of 6, the best: 82.0 [80.3, 83.6] %"
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
    run: WrittenRun, accuracies: list[float], status: str, said: str
) -> None:
    run.add("0001", rising(0.82))
    run.add("0002", accuracies, status, control=True, **ASHA)
    told = run.story("0002")
    assert told["control"] == f"ran on for 6 epochs and {said}"
    assert told["decision"].startswith("asha at epoch 3: ") and "saved" not in told


def test_a_control_trial_that_failed_proves_nothing(run: WrittenRun) -> None:
    run.add("0001", rising(0.82))
    run.add("0002", [0.6] * 6, "failed", control=True, **ASHA)
    told = run.story("0002")
    assert told["ended"] == "failed after 6 of 10 epochs"
    assert told["control"] == (
        "ran on for 2 epochs; failed, so whether stopping it would have been right is not known"
    )


def test_the_story_of_a_trial_that_guessed_and_of_one_that_never_ran(run: WrittenRun) -> None:
    run.add("0001", [0.5, 0.5], "failed", stop_rule="error", stop_reason="out of memory")
    run.add("0002", [], "pending")
    told = run.story("0001")
    assert told["took off"] == (
        "never in 2 epochs: guessing stays above 46.2 %, below 53.8 % on 2,000 pairs"
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
    run: WrittenRun, chance: str, low: str, high: str
) -> None:
    """Of a level of 0.02 each tail has 0.001 over 10 epochs: z = 3.09, times sqrt(2,000 / 4) =
    69.1 pairs, half a pair more for the steps, and rounded up to whole ones: 70 of 2,000."""
    run.space("val_acc", "max", f"prune: {{chance: {chance}}}\n")
    run.add("0001", [0.5, 0.536, 0.54])
    at, score = (1, "53.6") if chance.startswith("{") else (2, "54.0")
    assert run.story("0001")["took off"] == (
        f"at epoch {at}, with {score} %: guessing stays above {low} %, below {high} % on 2,000 pairs"
    )


def test_where_there_is_no_band_the_story_says_nothing_of_guessing(run: WrittenRun) -> None:
    """Unbalanced pairs, or so few that no accuracy is outside: see test_history."""
    run.add("all", [0.5, 0.5], protocol="cfp-pairs")
    run.add("some", [0.5, 0.5], protocol="cfp-pairs", people=50)
    run.add("eleven", [0.5, 0.5], pairs=11)
    run.add("ten", [0.5, 0.5], pairs=10)
    said = {name: "took off" in run.story(name) for name in ("all", "some", "eleven", "ten")}
    assert said == {"all": True, "some": False, "eleven": True, "ten": False}


def test_the_metric_is_named_where_it_is_another(run: WrittenRun) -> None:
    run.space("val_loss", "min")
    run.add("0001", [0.7, 0.8])
    assert run.story("0001")["scored"] == "80.0 [78.2, 81.7] % at epoch 1, the best by val_loss"


def test_long_reasons_fold(run: WrittenRun) -> None:
    reason = " ".join(["a gradient of exactly 0"] * 20)
    run.add("0001", [0.5] * 2, "stopped", **(DEAD | {"stop_reason": reason}))
    told = story(run.folder, "0001").splitlines()
    assert max(map(len, told)) <= 99
    assert run.story("0001")["decision"] == f"dead at epoch 1: {reason}"


def test_of_a_single_trial_the_settings_are_those_that_are_not_the_default(
    run: WrittenRun,
) -> None:
    run.add("0001", [0.5])
    assert run.story("0001")["settings"] == "epochs 10"


def test_a_run_or_a_trial_that_is_not_there(run: WrittenRun) -> None:
    with pytest.raises(RunError, match="no trials.jsonl"):
        story(run.folder, "0001")
    run.add("0001", [0.5])
    for asked in ("best", "0010"):
        with pytest.raises(RunError, match=f"no trial {asked}; its only trial is 0001$"):
            story(run.folder, asked)
    run.add("0002", [0.5])
    run.add("alexnet", [0.5])
    hints = {
        "1": "did you mean 0001?",
        "9": "its 3 trials are 0001 to alexnet",  # 0001 has similar digits only
        "alexnett": "did you mean alexnet?",
    }
    for asked, hint in hints.items():
        said = f"{run.folder}: no trial {asked}; {hint}"
        for look in (story, partial(choose, rank=1)):
            with pytest.raises(RunError) as refused:
                look(run.folder, asked)
            assert str(refused.value) == said


def test_the_story_says_how_far_a_silent_trunk_is_from_a_certified_death(run: WrittenRun) -> None:
    """19 updates an epoch: the last three of six epochs had no gradient."""
    shares = (0.0, 1.0, 0.5, 1.0, 1.0, 1.0)
    silent = [{"updates": 19, "trunk_grad_zero": share} for share in shares]
    run.add("0001", [0.5] * 6, vitals=silent)
    assert run.story("0001")["vital signs"].endswith(
        "; no gradient in 57 updates, of the 100 that certify a death"
    )
