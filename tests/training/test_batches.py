"""What an epoch is made of: whose images come together, and that none is left out."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import torch

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.training.augment import DRAWS
from facesiam.training.batches import Batches, _order, _units

PEOPLE = TrialConfig(
    join="cosine", loss="logistic", images_per_person=3, batch_size=12, image_size=64
)
"""Batches of four times three images; drawn people have six frontal images and two profiles."""


def batches(config: TrialConfig, data: FaceData) -> Batches:
    """Those of a trial."""
    return Batches(config, data, data.pairs_of(config, "train"), torch.device("cpu"))


def epoch(made: Batches, seed: int = 0) -> list[torch.Tensor]:
    """The images of an epoch's batches."""
    return [chosen for (chosen, _), _ in made.epoch(torch.Generator().manual_seed(seed))]


def test_a_unit_is_a_triplet_or_a_pair(data: FaceData) -> None:
    triplets = data.pairs("frontal-triplets", "train")
    units, labels = _units(triplets)
    assert np.array_equal(units.numpy(), triplets.triplets) and labels[5].tolist() == [0, 1]
    pairs = data.pairs("cfp-pairs", "train")
    units, labels = _units(pairs)
    assert units[3].tolist() == [pairs.left[3], pairs.right[3]]
    assert labels[:, 0].tolist() == pairs.label.tolist()


def test_the_order_is_a_shuffle_and_alternates_under_the_loss_two(data: FaceData) -> None:
    pairs = data.pairs("cfp-pairs", "train")
    generator = torch.Generator().manual_seed(0)
    every = _order(pairs, "single", generator)
    assert sorted(every.tolist()) == list(range(len(pairs.label)))
    assert every.tolist() != sorted(every.tolist())
    mixed = _order(pairs, "two", generator)
    assert pairs.label[mixed.numpy()].tolist() == [0, 1] * (len(mixed) // 2)


def test_a_batch_has_several_images_of_each_person_and_an_epoch_every_image(
    data: FaceData,
) -> None:
    made = batches(PEOPLE, data)
    found = epoch(made)
    assert len(found) == made.per_epoch == 6  # 12 people, 6 images each, 12 in a batch
    seen = Counter(torch.cat(found).tolist())
    expected = data.images_of(made.pairs, "protocol").tolist()
    assert seen == Counter(expected)  # 6 is a multiple of 3: each image once
    for chosen in found:
        for group in chosen.view(4, 3):
            assert len(set(group.tolist())) == 3
            assert len(set(data.person[group.numpy()].tolist())) == 1
    assert [c.tolist() for c in epoch(made, 1)] != [c.tolist() for c in found]
    assert [c.tolist() for c in epoch(made)] == [c.tolist() for c in found]


def test_what_makes_no_whole_batch_waits(data: FaceData) -> None:
    made = batches(dataclasses.replace(PEOPLE, batch_size=15), data)
    assert [len(chosen) for chosen in epoch(made)] == [15] * 4  # of 72 images
    large = batches(dataclasses.replace(PEOPLE, batch_size=90), data)
    assert [len(chosen) for chosen in epoch(large)] == [72] and large.per_epoch == 1


def test_all_views_bring_the_profiles_and_fill_the_last_group_up(data: FaceData) -> None:
    made = batches(dataclasses.replace(PEOPLE, views="all"), data)
    found = torch.cat(epoch(made))
    expected = np.flatnonzero(np.isin(data.person, data.person[made.pairs.left]))
    assert len(found) == made.per_epoch * 12 == 108  # 8 images in three groups of three
    assert (~data.frontal[expected]).sum() == 24
    counts = Counter(found.tolist())
    assert set(counts) == set(expected.tolist()) and set(counts.values()) <= {1, 2}


def test_people_are_numbered_from_0_and_others_are_minus_1(data: FaceData) -> None:
    made = batches(PEOPLE, data)
    trained = data.images_of(made.pairs, "protocol")
    assert made.people == 12 and sorted(set(made.person[trained].tolist())) == list(range(12))
    assert set(np.delete(made.person.numpy(), trained).tolist()) == {-1}
    same = data.person[trained][:, None] == data.person[trained][None]
    number = made.person.numpy()[trained]
    assert np.array_equal(number[:, None] == number[None], same)


def test_the_number_of_updates_is_known_beforehand(data: FaceData) -> None:
    for settings in (
        {"batch_size": 7},
        {"batch_size": 8, "protocol": "cfp-pairs"},
        {"batch_size": 8, "protocol": "cfp-pairs", "loss": "single"},
        {**PEOPLE.to_dict(), "views": "all"},
    ):
        made = batches(TrialConfig.from_dict(settings), data)
        assert len(epoch(made)) == made.per_epoch, settings


def test_a_profile_is_turned_only_where_it_has_no_side_of_its_own(data: FaceData) -> None:
    assert batches(PEOPLE, data).turnable.all()
    aligned = batches(dataclasses.replace(PEOPLE, align=True), data)
    assert np.array_equal(aligned.turnable.numpy(), data.frontal)


def test_each_image_has_its_own_random_numbers(data: FaceData) -> None:
    generator = torch.Generator().manual_seed(0)
    for settings, width in (({}, 3), ({"augment": True}, 3), ({"colour": 0.2}, DRAWS)):
        made = batches(dataclasses.replace(PEOPLE, **settings), data)
        (chosen, draws), _ = next(made.epoch(generator))
        assert draws.shape == ((12 if settings else 0), width)
        assert len(draws.unique()) == draws.numel() and len(chosen) == 12
