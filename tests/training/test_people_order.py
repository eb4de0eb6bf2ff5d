"""Batches of look-alike people: who meets whom, and that a resumed epoch has the same batches."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.evaluation.cohort import cohort_images, people_embeddings
from facesiam.nets.checkpoint import snapshot
from facesiam.training import loop, people_order
from facesiam.training.loop import Halted, Training


def at(*degrees: float) -> NDArray[np.float32]:
    """Unit vectors in the plane, (people, 2)."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


@pytest.mark.parametrize(
    ("groups", "share", "expected"),
    [
        # 0 with 3 (5 degrees apart), 1 with 4, 2 with 5.
        (2, 0.5, [[0, 3], [1, 4], [2, 5]]),
        # 0 and 1 with 3 who is 5 degrees from 0; then 2 and 4 with 5.
        (3, 0.1, [[0, 1, 3], [2, 4, 5]]),
        # 0 with its nearest two; 2 with what is left.
        (3, 0.9, [[0, 3, 1], [2, 5, 4]]),
    ],
)
def test_the_most_alike_people_meet(groups: int, share: float, expected: list[list[int]]) -> None:
    order = people_order.arranged(np.arange(6), at(0, 60, 120, 5, 66, 127), groups, share)
    assert order.reshape(-1, groups).tolist() == expected


@pytest.mark.parametrize(
    ("share", "groups", "expected"),
    [(0.28, 25, 7), (0.56, 50, 28), (0.55, 20, 11), (0.5, 5, 3), (0.01, 8, 1), (0.9, 4, 3)],
)
def test_the_look_alikes_of_a_batch_are_rounded_up_but_not_all(
    share: float, groups: int, expected: int
) -> None:
    """0.28 · 25 is 7.000000000000001 in floating point, and still 7 groups."""
    assert people_order.number_of(share, groups) == expected


def test_a_group_of_each_person_comes_before_the_second_of_one() -> None:
    """People 0 and 1, of three groups each, and 2, who is the least alike, of two."""
    people = np.array([0, 0, 1, 1, 1, 2, 2, 0])
    order = people_order.arranged(people, at(0, 10, 90), 4, 0.5)
    assert sorted(order) == list(range(8))  # every group once
    assert order.tolist() == [0, 1, 2, 5, 3, 4, 7, 6]


@pytest.mark.parametrize("groups", [1, 2, 5, 40])
def test_every_group_comes_once_whatever_the_net_has_become(groups: int) -> None:
    """Of a net that has diverged the centres are no numbers; 40 groups are more than there are."""
    people = np.random.default_rng(0).integers(0, 7, 23)
    for bad in ([], [2], range(7)):
        centres = at(*range(0, 70, 10))
        centres[list(bad)] = np.nan
        assert sorted(people_order.arranged(people, centres, groups, 0.5)) == list(range(23))


@pytest.fixture
def config(tiny: TrialConfig) -> TrialConfig:
    more = {"net": "squeezenet1_1", "join": "cosine", "loss": "logistic", "embedding": 8}
    batches = {"images_per_person": 2, "views": "all", "lookalike_people": 0.5, "batch_size": 8}
    return TrialConfig.from_dict({**tiny.to_dict(), **more, **batches, "epochs": 2})


def batches_of(training: Training, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Note the images of each batch that is trained from now on."""
    seen, update = list[list[int]](), training._update

    def noted(chosen: torch.Tensor, *given: torch.Tensor) -> None:
        seen.append(chosen.tolist())
        update(chosen, *given)

    monkeypatch.setattr(training, "_update", noted)
    return seen


def test_an_epochs_people_are_compared_by_the_net_before_it(
    config: TrialConfig, data: FaceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(config, data)
    images = cohort_images(config, data)
    centres = people_embeddings(training.net, training.pixels, images).numpy()
    likeness = centres @ centres.T
    seen = batches_of(training, monkeypatch)
    next(training)
    person = training.batches.person
    first, *_ = ([int(person[image]) for image in batch[::2]] for batch in seen)
    assert len(set(first)) == 4
    to_drawn = np.delete(likeness[first[:2]].max(0), first[:2])
    assert sorted(likeness[first[:2]].max(0)[first[2:]]) == sorted(to_drawn)[-2:]
    plain = Training(dataclasses.replace(config, lookalike_people=0.0), data)
    other = batches_of(plain, monkeypatch)
    next(plain)
    flat = [sorted(sum(batches, [])) for batches in (seen, other)]
    assert flat[0] == flat[1] and seen != other  # the same images in other batches


def test_people_are_embedded_once_an_epoch_and_not_within_what_is_timed(
    config: TrialConfig, data: FaceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded, now = list[float](), [0.0]

    def embeds(*given: Any) -> torch.Tensor:
        now[0] += 1000
        embedded.append(now[0])
        return people_embeddings(*given)

    monkeypatch.setattr(loop, "people_embeddings", embeds)
    monkeypatch.setattr("facesiam.training.loop.time.perf_counter", lambda: now[0])
    training = Training(config, data)
    monkeypatch.setattr(training, "_update", lambda *given: now.__setitem__(0, now[0] + 1))
    assert [training.measure(2) for _ in range(3)] == [8.0, 8.0, 8.0]  # images a second
    assert len(embedded) == 1
    next(training)
    next(training)
    assert len(embedded) == 3


def test_who_makes_no_whole_batch_is_drawn(config: TrialConfig, data: FaceData) -> None:
    """Of look-alikes and one unlike all others, each is left out in some epochs."""
    config = dataclasses.replace(config, batch_size=10)
    batches = Training(config, data).batches
    centres = at(*([0.0] * (batches.people - 1)), 180.0)
    of = batches.person.numpy()
    groups = np.bincount(of[of >= 0], minlength=batches.people) // 2
    missed = np.zeros(batches.people)
    for seed in range(200):
        epoch = batches.epoch(torch.Generator().manual_seed(seed), centres)
        images = np.concatenate([known.numpy() for _, known in epoch])
        missed += groups - np.bincount(of[images], minlength=batches.people) // 2
    left = groups.sum() % 5
    assert left and missed.sum() == 200 * left
    assert missed == pytest.approx(200 * left * groups / groups.sum(), rel=0.35)


@pytest.mark.parametrize(
    ("within", "more"),
    [
        (0, {}),
        (2, {}),
        (2, {"ema": 0.5, "first_image_size": 80, "growing": 0.9, "image_size": 96}),
    ],
)
def test_a_resumed_training_has_the_same_batches(
    config: TrialConfig,
    data: FaceData,
    monkeypatch: pytest.MonkeyPatch,
    within: int,
    more: dict[str, float],
) -> None:
    config = TrialConfig.from_dict({**config.to_dict(), **more})
    whole = Training(config, data)
    expected = [next(whole), next(whole)]
    halted = Training(config, data)
    next(halted)
    update = halted._update

    def stopping(*given: torch.Tensor) -> None:
        update(*given)
        if halted.steps + 1 == within:
            halted.halt.set()

    monkeypatch.setattr(halted, "_update", stopping)
    if within:
        with pytest.raises(Halted):
            next(halted)
    again = Training(config, data)
    again.load(snapshot(halted.state()))
    assert (again.steps, again.epoch) == (within, 1)
    found = next(again)
    assert (found.train_loss, found.val_loss) == (expected[1].train_loss, expected[1].val_loss)
    for name, value in whole.weights().items():
        assert torch.equal(value, again.weights()[name])
