"""CFP written out in the other forms: the same pairs, the same pixels and the same epoch.

What a form cannot say: a CSV of pairs has no images that are in no pair, and no kinds FF and FP;
LFW has one kind of pairs, so the FP pairs and the profiles are left out; folders and a CSV of
images list no pairs, and name parts instead of folds, so they give frontal-triplets, whose parts
are written out. The name of a person's number has leading zeros where people are sorted by it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import forms
import numpy as np
import pytest
from builders import LETTERBOX, SQUEEZE

from facesiam.config import TrialConfig
from facesiam.config.trial import Part, Protocol
from facesiam.data.dataset import FaceData
from facesiam.data.formats import open_dataset
from facesiam.data.preparation import prepare
from facesiam.training.loop import Training

TIMES = ("seconds", "samples_per_second", "peak_memory_mib")
FormOf = dict[str, tuple[FaceData, dict[str, str]]]


@pytest.fixture(scope="module")
def form(faces: Path, data: FaceData, tmp_path_factory: pytest.TempPathFactory) -> FormOf:
    """Each form, packed, with CFP's path of each of its images."""
    folder, cfp = tmp_path_factory.mktemp("forms"), open_dataset(faces)
    written = {
        "pairs": forms.pairs(cfp, folder / "pairs"),
        "FF pairs": forms.pairs(cfp, folder / "ff", lambda kind: kind == 0),
        "images": forms.images(cfp, folder / "images"),
        "folders": forms.folders(cfp, folder / "folders"),
        "lfw": forms.lfw(cfp, folder / "lfw"),
    }
    found = {}
    for name, (path, names) in written.items():
        packed = prepare(str(path), [SQUEEZE, LETTERBOX], cache=folder / "cache", progress=False)
        assert packed.format == name.removeprefix("FF ")
        found[name] = packed, dict(zip(names, data.names, strict=True))
    return found | {"cfp": (data, {name: name for name in data.names})}


def pairs_of(of: tuple[FaceData, dict[str, str]], protocol: Protocol, part: Part) -> list[object]:
    """Return (left, right, label) of each pair of a part, as CFP calls the images."""
    data, old = of
    found = data.pairs(protocol, part)
    names = [[old[data.names[at]] for at in end.tolist()] for end in (found.left, found.right)]
    return list(zip(*names, found.label.tolist(), strict=True))


@pytest.mark.parametrize("part", get_args(Part))
@pytest.mark.parametrize(
    ("name", "like", "protocol"),
    [
        ("pairs", "cfp", "dataset-pairs"),
        ("lfw", "FF pairs", "dataset-pairs"),
        ("images", "cfp", "frontal-triplets"),
        ("folders", "cfp", "frontal-triplets"),
    ],
)
def test_the_pairs_are_the_same(
    form: FormOf, name: str, like: str, protocol: Protocol, part: Part
) -> None:
    found, expected = (pairs_of(form[which], protocol, part) for which in (name, like))
    assert len(expected) > 10
    assert found == expected


def test_pairs_of_cfp_s_own_protocol_are_those_of_the_dataset(form: FormOf) -> None:
    for part in get_args(Part):
        expected = pairs_of(form["cfp"], "cfp-pairs", part)
        assert pairs_of(form["pairs"], "dataset-pairs", part) == expected
        frontal = [pair for pair in expected if "/profile/" not in str(pair[:2])]
        assert pairs_of(form["FF pairs"], "dataset-pairs", part) == frontal


@pytest.mark.parametrize("name", ["pairs", "images", "folders", "lfw"])
def test_the_pixels_of_each_image_are_the_same(form: FormOf, name: str) -> None:
    (data, old), (cfp, _) = form[name], form["cfp"]
    place = {image: at for at, image in enumerate(cfp.names)}
    at = [place[old[image]] for image in data.names]
    assert len(at) == len(set(at)) >= 100
    assert np.array_equal(data.pixels(SQUEEZE), cfp.pixels(SQUEEZE)[at])


@pytest.mark.parametrize(
    ("names", "protocol"),
    [
        (("cfp", "pairs"), "dataset-pairs"),
        (("FF pairs", "lfw"), "dataset-pairs"),
        (("cfp", "images", "folders"), "frontal-triplets"),
    ],
)
def test_an_epoch_is_the_same_digit_for_digit(
    form: FormOf, names: tuple[str, ...], protocol: Protocol, tiny: TrialConfig
) -> None:
    config = dataclasses.replace(tiny, epochs=1, people=4, protocol=protocol, augment=True)
    epochs = [next(Training(config, form[name][0])).to_dict() for name in names]
    first, *others = ({k: v for k, v in each.items() if k not in TIMES} for each in epochs)
    assert first["val_pairs"] > 8
    for other in others:
        assert other == first
