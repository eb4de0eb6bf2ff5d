"""Augmentation on images of a few pixels, where each outcome can be drawn by hand."""

from __future__ import annotations

import math

import pytest
import torch

from facesiam.config import TrialConfig
from facesiam.training.augment import (
    AUGMENTS,
    DRAWS,
    MAX_SHIFT,
    draws_of,
    flip_rotate,
    flip_shift,
    resample,
    varied,
)

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


def ask(**settings: object) -> TrialConfig:
    """A trial with these settings."""
    return TrialConfig.from_dict(settings)


def numbers(images: int, **at: float) -> torch.Tensor:
    """Draws of 1/2, which change nothing, but for those named by column."""
    draws = torch.full((images, DRAWS), 0.5)
    for column, value in at.items():
        draws[:, int(column[1:])] = value
    return draws


EVERY = ask(flip=True, rotate=30, shift=0.2, crop=0.3, colour=0.5, erase=0.2, protocol="cfp-pairs")


def test_draws_are_as_many_as_the_settings_ask_for() -> None:
    assert draws_of(ask()) == 0 and draws_of(ask(augment=True)) == 3
    assert draws_of(ask(erase=0.1)) == draws_of(ask(flip=True, augment=True)) == DRAWS


def test_the_middle_of_every_range_changes_nothing() -> None:
    images = torch.rand(2, 3, 8, 8)
    assert torch.allclose(varied(images, numbers(2), YES.expand(2), EVERY), images, atol=1e-5)


def test_only_what_may_be_mirrored_is() -> None:
    two, config = CORNER.repeat(2, 1, 1, 1), ask(flip=True)
    turned = varied(two, numbers(2, c0=0.1), torch.tensor([True, False]), config)
    assert lit(turned[:1]) == (0, 3) and lit(turned[1:]) == (0, 0)


def test_augment_adds_the_documents_own_to_what_settings_ask_for() -> None:
    draws = numbers(1, c0=0.1, c3=1.0)
    moved = varied(CORNER, draws, YES, ask(augment=True, colour=0.1))
    assert torch.allclose(moved, flip_shift(CORNER, torch.tensor([[0.1, 0.5, 1.0]])), atol=1e-5)


def test_crop_zooms_in_and_out_by_the_same_factor() -> None:
    image = torch.zeros(1, 3, 8, 8)
    image[..., 2:6, 2:6] = 1  # half of each side
    inside = varied(image, numbers(1, c4=0.0), YES, ask(crop=0.5))
    assert inside.mean().item() == pytest.approx(1, abs=0.15)
    outside = varied(image, numbers(1, c4=1.0), YES, ask(crop=0.5))
    assert outside.sum().item() == pytest.approx(image.sum().item() / 4, rel=0.05)


def test_colour_is_brightness_contrast_and_saturation() -> None:
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0] = torch.tensor([[0.2, 0.4], [0.2, 0.4]])
    image[0, 1:] = 0.3
    grey = 0.299 * image[0, 0] + 0.701 * 0.3
    bright = varied(image, numbers(1, c5=1.0), YES, ask(colour=0.5))
    assert torch.allclose(bright, 1.5 * image, atol=1e-6)
    flat = varied(image, numbers(1, c6=0.0), YES, ask(colour=1.0))
    assert torch.allclose(flat, grey.mean().expand(1, 3, 2, 2), atol=1e-6)
    dull = varied(image, numbers(1, c7=0.0), YES, ask(colour=1.0))
    assert torch.allclose(dull, grey.expand(1, 3, 2, 2), atol=1e-6)
    assert varied(torch.ones(1, 3, 2, 2), numbers(1, c5=1.0), YES, ask(colour=0.5)).max() == 1


def test_erase_fills_a_rectangle_of_some_images_with_their_mean() -> None:
    images = torch.rand(400, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    draws = torch.rand(400, DRAWS, generator=torch.Generator().manual_seed(1))
    erased = varied(images, draws, YES.expand(400), ask(erase=0.25))
    changed = (erased != images).any(1)  # (400, 20, 20)
    some = changed.flatten(1).any(1)
    assert some.float().mean().item() == pytest.approx(0.25, abs=0.06)
    shares = changed[some].flatten(1).float().mean(1)
    assert shares.max() > 0.15 and shares.min() < 0.06  # all of 2 to 20 %
    for image, before, where in zip(erased[some], images[some], changed[some], strict=True):
        rows, columns = where.any(1), where.any(0)
        assert torch.equal(where, rows[:, None] & columns[None])  # a rectangle
        assert 0.005 <= where.float().mean().item() <= 0.25  # 2 to 20 %, in whole pixels
        mean = before.mean((1, 2))[:, None].expand(3, int(where.sum()))
        assert torch.allclose(image[:, where], mean, atol=1e-6)
