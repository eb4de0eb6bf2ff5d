"""What a search would gain by going on: its odds, its scale, what counts, its sentence."""

from __future__ import annotations

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
    guess = [row | {"val_acc": 0.5, "val_auc": 0.5} for row in rows]
    assert ended(History(guess, settings), None, parts).score == -math.inf
    assert ended(None, "error", ()).score == -math.inf


def test_the_sentence_has_points_of_an_accuracy_and_else_the_metric() -> None:
    of_accuracy = Outlook(20, 0.002, 0.0, 0.009, 1.43, False)
    assert of_accuracy.text(Objective()) == (
        "going on for the 20 trials left would gain 0.2 [0.0, 0.9] points for 1.4 core-hours"
    )
    of_loss = Outlook(1, 0.002, 0.0, 0.009, math.nan, False)
    assert of_loss.text(Objective("val_loss", "min")) == (
        "going on for the one trial left would gain 0.002 [0, 0.009] of val_loss"
    )


def test_a_run_says_what_its_journal_has(tmp_path: Path) -> None:
    names = [f"{number:04d}" for number in range(1, 7)]
    run = builders.write_run(
        tmp_path / "run",
        [trial(name) for name in names],
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
    assert going_on.told(run, space).startswith(
        "going on for the 6 trials left would gain 1.1 [0.0, "
    )
