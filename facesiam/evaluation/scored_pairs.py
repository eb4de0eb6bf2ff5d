"""The scores of every two of many images, some rows of their matrix at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesiam.evaluation.rated_pairs import RatedPairs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = Callable[[Tensor], Tensor]
"""Places (R,) of some of N images → their scores with all of them, (R, N), on the same device."""

CELLS = 4_000_000
"""Cells of the largest array that is held at once."""


class ScoredPairs(NamedTuple):
    """Scores of S pairs of one person, and of the K pairs of two people with the highest ones."""

    same: Floats
    """(S,)."""
    same_person: Ints
    """(S,) number of the person."""
    different: Floats
    """(K,) from the highest to the lowest."""
    one: Ints
    """(K,) number of one of the two people."""
    other: Ints
    """(K,) number of the other one."""


@torch.inference_mode()
def every_two(
    pairs: RatedPairs, rows: Rows, device: torch.device, kept: int, above: float = -math.inf
) -> ScoredPairs:
    """Score every two of the images of `pairs`, which are not listed.

    Args:
        pairs: of N images.
        rows: returns the scores of some of the images with all, in their order.
        device: that `rows` computes on.
        kept: how many pairs of two people are kept at most, the highest.
        above: the pairs of two people that are kept have a score above it.
    """
    person = torch.from_numpy(pairs.person).to(device)
    column = torch.arange(len(person), device=device)
    same, whose = [], []
    best = torch.empty(0, device=device)
    place = torch.empty(0, dtype=torch.int64, device=device)
    step = max(1, CELLS // len(person))
    for start in range(0, len(person), step):
        row = column[start : start + step]
        scores = rows(row)  # (step, N)
        later, alike = column > row[:, None], person == person[row][:, None]
        at = (later & alike).nonzero()
        same.append(scores[at[:, 0], at[:, 1]])
        whose.append(person[row][at[:, 0]])
        lowest = max(above, float(best.min())) if len(best) == kept else above
        at = (later & ~alike & (scores > lowest)).nonzero()
        best = torch.cat([best, scores[at[:, 0], at[:, 1]]])
        place = torch.cat([place, (at[:, 0] + start) * len(person) + at[:, 1]])
        if len(best) > kept:
            best, order = best.topk(kept)
            place = place[order]
    best, order = best.sort(descending=True)
    place = place[order]
    one, other = person[place // len(person)], person[place % len(person)]
    return ScoredPairs(
        torch.cat(same).double().cpu().numpy(),
        torch.cat(whose).cpu().numpy(),
        best.double().cpu().numpy(),
        one.cpu().numpy(),
        other.cpu().numpy(),
    )
