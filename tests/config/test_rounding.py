"""Whole numbers that floating point has by a hair."""

from __future__ import annotations

import math

import pytest

from facesiam.config.rounding import rounded_down, rounded_up


@pytest.mark.parametrize(
    ("value", "down", "up"),
    [(0.28 * 25, 7, 7), (0.29 * 100, 29, 29), (7.001, 7, 8), (6.999, 6, 7), (0.0, 0, 0)],
)
def test_a_hair_beside_a_whole_number_is_that_number(value: float, down: int, up: int) -> None:
    assert (rounded_down(value), rounded_up(value)) == (down, up)


def test_a_share_of_a_number_is_that_of_whole_arithmetic() -> None:
    """As math.ceil and math.floor do not have it: what they say is wrong for some of these."""
    pairs = [(percent, of) for percent in range(1, 100) for of in range(2, 200)]
    exact = [(percent * of // 100, -(-percent * of // 100)) for percent, of in pairs]
    shares = [percent / 100 * of for percent, of in pairs]
    assert [(rounded_down(one), rounded_up(one)) for one in shares] == exact
    assert [(math.floor(one), math.ceil(one)) for one in shares] != exact
