"""The odds of a late start, worked out by hand on made-up runs, and the starts on record."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest
from builders import space

from search.pruning.late_start import Odds
from search.pruning.recorded_runs import SHIPPED, Curve, shipped
from search.pruning.simulator import Arrival, SchedulerPolicy


def curve(id: str, start: int | None, best: float, protocol: str = "p") -> Curve:
    """A run of 10 epochs and 100 pairs that guesses until it starts and is at its best at once.

    The band of guessing ends at 0.67, see test_history."""
    begins = 10 if start is None else start
    rows = tuple(
        {"val_acc": 0.5 if epoch < begins else best, "val_pairs": 100.0} for epoch in range(10)
    )
    return Curve(id, {"protocol": protocol, "epochs": 10}, rows)


P, Q = ("p", 100), ("q", 100)
FOUR = [curve("a", 0, 0.9), curve("b", 2, 0.89), curve("c", 5, 0.8), curve("d", None, 0.5)]


def test_the_ratio_by_hand() -> None:
    """Of 4 runs a and b are good beside a leader of 0.9. One more run counts, for Laplace.

    After epoch 0, of the good ones b is at chance: (1 + 1) / (2 + 1); of all, b, c and d:
    (3 + 1) / (4 + 1). After epoch 1 it is the same, after 2 none of the good ones and c, d."""
    odds = Odds(FOUR)
    assert odds.ratio(0, 10, P, 0.9) == pytest.approx((2 / 3) / (4 / 5))
    assert odds.ratio(1, 10, P, 0.9) == pytest.approx((2 / 3) / (4 / 5))
    assert odds.ratio(2, 10, P, 0.9) == pytest.approx((1 / 3) / (3 / 5))


def test_beyond_the_latest_good_start_the_odds_fall_on() -> None:
    """The latest good start is b's, 2: by ((2 + 20) / (e + 20)) ** 16 after epoch e."""
    odds = Odds(FOUR)
    assert odds.ratio(4, 10, P, 0.9) == pytest.approx((1 / 3) / (3 / 5) * (22 / 24) ** 16)
    # c has started after epoch 5, so only d still waits.
    assert odds.ratio(5, 10, P, 0.9) == pytest.approx((1 / 3) / (2 / 5) * (22 / 25) ** 16)


def test_the_leader_decides_which_starts_were_good() -> None:
    odds = Odds(FOUR)
    # 0.81: within 0.02 of it, or better, are a, b and c, whose start at 5 is the latest.
    assert odds.ratio(2, 10, P, 0.81) == pytest.approx((2 / 4) / (3 / 5))
    assert odds.ratio(6, 10, P, 0.81) == pytest.approx((1 / 4) / (2 / 5) * (25 / 26) ** 16)
    # No leader yet: the same three, as d never started.
    assert odds.ratio(2, 10, P, math.nan) == pytest.approx((2 / 4) / (3 / 5))
    # 0.95: better than any on record, so a, their best, and b, one point below it.
    assert odds.ratio(0, 10, P, 0.95) == pytest.approx((2 / 3) / (4 / 5))
    assert odds.ratio(2, 10, P, 0.95) == pytest.approx((1 / 3) / (3 / 5))


def test_above_the_recordings_their_best_is_the_measure_though_it_asks_itself() -> None:
    """b lies 3 points below a, and a asks: b is not good for that. Of b and d, d waits."""
    runs = [curve("a", 0, 0.9), curve("b", 2, 0.87), curve("d", None, 0.5)]
    odds = Odds(runs, own=True)
    expected = 1 / (2 / 3) * (20 / 22) ** 16
    assert odds.ratio(2, 10, P, 0.95, without="a") == pytest.approx(expected)
    # Beside a leader of 0.89 it is, and nothing was seen to start later.
    assert odds.ratio(2, 10, P, 0.89, without="a") == pytest.approx((1 / 2) / (2 / 3))


def test_runs_of_another_contest_are_good_beside_the_best_of_their_own() -> None:
    """e is the best of q and poor in p; f lies 3 points below it."""
    odds = Odds([*FOUR, curve("e", 3, 0.7, "q"), curve("f", 7, 0.67, "q")])
    # Good: a, b and e. After epoch 2: e of them; of all six c, d, e and f.
    assert odds.ratio(2, 10, P, 0.9) == pytest.approx((2 / 4) / (5 / 7))
    # Asked by a trial of q whose leader has 0.9, as e is the best on record there.
    assert odds.ratio(2, 10, Q, 0.9) == pytest.approx((2 / 4) / (5 / 7))
    # Its leader has 0.6: f is good too, and of the good ones e and f wait.
    assert odds.ratio(2, 10, Q, 0.6) == pytest.approx((3 / 5) / (5 / 7))
    # And of a third one: all three, whatever its leader.
    for leader in (0.6, 0.99):
        assert odds.ratio(2, 10, ("r", 100), leader) == pytest.approx((2 / 4) / (5 / 7))


def test_the_same_protocol_on_other_pairs_is_another_contest() -> None:
    assert Odds(FOUR).ratio(2, 10, ("p", 99), 0.81) == Odds(FOUR).ratio(2, 10, P, 0.9)


def test_a_run_does_not_teach_the_odds_about_itself() -> None:
    """Without b only a is good, so the latest good start is 0: after epoch 2, of a, c and d two
    wait."""
    odds = Odds(FOUR, own=True)
    expected = (1 / 2) / (3 / 4) * (20 / 22) ** 16
    assert odds.ratio(2, 10, P, 0.9, without="b") == pytest.approx(expected)
    assert odds.ratio(2, 10, P, 0.9, without="x") == pytest.approx((1 / 3) / (3 / 5))
    assert (odds.runs("b"), odds.runs("x")) == (3, 4)
    # A trial of a search that happens to be called like a recorded run is not that run.
    assert Odds(FOUR).ratio(2, 10, P, 0.9, without="b") == pytest.approx((1 / 3) / (3 / 5))
    assert Odds(FOUR).runs("b") == 4


def test_the_best_of_another_contest_stays_its_best_when_it_asks() -> None:
    """e, the best of q, asks in p: f, 3 points below it, does not become good for that."""
    odds = Odds([*FOUR, curve("e", 3, 0.70, "q"), curve("f", 7, 0.67, "q")], own=True)
    assert odds.ratio(2, 10, P, 0.9, without="e") == pytest.approx((1 / 3) / (4 / 6))


def test_a_shorter_trial_sees_the_recordings_as_short() -> None:
    """Of 4 epochs: c has not started by then, and the band of 4 looks is 0.66."""
    odds = Odds(FOUR)
    assert odds.ratio(3, 4, P, 0.81) == pytest.approx((1 / 3) / (3 / 5) * (22 / 23) ** 16)


def test_a_curve_is_known_by_its_name_and_its_accuracies() -> None:
    odds = Odds(FOUR)
    assert all(odds.knows(each) for each in FOUR)
    b = FOUR[1]
    assert odds.knows(replace(b, settings={}, rows=b.rows[:3]))  # so far as both go
    longer = replace(b, rows=(*b.rows, {"val_acc": 0.1}))
    assert odds.knows(longer) and Odds([longer]).knows(b)
    assert not odds.knows(replace(b, id="c")) and not odds.knows(replace(b, id="x"))
    other = (*b.rows[:-1], {"val_acc": 0.88, "val_pairs": 100.0})
    assert not odds.knows(replace(b, rows=other))  # of the same name, as 0001 of any search
    assert not odds.knows(replace(b, rows=())) and not Odds(()).knows(b)


def test_replay_leaves_a_run_out_of_the_odds_only_if_they_know_it(tmp_path: Path) -> None:
    policy = SchedulerPolicy(space(tmp_path, "search: {lr: [1e-5, 1e-4]}\n"), Odds(FOUR, own=True))
    same, stranger = FOUR[1], curve("b", 2, 0.7)
    for name, run in (("first", same), ("second", stranger)):
        policy.begin(Arrival(name, run))
    names = {name: history.name for name, history in policy.scheduler.histories.items()}
    assert names == {"first": "b", "second": ""}


def test_without_recordings_there_are_no_odds() -> None:
    assert Odds(()).ratio(0, 10, P, 0.9) is None and Odds(()).runs() == 0


def test_the_starts_on_record_are_those_of_the_study() -> None:
    """`first_escape_epoch` is the first epoch outside 0.47 to 0.53. The band that 60 looks at so
    many pairs need is wider, 0.464 to 0.536 of 2,800 and 0.4575 to 0.5425 of 2,000: test 1 and C
    leave it an epoch later. All others leave both at once, or never."""
    with (SHIPPED / "index.csv").open(newline="") as file:
        escapes = {
            line["id"]: int(line["first_escape_epoch"]) if line["first_escape_epoch"] else None
            for line in csv.DictReader(file)
        }
    starts = {start.id: start.epoch for start in Odds(shipped())._starts(60)}
    assert starts == escapes | {"1": 18, "C": 12}
    assert [starts[run] for run in "56CG124JK"] == [3, 1, 12, 58, 18, 16, None, None, None]


def test_the_odds_of_the_runs_of_the_study() -> None:
    """Asked in code 1 beside its best, test 6 (0.8268): good are 6 and 5, which started at 1 and
    3, and in code 2, within 2 points of E's 0.86, are B, D, E and H, all at 0. After epoch 0 the
    good ones that wait are 6 and 5, and all that wait 1, 2, 4, 5, 6, C, G, J, K, L and M."""
    odds, code1 = Odds(shipped()), ("cfp-pairs", 2800)
    assert odds.ratio(0, 60, code1, 0.8268) == pytest.approx((3 / 7) / (12 / 19))
    # After epoch 3: none of the good ones, and 1, 2, 4, C, G, J, K and M. After 5, not M.
    assert odds.ratio(3, 60, code1, 0.8268) == pytest.approx((1 / 7) / (9 / 19))
    assert odds.ratio(5, 60, code1, 0.8268) == pytest.approx((1 / 7) / (8 / 19) * (23 / 25) ** 16)
