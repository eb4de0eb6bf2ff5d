"""How trials compare that have come to different ages: what TPE takes for good and for bad."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import builders
import pytest

from facesiam.objective import Objective
from search.pruning.history import History
from search.space import SearchSpace
from search.tuning.trial_ranking import Progress, TrialEnd, TrialRanking, progress_of


def order(ranking: TrialRanking, running: dict[int, Progress] | None = None) -> list[int]:
    """The numbers of those that learned, the best first."""
    return ranking.order(running or {})[0].tolist()


@pytest.mark.parametrize("mode", ["max", "min"])
def test_what_learned_is_ordered_by_its_score_and_nothing_else_is_ever_good(mode: str) -> None:
    ends: list[tuple[float | None, int, str, str | None]] = [
        (0.50, 7, "stopped", "chance"),
        (0.78, 3, "stopped", "asha"),
        (0.84, 60, "done", None),
        (0.93, 5, "stopped", "diverged"),
        (0.70, 60, "done", None),
        (0.90, 9, "stopped", "dead"),
        (0.80, 25, "stopped", "plateau"),
        (None, 0, "failed", "error"),
        (None, 2, "stopped", "diverged"),
        (0.76, 4, "failed", "error"),
        (None, 60, "done", None),
        (math.nan, 60, "done", None),
        (0.79, 2, "interrupted", "interrupted"),
    ]
    ranking = TrialRanking(Objective(mode=mode))
    learned = [
        ranking.tell(number, TrialEnd(value and (value if mode == "max" else 1 - value), *rest))
        for number, (value, *rest) in enumerate(ends)
    ]
    assert learned == [number != 7 for number in range(13)]
    assert order(ranking) == [2, 6, 12, 1, 9, 4]
    assert ranking.worst == [0, 3, 5, 8, 10, 11]
    assert ranking.order({})[1] == 12


def test_one_that_ended_at_chance_is_none_of_those_that_learned() -> None:
    """With few pairs its best of 60 epochs may well be above what a good one has after 3."""
    ranking = TrialRanking(Objective())
    ranking.tell(0, TrialEnd(0.66, 60, "done", None, Progress((0.66,) * 60, 60, learned=False)))
    ranking.tell(1, TrialEnd(0.64, 3, "stopped", "asha", Progress((0.5, 0.6, 0.64), 60)))
    ranking.tell(2, TrialEnd(0.52, 2, "failed", None, Progress((0.5, 0.52), 60, learned=False)))
    assert order(ranking) == [1, 2] and ranking.worst == [0]  # of a failed one it is not known


def test_those_of_different_ages_meet_at_the_younger_ones() -> None:
    """Worked out by hand. From age 1 to 2 gained 0.10 and 0.04: 0.07 on average; from 2 to 3 and
    from 3 to 4 only the first was seen: 0.10 each. So 0.64 at age 2 becomes 0.84, and 0.55 at age
    1 becomes 0.82: both were better than the first was at their age, and are now."""
    ranking = TrialRanking(Objective())
    ranking.tell(0, TrialEnd(0.80, 4, "done", None, Progress((0.5, 0.6, 0.7, 0.8), 4)))
    ranking.tell(1, TrialEnd(0.64, 2, "stopped", "asha", Progress((0.6, 0.64), 4)))
    ranking.tell(2, TrialEnd(0.55, 1, "stopped", "asha", Progress((0.55,), 4)))
    ranking.tell(
        3, TrialEnd(0.57, 1, "stopped", "dead", Progress((0.1, 0.57), 4))
    )  # nobody's measure
    assert ranking.expected().tolist() == pytest.approx([0.80, 0.84, 0.82])
    assert order(ranking) == [1, 2, 0]
    # One that runs, at age 3: 0.79 + 0.10. One that has not left chance is not ranked.
    guesses = Progress((0.5, 0.5, 0.5), 4, learned=False)
    running = {4: Progress((math.nan, 0.7, 0.79), 4), 5: guesses}
    assert order(ranking, running) == [4, 1, 2, 0]
    assert ranking.order(running)[1] == 5
    assert order(ranking) == [1, 2, 0]  # and nothing of that stays


def test_what_a_short_trial_has_at_its_end_is_all_that_it_will_have() -> None:
    ranking = TrialRanking(Objective())
    ranking.tell(0, TrialEnd(0.80, 4, "done", None, Progress((0.5, 0.6, 0.7, 0.8), 4)))
    ranking.tell(1, TrialEnd(0.62, 2, "done", None, Progress((0.5, 0.62), 2)))
    ranking.tell(2, TrialEnd(0.61, 1, "stopped", "asha", Progress((0.61,), 2)))
    # 0.61 + (0.10 + 0.12) / 2, up to its own two epochs.
    assert ranking.expected().tolist() == pytest.approx([0.80, 0.62, 0.72])


def test_one_that_ended_and_of_which_only_the_value_is_known_gains_no_more() -> None:
    ranking = TrialRanking(Objective())
    ranking.tell(0, TrialEnd(0.80, 4, "done", None, Progress((0.5, 0.6, 0.7, 0.8), 4)))
    ranking.tell(1, TrialEnd(0.70, 2, "done"))
    ranking.tell(
        2, TrialEnd(0.62, 2, "stopped")
    )  # it may come as far as any has: 0.62 + 0.10 + 0.10
    assert ranking.expected().tolist() == pytest.approx([0.80, 0.70, 0.82])


def test_a_loss_counts_as_the_probability_of_the_right_answer() -> None:
    """One that began with a loss of 1e9 gained 0.5 and not a milliard."""
    ranking = TrialRanking(Objective(mode="min"))
    ranking.tell(0, TrialEnd(math.log(2), 2, "done", None, Progress((1e9, math.log(2)), 2)))
    ranking.tell(1, TrialEnd(math.log(4), 1, "stopped", "asha", Progress((math.log(4),), 2)))
    assert ranking.expected().tolist() == pytest.approx([0.5, 0.25 + 0.5])


def history(scores: list[float], **settings: Any) -> History:
    """A trial's epochs on 2,000 pairs, of which guessing stays below 0.55 or so."""
    rows = [
        {"epoch": n, "val_acc": score, "val_loss": 1 - score, "val_pairs": 2000}
        for n, score in enumerate(scores)
    ]
    return History(rows, {"epochs": 12, "protocol": "frontal-triplets", **settings})


def space(tmp_path: Path, text: str = "") -> SearchSpace:
    """A space whose trials have 12 epochs or 24."""
    searched = "search: {epochs: [12, 24], lr: {low: 1e-5, high: 1e-3}}\n"
    return builders.space(tmp_path, searched + text)


def test_progress_is_the_best_so_far_by_age(tmp_path: Path) -> None:
    one = space(tmp_path)
    went = progress_of(history([0.6, 0.7, 0.65, math.nan, 0.8]), one)
    assert went == Progress((0.6, 0.7, 0.7, 0.7, 0.8), 12, True, "constant")
    low = progress_of(history([0.6, 0.7, 0.65]), space(tmp_path, "metric: val_loss"))
    assert low.scores == pytest.approx((0.4, 0.3, 0.3))


def test_age_counts_from_take_off_within_the_first_third(tmp_path: Path) -> None:
    one = space(tmp_path)
    late = progress_of(history([0.5, 0.51, 0.6, 0.7]), one)
    assert late == Progress((0.6, 0.7), 10, True, "constant")
    later = progress_of(history([0.5] * 5 + [0.6]), one)
    assert later == Progress((0.5,) * 5 + (0.6,), 12, True, "constant")
    guesses = Progress((0.5, 0.51, 0.51), 12, False, "constant")
    assert progress_of(history([0.5, 0.51, 0.49]), one) == guesses


def test_by_share_ages_are_those_of_the_longest_trial(tmp_path: Path) -> None:
    one = space(tmp_path, "prune: {asha: {compare: share}}")
    went = progress_of(history([0.6, 0.7]), one)
    assert went.planned == 24 and went.scores[1::2] == (0.6, 0.7) and went.scores[2] == 0.6
    assert math.isnan(went.scores[0])


def test_a_falling_rate_is_met_at_the_same_share_of_its_schedule(tmp_path: Path) -> None:
    """Whatever `compare` says: 6 of 12 epochs of a cosine are 12 of 24."""
    went = progress_of(history([0.6] * 6, schedule="cosine"), space(tmp_path))
    assert (len(went.scores), went.planned, went.schedule) == (12, 24, "cosine")


def test_what_is_gained_late_in_one_schedule_is_not_expected_of_another() -> None:
    """Cosines gain 0.20 from age 1 to 2, constant ones 0.02: 0.59 there is more than 0.69 here."""
    ranking = TrialRanking(Objective())
    ranking.tell(0, TrialEnd(0.8, 2, "done", None, Progress((0.6, 0.8), 2, True, "cosine")))
    ranking.tell(1, TrialEnd(0.72, 2, "done", None, Progress((0.7, 0.72), 2, True, "constant")))
    ranking.tell(2, TrialEnd(0.59, 1, "stopped", "asha", Progress((0.59,), 2, True, "cosine")))
    ranking.tell(3, TrialEnd(0.69, 1, "stopped", "asha", Progress((0.69,), 2, True, "constant")))
    ranking.tell(4, TrialEnd(0.60, 1, "stopped", "asha", Progress((0.60,), 2, True, "onecycle")))
    # Of a schedule that nothing is known of, the mean of all: 0.11.
    assert ranking.expected().tolist() == pytest.approx([0.8, 0.72, 0.79, 0.71, 0.71])


def test_a_net_that_ranks_the_pairs_has_learned_though_it_calls_all_of_them_the_same(
    tmp_path: Path,
) -> None:
    one = space(tmp_path, "metric: val_auc")
    went = history([0.5] * 6)
    went.metric = "val_auc"
    for row in went.rows:
        row["val_auc"] = 0.97
    assert progress_of(went, one) == Progress((0.97,) * 6, 12, True, "constant")
