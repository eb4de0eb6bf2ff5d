"""What a search would gain by going on: its odds, its scale, what counts, its sentence."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import builders
import numpy as np
import pytest
from ranked_runs import epoch, trial

from facesiam.config import TrialConfig
from facesiam.objective import Objective
from search.pruning import going_on
from search.pruning.going_on import Ended, Outlook, ended, outlook
from search.pruning.history import History
from search.runs import layout

SCORES = [0.80, 0.85, 0.82, 0.84, 0.81, 0.83]
SPACE = "fixed: {epochs: 3}\nsearch: {lr: {low: 1e-5, high: 1e-3, log: true}}\ntrials: 12\n"


@pytest.mark.parametrize(("more", "share"), [(6, 1 / 2), (2, 1 / 4), (54, 9 / 10)])
def test_the_best_of_m_more_is_better_with_the_chance_m_in_n_and_m(
    more: int, share: float
) -> None:
    gains = going_on._gains(SCORES, more)
    assert gains is not None
    assert (gains > 0).mean() == pytest.approx(share, abs=0.015)


def test_trials_that_never_learned_count_among_those_tried_alone() -> None:
    gains = going_on._gains([*SCORES, *[-math.inf] * 12], 6)
    alone = going_on._gains(SCORES, 2)
    assert gains is not None and alone is not None
    assert np.array_equal(gains, alone)  # 6 to come of 18 are as 2 of 6


def test_the_gain_is_that_of_a_tail_worked_out_by_hand() -> None:
    """Mean excess 0.03 over 0.80, so a scale of 0.03 · 1.5 / √5 at the best."""
    found = outlook([Ended(score, 0.5) for score in SCORES], 6)
    assert found is not None
    scale = 0.03 * 1.5 / math.sqrt(5)
    # Of a known scale: (1 - 1 / √39) · 2 · scale; that of five scores is less sure.
    assert found.high > 2 * scale * (1 - 39**-0.5)
    # E[1 / spread] = 5 / 4, times the mean of (1 - e^(-z/2)) · 2 over logistic z > 0, 0.4292.
    assert found.gain == pytest.approx(1.25 * scale * 0.4292, rel=0.03)
    assert (found.low, found.trials, found.hours) == (0.0, 6, 3.0)


def test_scores_in_steps_gain_a_step_or_more_and_equal_ones_say_nothing() -> None:
    """Of 20 pairs: six at 75 %, one at 70 %, so that no mean excess is left."""
    steps = [Ended(0.75)] * 6 + [Ended(0.70)]
    found = outlook(steps, 7)
    assert found is not None and found.high > 0.05
    alone = outlook([Ended(0.75)] * 5 + [Ended(0.70)], 7)  # a mean excess of a step
    assert alone is not None and alone.high == pytest.approx(found.high, rel=0.15)
    assert outlook(steps[:6], 7) is None


def test_what_is_no_number_is_no_score() -> None:
    settings = TrialConfig(epochs=2).to_dict()
    row = {"val_acc": math.nan, "val_pairs": 2000, "seconds": 1.0}
    assert ended(History([row], settings), None, ()).score == -math.inf
    loss = [{**row, "val_acc": 0.9, "val_loss": math.inf}]
    of_loss = History(loss, settings, metric="val_loss", mode="min")
    assert ended(of_loss, None, ()).score == -math.inf
    assert outlook([Ended(-math.inf)] * 10 + [Ended(0.8)] * 4, 5) is None


def test_nothing_is_said_before_five_have_learned_or_where_none_is_left() -> None:
    few = [Ended(0.8), Ended(0.9), Ended(0.7), Ended(0.75), Ended(-math.inf)]
    assert outlook(few, 6) is None
    assert outlook([*few, Ended(0.71)], 6) is not None
    assert outlook([*few, Ended(0.71)], 0) is None


def test_a_loss_counts_turned_a_guess_and_a_hopeless_trial_not_at_all() -> None:
    settings = TrialConfig(epochs=2).to_dict()
    rows = [{"val_acc": acc, "val_loss": loss, "val_pairs": 2000, "seconds": 1800.0} for acc, loss
            in ((0.8, 0.4), (0.7, 0.5))]  # fmt: skip
    parts = [{"device": "cpu", "threads": 4}]
    best = ended(History(rows, settings, metric="val_loss", mode="min"), None, parts)
    assert best == Ended(-0.4, 4.0, False)
    assert ended(History(rows, settings), "asha", [{"device": "cuda"}]) == Ended(0.8, 1.0, True)
    assert ended(History(rows, settings), "chance", ()).score == -math.inf
    assert ended(History(rows, settings), None, ()).score == 0.8
    guess = [row | {"val_acc": 0.5, "val_auc": 0.5} for row in rows]
    assert ended(History(guess, settings), None, parts).score == -math.inf
    assert ended(None, "error", ()).score == -math.inf


def test_the_sentence_has_points_of_an_accuracy_and_else_the_metric() -> None:
    of_accuracy = Outlook(20, 0.002, 0.0, 0.009, 1.43, False)
    assert of_accuracy.text(Objective()) == (
        "the 20 trials left would gain 0.2 [0.0, 0.9] points for 1.4 core-hours"
    )
    of_loss = Outlook(1, 0.002, 0.0, 0.009, math.nan, False)
    assert Outlook(1000, 0.1, 0.0, 0.2, 1234.5, True).text(Objective("val_auc")) == (
        "the 1,000 trials left would gain 0.1 [0, 0.2] of val_auc for 1,234 GPU-hours"
    )
    assert of_loss.text(Objective("val_loss", "min")) == (
        "the one trial left would gain 0.002 [0, 0.009] of val_loss"
    )


def test_a_run_says_what_its_journal_has(tmp_path: Path) -> None:
    names = [f"{number:04d}" for number in range(1, 7)]
    spared = {"stop_rule": "chance", "stop_reason": "guesses", "control": True}
    run = builders.write_run(
        tmp_path / "run",
        [trial(name, **(spared if name == "0002" else {})) for name in names],
        [
            epoch(name, number, score - 0.1 * (number != 1))
            for name, score in zip(names, SCORES, strict=True)
            for number in range(3)
        ],
        SPACE,
    )
    space = layout.space(run)
    found = going_on.of_run(run, space)
    expected = outlook([Ended(score) for score in SCORES], 6)
    assert found is not None and expected is not None and found[:4] == expected[:4]
    assert going_on.told(run, space).startswith("the 6 trials left would gain 1.1 [0.0, ")


@pytest.mark.parametrize(
    ("points", "objective", "below"),
    [(0.31, Objective(), True), (0.29, Objective(), False)]
    + [(0.0031, Objective("val_loss", "min"), True), (0.003, Objective("val_auc"), False)],
)
def test_a_gain_is_in_points_of_an_accuracy_and_else_in_the_metric(
    points: float, objective: Objective, below: bool
) -> None:
    assert Outlook(9, 0.001, 0.0, 0.003, 1.0, False).is_below(points, objective) is below


def test_a_run_whose_search_was_ended_says_what_ended_it(tmp_path: Path) -> None:
    rows = [epoch("0001", number, 0.8) for number in range(3)]
    run = builders.write_run(tmp_path / "run", [trial("0001")], rows, SPACE)
    space = layout.space(run)
    assert going_on.told(run, space) == ""  # of a run without a manifest
    ended_by = {"ended_by": "stop_when"}
    for said, sessions in (("", []), ("", [ended_by, {}]), ("stop_when", [{}, ended_by])):
        (run / "manifest.json").write_text(json.dumps({"sessions": sessions}))
        assert going_on.told(run, space) == said
    asked = dataclasses.replace(space, stop_when={"gain": 0.3})
    (run / "manifest.json").unlink()
    assert going_on.told(run, asked) == (
        "stop_when has nothing to act by: what the trials left would gain is not estimated before 5 "
        "trials have ended that learned something, and 1 did"
    )
