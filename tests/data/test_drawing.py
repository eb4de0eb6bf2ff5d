"""Pairs and triplets drawn from a part's images."""

from __future__ import annotations

import numpy as np
import pytest

from facesiam.data.drawing import draw_pairs, draw_triplets

Numbers = np.ndarray[tuple[int], np.dtype[np.int64]]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, 0]))


@pytest.mark.parametrize("wanted", [5, 40, 10_000])
def test_pairs_are_balanced_distinct_and_true_to_their_labels(wanted: int) -> None:
    person = np.array([0] * 6 + [1] * 5 + [2] + [3] * 3 + [9] * 4)  # of person 2 there is one
    content = np.arange(len(person))
    content[1] = content[0]  # two copies of one picture
    images = np.flatnonzero(person != 9)
    left, right, label = draw_pairs(images, person, content, wanted, rng())
    possible = 6 * 5 // 2 - 1 - 4 + 5 * 4 // 2 + 3  # one is of two copies, four come twice
    assert (label == 0).sum() == (label == 1).sum() == min(wanted, possible)
    assert set(left) | set(right) <= set(images)
    assert ((person[left] == person[right]) == (label == 0)).all()
    assert (content[left] != content[right]).all()
    pictures = {tuple(sorted(pair)) for pair in zip(content[left], content[right], strict=True)}
    assert len(pictures) == len(label)


def test_the_seed_decides_and_every_image_is_the_left_one_as_often() -> None:
    person, content = np.repeat(np.arange(50), [2, 30] * 25), np.arange(800)
    drawn = [draw_pairs(content, person, content, 2400, rng(seed)) for seed in (1, 1, 2)]
    assert all((one == other).all() for one, other in zip(*drawn[:2], strict=True))
    assert (drawn[0][1] != drawn[2][1]).any()
    left = drawn[0][0][drawn[0][2] == 1]
    # By number of pairs, people of 2 images would be left in 0.3 % of the same pairs.
    assert np.bincount(left, minlength=800).max() <= 4


def test_triplets_are_what_choosing_among_arrays_would_give() -> None:
    person, content = np.array([3, 1, 3, 2, 1, 3, 2, 5]), np.array([0, 1, 2, 3, 4, 0, 6, 7])
    images = np.array([0, 1, 2, 3, 4, 5, 7])
    mine, theirs = rng(4), rng(4)
    expected = []
    for anchor in images:
        same = person[images] == person[anchor]
        positives = images[same & (content[images] != content[anchor])]
        if len(positives):
            expected.append((anchor, theirs.choice(positives), theirs.choice(images[~same])))
    found = draw_triplets(images, person, content, mine)
    assert found.tolist() == [list(map(int, row)) for row in expected] and len(expected) == 5


def test_nobody_to_compare_with_gives_nothing() -> None:
    nobody = np.zeros(0, np.int64)
    assert [len(part) for part in draw_pairs(nobody, nobody, nobody, 10, rng())] == [0, 0, 0]
    one = np.zeros(4, np.int64)
    assert len(draw_pairs(np.arange(4), one, np.arange(4), 10, rng())[2]) == 0
    assert draw_triplets(np.arange(4), one, np.arange(4), rng()).shape == (0, 3)


def one_by_one(
    images: Numbers, person: Numbers, content: Numbers, rng: np.random.Generator
) -> list[list[int]]:
    """The triplets of ``draw_triplets``, drawn anchor by anchor."""
    triplets = []
    for anchor in images.tolist():
        mine = images[person[images] == person[anchor]]
        positives = mine[content[mine] != content[anchor]]
        negatives = images[person[images] != person[anchor]]
        if len(positives) and len(negatives):
            positive = positives[rng.integers(len(positives))]
            triplets.append([anchor, positive, negatives[rng.integers(len(negatives))]])
    return triplets


@pytest.mark.parametrize("seed", range(30))
def test_triplets_are_those_that_are_drawn_one_by_one(seed: int) -> None:
    """Published figures hold for these pairs, so whatever draws them faster draws the same."""
    choose = np.random.default_rng(seed)
    n = int(choose.integers(1, 60))
    person = choose.integers(0, int(choose.integers(1, 12)), n)
    content = choose.integers(0, n if seed % 3 else max(1, n // 3), n)
    images = np.flatnonzero(choose.random(n) < 0.8)
    drawn = draw_triplets(images, person, content, rng(seed))
    assert drawn.tolist() == one_by_one(images, person, content, rng(seed))
