"""The estimate of how long a search still takes, by a clock of the test's own."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from facesiam.config import Value
from search.tuning.time_left import TimeLeft
from search.tuning.time_left_halving import HalvingTimeLeft


class Search:
    """A search whose trials take ten seconds an epoch.

    Args:
        total: its trials.
        rungs: at which one trial in two goes on, in epochs.
    """

    def __init__(self, total: int | None, rungs: tuple[int, ...] = ()) -> None:
        self.now = 100.0
        self.left = TimeLeft(total, lambda: self.now)
        if rungs:
            self.left = HalvingTimeLeft(total, 2, lambda settings: list(rungs), lambda: self.now)

    def epochs(self, *names: str, seconds: float = 10.0) -> None:
        """Let all of these trials do an epoch, side by side."""
        self.now += seconds
        for name in names:
            self.left.epoch(name, self.left.running[name].epochs + 1, seconds)


def test_nothing_is_said_before_an_epoch_or_of_a_search_without_a_last_trial() -> None:
    search, endless = Search(4), Search(None)
    for one in (search, endless):
        one.left.start("a", 8)
        assert one.left.seconds() is None
        one.epochs("a")
    assert endless.left.seconds() is None and endless.left.epochs_left() is None
    assert search.left.seconds() == 70 + 3 * 80


def test_trials_are_laid_onto_the_slots_and_the_last_one_ends_the_search() -> None:
    search = Search(3)
    search.left.start("a", 4)
    search.left.start("b", 4)
    search.epochs("a", "b")
    # Both have 30 s to go, and the third takes 40 s on the slot that is free first.
    assert search.left.seconds() == 30 + 40
    assert search.left.epochs_left() == 3 + 3 + 4
    search.now += 5
    assert search.left.seconds() == 25 + 40
    search.now += 20  # an epoch that takes longer than usual is about to end, no more
    assert search.left.seconds() == 20 + 40


def test_trials_to_come_are_expected_to_be_stopped_as_those_before() -> None:
    search = Search(8)
    for name in "abc":
        search.left.start(name, 3)
        search.epochs(name)
        if name != "c":
            search.left.end(name)
    # Of the three that had an epoch two were stopped after it: one in two goes on (as if one more
    # had gone on), and all that do go on after the second epoch.
    assert search.left.epochs_left() == 2 + 5 * (1 + 0.5 + 0.5)


def test_a_trial_that_is_taken_from_an_earlier_run_says_nothing_of_the_pace() -> None:
    search = Search(2)
    search.left.start("reused", 2)
    search.now += 1  # it takes a moment to copy
    search.left.epoch("reused", 1, 500.0)
    search.left.epoch("reused", 2, 500.0)
    search.left.end("reused")
    assert search.left.seconds() is None
    search.left.start("own", 2)
    search.epochs("own")
    assert search.left.seconds() == 10


def test_a_resumed_trial_has_less_to_go_and_one_that_is_tried_again_waits() -> None:
    search = Search(2)
    search.left.start("a", 6, done=4)
    search.epochs("a")
    assert search.left.epochs_left() == 1 + 6
    search.left.end("a", again=True)
    assert search.left.epochs_left() == 2 * 6


def test_a_trial_that_is_not_known_may_end() -> None:
    search = Search(2)
    search.left.end("of an earlier session")
    assert search.left.ended == 1


def test_each_trial_goes_on_at_its_own_pace() -> None:
    search = Search(2)
    search.left.start("slow", 4)
    search.left.start("fast", 4)
    search.epochs("fast")
    search.epochs("slow", "fast")
    assert search.left.seconds() == 3 * 20


def test_a_trial_that_has_ended_tells_the_pace_of_those_to_come() -> None:
    search = Search(3)
    search.left.start("a", 2)
    search.epochs("a")
    search.epochs("a")
    search.left.end("a")
    assert search.left.seconds() == 2 * 20


def test_the_slots_are_those_of_now() -> None:
    """Where two trials ran at once and one has no room any more, the rest runs one by one."""
    search = Search(5)
    search.left.start("a", 1)
    search.left.start("b", 1)
    search.epochs("a", "b")
    search.left.end("a")
    search.left.end("b")
    search.left.start("c", 1)
    assert search.left.seconds() == 10 + 2 * 10


def test_a_slot_that_is_free_takes_the_next_trial_at_once() -> None:
    search = Search(3)
    search.left.start("a", 4)
    search.left.start("b", 4)
    search.epochs("a", "b")
    search.left.end("b")
    # Of the two that had an epoch one was stopped after it: two in three go on.
    assert search.left.seconds() == pytest.approx(10 * (1 + 3 * 2 / 3))


def test_the_last_epoch_of_a_shorter_trial_says_nothing_of_going_on() -> None:
    search = Search(3)
    search.left.start("short", 2)
    search.left.start("long", 4)
    search.epochs("short", "long")
    search.epochs("short", "long")
    search.left.end("short")
    search.left.end("long")
    # The only one that could have gone on after two was stopped: one in two does.
    assert search.left.epochs_left() == (2 + (1 + 1 + 0.5 + 0.5)) / 2


def test_under_halving_one_trial_in_two_goes_on_from_each_rung() -> None:
    """Of 8 trials of 10 epochs 8 run 2, 4 of them 2 more, and 2 their last 6."""
    search = Search(8, rungs=(2, 4))
    assert search.left.seconds() is None and search.left.epochs_left() is None
    for name in "ab":
        search.left.start(name, 10)
    search.epochs("a", "b")
    assert search.left.epochs_left() == 8 * 2 - 2 + 4 * 2 + 2 * 6
    # Two at once: 7 whole stretches of 20 s, 4 of 20 s and 2 of 60 s.
    assert search.left.seconds() == 7 * 10 + 4 * 10 + 2 * 30
    search.now += 5
    assert search.left.seconds() == 7 * 10 + 4 * 10 + 2 * 30 - 5
    search.now -= 5
    search.epochs("a", "b")
    for name in "ab":
        search.left.end(name, again=True)
    assert search.left.epochs_left() == 6 * 2 + 4 * 2 + 2 * 6


def test_under_halving_the_last_trial_runs_on_one_worker_whatever_is_free() -> None:
    search = Search(2, rungs=(2,))
    for name in "ab":
        search.left.start(name, 10)
    search.epochs("a", "b")
    search.epochs("a", "b")
    search.left.end("a")  # b is better
    assert search.left.seconds() == search.left.epochs_left() * 10 == 80
    search.epochs("b")
    assert search.left.seconds() == 70


def test_under_halving_another_trial_takes_the_place_of_one_that_is_overtaken() -> None:
    search = Search(4, rungs=(2,))
    for name in "abcd":
        search.left.start(name, 10)
    for _ in range(3):
        search.epochs("a")
    search.left.end("a")
    assert search.left.epochs_left() == 3 * 2 + 2 * 8
    search.left.known("e", 10, 10)  # of an earlier session, at its end
    search.left.end("e")
    assert search.left.epochs_left() == 3 * 2 + 1 * 8


def test_under_halving_trials_of_other_lengths_have_rungs_of_their_own() -> None:
    """At a fifth and at two: a trial has 5.5, 5.5 and 16.5 epochs from one to the next on average,
    whichever started last."""

    def fifths(settings: Mapping[str, Value]) -> list[int]:
        return [int(settings["epochs"]) // 5, 2 * int(settings["epochs"]) // 5]

    for lengths in ((50, 5), (5, 50)):
        left = HalvingTimeLeft(8, 2, fifths)
        for epochs in lengths:
            left.start(f"of {epochs}", epochs)
        assert left.epochs_left() == 10 + 1 + 6 * 5.5 + 4 * 5.5 + 2 * 16.5
        left.epoch("of 5", 1, 0)  # which is at its first rung, and goes on
        assert left.epochs_left() == 10 + 6 * 5.5 + 1 + 3 * 5.5 + 2 * 16.5


def test_under_halving_trials_that_wait_within_a_stretch_have_the_rest_of_it_to_go() -> None:
    """After a resume: 8 trials of 60 epochs, rungs at 8 and 13, all cut off after an epoch."""
    left = HalvingTimeLeft(8, 2, lambda settings: [8, 13], lambda: 0.0)
    for name in "abcdefgh":
        left.known(name, 60, 1)
    assert left.epochs_left() == 8 * 7 + 4 * 5 + 2 * 47
    left.start("a", 60, 1)
    assert left.epochs_left() == 8 * 7 + 4 * 5 + 2 * 47
    left.known("b", 60, 10)  # beyond the first rung
    assert left.epochs_left() == 7 * 7 + 3 * 5 + 3 + 2 * 47
    left.known("c", 60, 8)  # paused at it: whether it goes on is not known
    assert left.epochs_left() == 6 * 7 + 3 * 5 + 3 + 2 * 47
    left.end("c")  # overtaken there
    assert left.epochs_left() == 6 * 7 + 3 * 5 + 3 + 2 * 47
    left.known("d", 60, 3)
    left.end("d")  # stopped by a rule, after which no other runs to the first rung
    assert left.epochs_left() == 5 * 7 + 3 * 5 + 3 + 2 * 47


def test_under_halving_the_pace_of_a_stretch_is_that_of_the_trials_that_came_to_it() -> None:
    search = Search(2, rungs=(2,))
    for name, seconds in (("fast", 1.0), ("slow", 9.0)):
        search.left.start(name, 10)
        search.epochs(name, seconds=seconds)
        search.epochs(name, seconds=seconds)
        search.left.end(name, again=True)
    assert search.left.seconds() == pytest.approx(8 * 5)  # which of the two goes on is not known
    search.left.start("slow", 10, 2)
    search.epochs("slow", seconds=9.0)
    assert search.left.seconds() == pytest.approx(7 * 9)
