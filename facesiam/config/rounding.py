"""Rounding up and down of what is a whole number but for the last bits of floating point.

0.28 · 25 is 7.000000000000001, of which ``math.ceil`` makes 8; 1 / 0.1 may be a hair below 10.
"""

from __future__ import annotations

import math

SLACK = 1e-9
"""How far from a whole number a value is still taken for it."""


def rounded_up(value: float) -> int:
    """Return the least whole number that is at least a value, which must be finite."""
    return math.ceil(value - SLACK)


def rounded_down(value: float) -> int:
    """Return the greatest whole number that is at most a value, which must be finite."""
    return math.floor(value + SLACK)
