"""How far a trial is on its schedule, against integrals worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from search.pruning import schedule_progress

WARM: dict[str, Any] = {"warmup": 0.3}
COSINE: dict[str, Any] = {"schedule": "cosine"}
ONECYCLE: dict[str, Any] = {"schedule": "onecycle"}


@pytest.mark.parametrize("settings", [{}, {"schedule": "constant", "warmup": 0.0}, {"lr": 1.0}])
def test_at_a_constant_rate_every_clock_is_the_number_of_epochs(settings: dict[str, Any]) -> None:
    for epochs in range(61):
        assert schedule_progress.full_rate_epochs(settings, epochs, 60) == epochs
        assert schedule_progress.warmup_adjusted(settings, epochs, 60) == epochs
    assert schedule_progress.settled(settings, 1, 60) and not schedule_progress.rises(
        settings, 0, 60
    )
    assert schedule_progress.rate(settings, 0, 60) == 1


@pytest.mark.parametrize(
    ("settings", "epochs", "full", "climbed"),
    [
        (WARM, 9, 2.25, 2.25),  # 9² / (2 x 18)
        (WARM, 18, 9, 9),
        (WARM, 60, 51, 51),
        # 60 (x / 2 + sin(pi x) / 2 pi) at x = 1/2: 15 + 30 / pi.
        (COSINE, 30, 15 + 30 / math.pi, 30),
        (COSINE, 60, 30, 60),
        # A rise of 18 epochs has a mean of (1 + 1 / 25) / 2, a fall of 42 one of a half.
        (ONECYCLE, 18, 9.36, 9.36),
        (ONECYCLE, 60, 30.36, 51.36),
    ],
)
def test_epochs_count_by_their_rate(
    settings: dict[str, Any], epochs: int, full: float, climbed: float
) -> None:
    assert schedule_progress.full_rate_epochs(settings, epochs, 60) == pytest.approx(
        full, abs=1e-3
    )
    assert schedule_progress.warmup_adjusted(settings, epochs, 60) == pytest.approx(
        climbed, abs=1e-3
    )


def test_without_a_rise_epochs_are_whole_numbers_to_the_last_digit() -> None:
    """ASHA's rungs are at whole numbers, and a hair less would miss one."""
    assert [schedule_progress.warmup_adjusted(COSINE, n, 60) for n in range(61)] == list(range(61))


def test_an_age_has_come_to_another_but_for_its_last_bits() -> None:
    has_come = schedule_progress.has_come
    assert has_come(math.nextafter(2, 0), 2) and has_come(2, 2) and not has_come(1.999, 2)


def test_a_rate_is_settled_at_its_height_or_once_it_has_fallen_to_a_tenth() -> None:
    """(1 + cos(pi x)) / 2 = 0.1 at x = 0.795: after 48 of 60 epochs; onecycle's at 0.857: 52."""
    assert [schedule_progress.rises(WARM, n, 60) for n in (0, 17, 18)] == [True, True, False]
    assert [schedule_progress.settled(WARM, n, 60) for n in (0, 17, 18)] == [False, False, True]
    assert [schedule_progress.settled(COSINE, n, 60) for n in (0, 47, 48)] == [False, False, True]
    assert [schedule_progress.settled(ONECYCLE, n, 60) for n in (0, 1, 51, 52)] == [
        False,
        False,
        False,
        True,
    ]


def test_the_highest_rate_ahead() -> None:
    assert schedule_progress.highest_ahead(ONECYCLE, 0, 60) == pytest.approx(1, abs=1e-4)
    assert schedule_progress.highest_ahead(COSINE, 30, 60) == pytest.approx(0.5, abs=1e-3)
    assert schedule_progress.highest_ahead({}, 0, 0) == 1


@pytest.mark.parametrize(
    ("one", "epochs", "planned", "other", "others", "there"),
    [
        ({}, 20, 60, {}, 240, 20),  # at a constant rate the same epoch
        (COSINE, 20, 60, COSINE, 240, 80),  # where it falls the same share
        (ONECYCLE, 20, 60, ONECYCLE, 30, 10),
        (COSINE, 1, 60, COSINE, 10, 1),
        # 39 - 9 = 30 epochs, as after 30 without a warm-up.
        (WARM, 39, 60, {}, 60, 30),
        ({}, 30, 60, WARM, 60, 39),
    ],
)
def test_the_same_point_of_two_schedules(
    one: dict[str, Any], epochs: int, planned: int, other: dict[str, Any], others: int, there: int
) -> None:
    assert schedule_progress.same_point(one, epochs, planned, other, others) == there
    assert schedule_progress.same_point(one, epochs, planned, one, planned) == epochs
