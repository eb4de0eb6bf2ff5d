"""The chance of a finalist to be the best: it comes true, over seeds and over pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from search.analysis.best_chance import chances, pair_variance


def test_the_chances_sum_to_one_and_follow_the_means() -> None:
    rng = np.random.default_rng(3)
    scores = np.array([0.80, 0.81, 0.70])[:, None] + 0.01 * rng.standard_normal((3, 5))
    scores[2, 2:] = math.nan
    found = chances(scores)
    assert found is not None and found.sum() == pytest.approx(1)
    assert found[2] < 0.001 < found[0] < found[1]
    # Of two with equal means either is the best as often.
    even = chances(np.array([[0.8, 0.7], [0.7, 0.8]]))
    assert even == pytest.approx([0.5, 0.5], abs=0.02)


def test_the_chance_that_the_first_is_the_best_comes_true_as_often() -> None:
    rng, said, true = np.random.default_rng(0), [], []
    for _ in range(200):  # races whose finalists differ by a fifth of the noise
        levels = 0.8 + 0.002 * rng.standard_normal(5)
        scores = levels[:, None] + 0.01 * rng.standard_normal((5, 5))
        found = chances(scores, draws=500)
        assert found is not None
        said.append(found.max())
        true.append(found.argmax() == levels.argmax())
    # Without the scatter of the levels themselves the mean chance would be 0.58.
    assert np.mean(said) == pytest.approx(np.mean(true), abs=0.08)


def test_a_finalist_that_shares_no_seed_with_the_others_has_no_chance_and_takes_none() -> None:
    """Its trainings with the seeds of the others failed, those of the others with its own."""
    scores = np.full((3, 4), math.nan)
    scores[0, :3], scores[1, :3], scores[2, 3] = (0.81, 0.82, 0.83), (0.79, 0.80, 0.82), 0.9
    found = chances(scores)
    assert found is not None and found.sum() == pytest.approx(1)
    assert found[0] > found[1] > found[2] == 0


def test_one_seed_tells_no_chances() -> None:
    assert chances(np.array([[0.7], [0.8]])) is None


def test_what_pairs_add_is_their_own_effect_and_no_noise_of_the_seeds() -> None:
    rng, found = np.random.default_rng(2), []
    for _ in range(40):
        easy = rng.standard_normal((2, 1, 400))  # of each pair for each finalist
        right = easy + rng.standard_normal((2, 4, 400)) > 0
        found.append(pair_variance([dict(enumerate(finalist)) for finalist in right]))
    # Given its pair a net is right with a uniform chance, whose variance is 1/12.
    assert np.mean(found) == pytest.approx(1 / 12 / 400, rel=0.05)
    assert pair_variance([{0: right[0, 0]}, {0: right[1, 0]}]) == 0


def test_few_pairs_make_a_lead_less_sure() -> None:
    scores = np.array([[0.80, 0.81, 0.80], [0.79, 0.79, 0.79]])
    sure, unsure = chances(scores), chances(scores, 0.02**2)
    assert sure is not None and unsure is not None
    assert unsure[0] < 0.7 < 0.85 < sure[0]
