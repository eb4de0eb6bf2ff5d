"""Losses against numbers worked out by hand: logits (0, x) cost ln(1 + e^x) as "same"."""

from __future__ import annotations

import math

import torch

from facesiam.losses import single, two

LOGITS = torch.tensor([[0.0, 0.0], [0.0, math.log(3)], [0.0, math.log(3)], [0.0, 0.0]])


def test_single_is_the_mean_over_all_pairs() -> None:
    label = torch.tensor([0, 0, 1, 1])
    each = [math.log(2), math.log(4), math.log(4 / 3), math.log(2)]
    assert math.isclose(single(LOGITS, label).item(), sum(each) / 4, rel_tol=1e-6)


def test_two_gives_each_kind_half_of_the_say() -> None:
    label = torch.tensor([0, 1, 1, 1])
    negatives = (math.log(4 / 3) + math.log(4 / 3) + math.log(2)) / 3
    expected = (math.log(2) + negatives) / 2
    assert math.isclose(two(LOGITS, label).item(), expected, rel_tol=1e-6)


def test_two_equals_single_where_both_kinds_are_equally_many() -> None:
    label = torch.tensor([0, 1, 0, 1])
    assert torch.allclose(two(LOGITS, label), single(LOGITS, label))


def test_two_leaves_out_a_kind_that_is_missing() -> None:
    label = torch.zeros(4, dtype=torch.long)
    assert torch.allclose(two(LOGITS, label), single(LOGITS, label))
