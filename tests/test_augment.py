"""Augmentation on images of a few pixels, where each outcome can be drawn by hand."""

from __future__ import annotations

import math

import pytest
import torch

from facesiam.augment import AUGMENTS, MAX_SHIFT, flip_rotate, flip_shift, resample

NO, YES = torch.tensor([False]), torch.tensor([True])
ZERO, STILL = torch.zeros(1), torch.zeros(1, 2)


def image(rows: list[list[float]]) -> torch.Tensor:
    """A (1, 3, H, W) image with the same values in each channel."""
    return torch.tensor(rows, dtype=torch.float32).expand(1, 3, len(rows), len(rows[0])).clone()


CORNER = image([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def lit(images: torch.Tensor) -> tuple[int, int]:
    """Row and column of the one bright pixel."""
    plane = images[0, 0]
    assert plane.sum().item() == pytest.approx(1, abs=1e-4)
    return divmod(int(plane.argmax()), plane.shape[1])


def uniform(images: int, seed: int = 0) -> torch.Tensor:
    """The random numbers of a batch."""
    return torch.rand(images, 3, generator=torch.Generator().manual_seed(seed))


def test_nothing_to_do_changes_nothing() -> None:
    images = torch.rand(1, 3, 8, 8)
    assert torch.allclose(resample(images, NO, ZERO, STILL), images, atol=1e-6)


def test_flip_mirrors_left_and_right() -> None:
    assert lit(resample(CORNER, YES, ZERO, STILL)) == (0, 3)


def test_shift_moves_right_and_down() -> None:
    assert lit(resample(CORNER, NO, ZERO, torch.tensor([[0.25, 0.5]]))) == (2, 1)


def test_a_quarter_turn_is_counter_clockwise() -> None:
    assert lit(resample(CORNER, NO, torch.tensor([math.pi / 2]), STILL)) == (3, 0)


def test_the_mirror_comes_before_the_shift() -> None:
    assert lit(resample(CORNER, YES, ZERO, torch.tensor([[-0.25, 0.0]]))) == (0, 2)


def test_outside_is_black() -> None:
    moved = resample(torch.ones(1, 3, 8, 8), NO, ZERO, torch.tensor([[0.125, 0.0]]))
    assert torch.equal(moved[0, 0, :, 0], torch.zeros(8)) and moved[0, 0, :, 1:].min() > 0.99


@pytest.mark.parametrize("move", AUGMENTS.values())
def test_the_draws_decide_and_each_image_has_its_own(move: object) -> None:
    assert callable(move)
    images = torch.rand(1, 3, 16, 16).repeat(64, 1, 1, 1)
    first = move(images, uniform(64, seed=5))
    assert torch.equal(first, move(images, uniform(64, seed=5)))
    assert torch.equal(first[:7], move(images[:7], uniform(64, seed=5)[:7]))
    assert not torch.equal(first, move(images, uniform(64, seed=6)))
    assert len({tuple(one.flatten().tolist()) for one in first}) == 64


def test_shifts_stay_within_an_eighth_of_a_side_and_half_are_flipped() -> None:
    side = 32
    images = torch.zeros(400, 3, side, side)
    images[:, :, 16, 24] = 1
    moved = flip_shift(images, uniform(400))[:, 0]
    weight = moved.sum((1, 2))
    row = (moved.sum(2) * torch.arange(side)).sum(1) / weight
    column = (moved.sum(1) * torch.arange(side)).sum(1) / weight
    flipped = column < 16
    home = torch.where(flipped, 7.0, 24.0)
    reach = MAX_SHIFT * side
    for off in (row - 16, column - home):
        assert off.abs().max() <= reach + 1e-3 and off.abs().max() > 0.9 * reach
    assert 0.42 < flipped.float().mean() < 0.58


def test_angles_stay_within_twenty_degrees() -> None:
    images = torch.zeros(300, 3, 65, 65)
    images[:, :, 31:34, 59:62] = 1  # 28 pixels right of the centre
    moved = flip_rotate(images, uniform(300))[:, 0]
    axis = torch.arange(65) - 32.0
    weight = moved.sum((1, 2))
    x, y = (moved.sum(1) * axis).sum(1) / weight, (moved.sum(2) * axis).sum(1) / weight
    degrees = torch.rad2deg(torch.atan2(y.abs(), x.abs()))
    assert degrees.max() < 20.5 and degrees.max() > 18
