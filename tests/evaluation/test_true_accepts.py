"""True accepts at few false accepts over validation pairs: values, intervals, pairs."""

from __future__ import annotations

import dataclasses
import itertools
import math
from types import SimpleNamespace
from typing import Any, cast

import builders
import numpy as np
import pytest
import torch

from facesiam.config import TrialConfig
from facesiam.config.metrics import ENDS, TPR
from facesiam.data.dataset import FaceData
from facesiam.evaluation import people_bootstrap, scored_pairs, true_accepts
from facesiam.evaluation.metrics import true_accepts as oracle
from facesiam.evaluation.rated_pairs import RatedPairs
from facesiam.evaluation.scored_pairs import ScoredPairs
from facesiam.evaluation.true_accepts import TrueAccepts
from facesiam.nets.siamese import SiameseNet

NET = cast(SiameseNet, SimpleNamespace(score_matrix=lambda left, right: left @ right.T))


def rated(data: FaceData, **settings: Any) -> RatedPairs:
    """The validation pairs of a net of embeddings."""
    config = TrialConfig(join="cosine", loss="logistic", image_size=64, **settings)
    return RatedPairs(config, data)


def of_vectors(pairs: RatedPairs, vectors: np.ndarray) -> dict[str, float]:
    """What a net with these embeddings has, one for each of the images."""
    nothing = np.empty(0)
    found = torch.from_numpy(vectors)
    return TrueAccepts(pairs).measure(NET, nothing, pairs.images, found, lambda more: found[:0])


def vectors_of(pairs: RatedPairs, noise: float, seed: int = 0) -> np.ndarray:
    """A unit vector for each image: the person's own, and noise."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(pairs.people, 8))[pairs.person]
    found = own + noise * rng.normal(size=own.shape)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def every_two(pairs: RatedPairs, vectors: np.ndarray) -> list[tuple[float, int, int]]:
    """The score and the two people of every two images, by a double loop."""
    cosines = (torch.from_numpy(vectors) @ torch.from_numpy(vectors).T).numpy()
    return [
        (float(cosines[a, b]), int(pairs.person[a]), int(pairs.person[b]))
        for a, b in itertools.combinations(range(len(vectors)), 2)
    ]


@pytest.mark.parametrize("cells", [4_000_000, 97])
@pytest.mark.parametrize("fpr", [0.05, 0.3])
def test_every_two_images_are_a_pair_whatever_the_size_of_the_parts(
    data: FaceData, monkeypatch: pytest.MonkeyPatch, fpr: float, cells: int
) -> None:
    for module in (true_accepts, scored_pairs, people_bootstrap):
        monkeypatch.setattr(module, "CELLS", cells)
    pairs = rated(data, fpr=fpr, fpr_pairs="people")
    assert pairs.counts == [4, 4 * 28, 6 * 64]  # 4 people of 6 frontal images and 2 of the side
    vectors = vectors_of(pairs, 1.0)
    scores, one, other = map(np.array, zip(*every_two(pairs, vectors), strict=True))
    found = of_vectors(pairs, vectors)
    assert found[TPR] == pytest.approx(oracle(scores, one != other, fpr), abs=1e-12)
    assert 0 < found[ENDS[TPR][0]] <= found[TPR] <= found[ENDS[TPR][1]] <= 1


def test_a_resample_counts_a_pair_by_how_often_its_people_were_drawn(data: FaceData) -> None:
    pairs = rated(data, fpr=0.1, fpr_pairs="images")
    assert pairs.counts == [4, 4 * 15, 6 * 36]
    vectors = vectors_of(pairs, 0.8)
    meter = TrueAccepts(pairs)
    scored = meter._of_images(NET, torch.from_numpy(vectors))
    drawn = meter._rates(scored, slice(None))
    listed = every_two(pairs, vectors)
    for number in (1, 7, 300):
        times = meter._people.times[number]
        assert times.sum() == 4
        repeated = [
            (score, one != other)
            for score, one, other in listed
            for _ in range(times[one] if one == other else times[one] * times[other])
        ]
        scores, labels = map(np.array, zip(*repeated, strict=True))
        if len(set(labels.tolist())) == 2:
            assert drawn[number] == pytest.approx(oracle(scores, labels, 0.1), abs=1e-12)


@pytest.mark.parametrize(("people", "each", "fpr"), [(12, 6, 0.02), (10, 30, 0.01)])
def test_the_highest_scores_are_enough_for_every_resample_and_its_ends_are_percentiles(
    monkeypatch: pytest.MonkeyPatch, people: int, each: int, fpr: float
) -> None:
    """One person is like all others: some resamples accept few pairs besides theirs, some none."""
    pairs = rated(builders.drawn_people([each] * people), fpr=fpr, fpr_pairs="images")
    vectors = vectors_of(pairs, 0.9) + np.float32(0.3)
    vectors[:each] += 9
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    meter, found = TrueAccepts(pairs), torch.from_numpy(vectors)
    scored = meter._of_images(NET, found)
    rates = meter._rates(scored, slice(None))
    low, high = np.percentile(rates[1:], [2.5, 97.5])
    assert meter._rate(scored) == pytest.approx((rates[0], low, high)) and low < high
    monkeypatch.setattr(true_accepts, "RESERVE", (1000, 0))
    every = meter._of_images(NET, found)
    assert len(scored.different) < len(every.different) == pairs.different
    np.testing.assert_array_equal(rates, meter._rates(every, slice(None)))


def test_pairs_of_the_protocol_have_the_value_of_a_test_and_count_as_often_as_listed(
    data: FaceData,
) -> None:
    pairs = rated(data, fpr=0.2)
    own = data.pairs_of(TrialConfig(), "val")
    scores = np.random.default_rng(1).integers(0, 12, len(own.label)) / 10 + 0.4 * (own.label == 0)
    nothing = torch.empty(0)
    found = TrueAccepts(pairs).measure(
        NET, scores, np.unique(pairs.images), nothing, lambda more: nothing
    )
    assert found[TPR] == oracle(scores, own.label, 0.2) < 1
    assert pairs.counts == [4, 24, 24] and pairs.digest != rated(data, pair_seed=1).digest


def test_images_of_another_view_are_described_and_the_others_are_not(data: FaceData) -> None:
    pairs, own = (rated(data, fpr=0.05, fpr_pairs=name) for name in ("people", "images"))
    vectors = torch.from_numpy(vectors_of(pairs, 0.7))
    at = torch.from_numpy(np.isin(pairs.images, own.images))
    asked = []

    def describe(more: np.ndarray) -> torch.Tensor:
        asked.append(more)
        return vectors[~at]

    found = TrueAccepts(pairs).measure(NET, np.empty(0), own.images, vectors[at], describe)
    assert found == of_vectors(pairs, vectors.numpy())
    assert len(asked[0]) == 8 and not data.frontal[asked[0]].any()


@pytest.mark.parametrize("which", ["images", "people"])
def test_no_person_of_them_trains_and_a_picture_that_is_there_twice_counts_once(
    data: FaceData, which: str
) -> None:
    pairs = rated(data, fpr_pairs=which)
    for part in ("train", "test"):
        others = data.pairs_of(TrialConfig(), part)
        assert not np.isin(data.person[pairs.images], data.person[others.left]).any()
    copied = SimpleNamespace(
        person=data.person,
        names=data.names,
        content=data.content.copy(),
        pairs_of=data.pairs_of,
        images_of=data.images_of,
    )
    copied.content[pairs.images[1]] = copied.content[pairs.images[0]]
    fewer = rated(cast(FaceData, copied), fpr_pairs=which)
    assert set(pairs.images) - set(fewer.images) == {pairs.images[1]}


def test_one_person_who_is_taken_for_all_others_widens_the_interval(data: FaceData) -> None:
    """Half of the false accepts then come or go with one person, whom pairs know nothing of."""
    pairs = rated(data, fpr=0.1, fpr_pairs="people")
    rng = np.random.default_rng(0)
    meter = TrueAccepts(pairs)

    def width(of_person: float) -> float:
        same, two = pairs.counts[1:]
        person = np.repeat(np.arange(4), same // 4)
        one, other = np.array(list(itertools.combinations(range(4), 2))).repeat(two // 6, 0).T
        level = np.array([of_person, 0, 0, 0])
        scores = rng.normal(size=two) + level[one] + level[other]
        order = np.argsort(-scores)
        scored = ScoredPairs(
            rng.normal(size=same) + 1.5, person, scores[order], one[order], other[order]
        )
        rate = meter._rate(scored)
        return rate.high - rate.low

    assert width(1.5) > 1.3 * width(0)


def test_a_rate_that_the_pairs_cannot_tell_and_scores_that_are_no_numbers(data: FaceData) -> None:
    nothing = torch.empty(0)
    few = TrueAccepts(rated(data, fpr=0.01))  # 24 pairs of two people
    assert not few.pairs.enough
    scores = np.zeros(48)
    told = few.measure(NET, scores, np.arange(3), nothing, lambda more: nothing)
    assert all(math.isnan(value) for value in told.values()) and list(told) == [TPR, *ENDS[TPR]]
    enough = TrueAccepts(rated(data, fpr=1 / 24))
    assert enough.measure(NET, scores, np.arange(3), nothing, lambda more: nothing)[TPR] == 0
    scores[3] = math.nan
    found = enough.measure(NET, scores, np.arange(3), nothing, lambda more: nothing)
    assert math.isnan(found[TPR])
    pairs = rated(data, fpr=0.05, fpr_pairs="people")
    vectors = vectors_of(pairs, 0.5)
    vectors[5] = np.nan
    assert math.isnan(of_vectors(pairs, vectors)[TPR])


def test_pairs_of_all_images_need_embeddings(tiny: TrialConfig) -> None:
    text = "fpr_pairs: images needs join: cosine or distance, whose pairs cost one product each"
    with pytest.raises(Exception, match=text):
        dataclasses.replace(tiny, fpr_pairs="images")
