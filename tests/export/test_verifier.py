"""Verifier: images in any form, scores, probabilities, thresholds."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from saved_nets import save

from facesiam import Verifier, demo
from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.errors import DataError, UserError, WeightsError
from facesiam.evaluation.predict import log_odds
from facesiam.evaluation.thresholds import threshold_at
from facesiam.nets.checkpoint import load_model


@pytest.fixture(scope="module")
def verifier(exported: Path) -> Verifier:
    return Verifier.load(exported)


@pytest.fixture
def files(faces: Path, data: FaceData) -> list[Path]:
    return [faces / name for name in data.names[:6]]


def test_an_image_is_the_same_in_every_form(verifier: Verifier, files: list[Path]) -> None:
    known = verifier.embed(files[0])
    assert known.shape == (1, 8) and known.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(known, axis=1), 1, atol=1e-6)
    picture = Image.open(files[0])
    array = np.asarray(picture)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # shown a quarter clockwise
    for form in (
        str(files[0]),
        picture,
        array,
        tensor,
        tensor / 255,
        turned,
        array[None],
        tensor[None],
    ):
        np.testing.assert_array_equal(verifier.embed(form), known)
    several = verifier.embed([files[0], picture, array, tensor])
    np.testing.assert_allclose(several, np.repeat(known, 4, 0), atol=1e-6)


def test_images_come_to_the_net_as_the_packed_ones_do(
    verifier: Verifier, files: list[Path], data: FaceData, embedding: TrialConfig, weights: Path
) -> None:
    net, _, _ = load_model(weights)
    pixels = data.pixels(embedding.packing)
    packed = torch.from_numpy(pixels[:6].copy()).permute(0, 3, 1, 2) / 255
    small = torch.nn.functional.interpolate(packed, size=64, mode="area")
    with torch.inference_mode():
        known = net.describe(small).numpy()
    np.testing.assert_allclose(verifier.embed(files), known, atol=1e-5)
    pairs = data.pairs_of(embedding, "val")
    judged = verifier.compare_embedded(
        *(verifier.embed(list(pixels[ends])) for ends in (pairs.left, pairs.right))
    )
    odds = log_odds(net, embedding, pixels, pairs)
    np.testing.assert_allclose(judged.probability, 1 / (1 + np.exp(-odds)), atol=1e-5)
    np.testing.assert_array_equal(judged.same, odds > 0)
    drawn = demo.predict_files(net, embedding, files[0], files[1])
    assert verifier.compare(files[0], files[1]).probability == pytest.approx(drawn.same, abs=1e-5)


def test_a_score_is_the_cosine_and_far_chooses_the_threshold(
    verifier: Verifier, files: list[Path], data: FaceData, embedding: TrialConfig
) -> None:
    one, other = verifier.embed(files[0]), verifier.embed(files[1])
    found = verifier.compare(files[0], str(files[1]))
    assert type(found.score) is float and type(found.same) is bool
    assert found.score == pytest.approx(float((one * other).sum()), abs=1e-6)
    assert found.same == (found.score > 0.99) and verifier.own_threshold == pytest.approx(0.99)
    pairs = data.pairs_of(embedding, "val")
    pixels = data.pixels(embedding.packing)
    left, right = (verifier.embed(list(pixels[ends])) for ends in (pairs.left, pairs.right))
    known = threshold_at((left * right).sum(1), pairs.label, 0.1)
    assert verifier.threshold(0.1) == pytest.approx(known, abs=1e-6)
    above = verifier.compare_embedded(left, right, far=0.1)
    np.testing.assert_array_equal(above.same, above.score > verifier.threshold(0.1))
    assert 0 < above.same.sum() < len(pairs.label)


def test_one_image_is_compared_with_several(verifier: Verifier, files: list[Path]) -> None:
    found = verifier.compare(files[0], files)
    assert found.score.shape == found.probability.shape == found.same.shape == (6,)
    single = [verifier.compare(files[0], file) for file in files]
    np.testing.assert_allclose(found.score, [each.score for each in single], atol=1e-6)
    pairs = verifier.compare(files[:3], files[3:])
    np.testing.assert_allclose(
        pairs.score[1], verifier.compare(files[1], files[4]).score, atol=1e-6
    )
    assert verifier.compare([files[0]], files[1]).score.shape == (1,)
    with pytest.raises(
        DataError, match="^2 images are to be compared with 3; give as many, or one$"
    ):
        verifier.compare(files[:2], files[3:6])


def test_a_decision_net_gives_features_and_log_odds(
    tiny: TrialConfig, data: FaceData, files: list[Path], tmp_path: Path
) -> None:
    net = save(tmp_path / "w.pt", dataclasses.replace(tiny, join="concat", hidden=8), data.key)
    verifier = Verifier.load(tmp_path / "w.pt")
    features = verifier.embed(files[:2])
    assert features.shape == (2, 9216)
    with torch.inference_mode():
        same, different = net.logits(*torch.from_numpy(features).split(1))[0].tolist()
    found = verifier.compare(files[0], files[1])
    assert found.score == pytest.approx(same - different, abs=1e-6)
    assert found.probability == pytest.approx(1 / (1 + np.exp(different - same)))
    made = r"by search\.retrain --far 0\.1, of an exported one by facesiam\.export --data$"
    with pytest.raises(
        DataError, match=rf"w\.pt: no thresholds are stored .*: of a run's net {made}"
    ):
        verifier.compare("no.jpg", "no.jpg", far=0.1)


def test_a_verifier_shows_itself_and_a_place_that_is_none_is_told(
    weights: Path, exported: Path, tmp_path: Path
) -> None:
    assert repr(Verifier.load(weights)) == (
        f"<Verifier {weights}: alexnet, cosine; thresholds for false-accept rates: none>"
    )
    assert repr(Verifier.load(exported)).startswith(
        f"<Verifier {exported}: alexnet, cosine; thresholds for false-accept rates: 0.1, 0.01"
    )
    with pytest.raises(WeightsError) as refused:
        Verifier.load(tmp_path / "no")
    assert str(refused.value) == (
        f"{tmp_path}/no: no such run folder, exported folder or file of weights"
    )


def test_thresholds_of_a_retrained_net_are_those_of_its_test(
    weights: Path, embedding: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    save(tmp_path / "weights.pt", embedding, data.key)
    rows = [{"asked": 0.01, "threshold": -2.0, "different": 99}]
    rows += [{"asked": 0.1, "threshold": 0.0}]  # as an older version left it
    (tmp_path / "test.json").write_text(json.dumps({"at_far": rows}))
    stored = Verifier.load(tmp_path / "weights.pt")
    # In log-odds there: slope 40 about the threshold of 0.99.
    assert stored.thresholds == pytest.approx({0.01: 0.99 - 2 / 40, 0.1: 0.99})
    assert stored.too_few(0.01).startswith("FAR 0.01 needs 100 validation pairs of two people, ")
    assert [stored.too_few(far) for far in (None, 0.1)] == ["", ""]
    with pytest.raises(
        DataError,
        match=r"no threshold is stored for a false-accept rate of 0\.001; there are those for 0\.1, 0\.01, and search\.retrain --far 0\.001 stores one with a run's net$",
    ):
        stored.threshold(1e-3)


WRONG: dict[str, tuple[Any, str]] = {
    "none": ([], "no images were given"),
    "missing": ("no.jpg", "no.jpg: no such file"),
    "grey": (
        np.zeros((8, 8), np.uint8),
        "image 0: has shape (8, 8) and type uint8; an image is (H, W, 3)",
    ),
    "floats": (np.zeros((8, 8, 3)), "image 0: has shape (8, 8, 3) and type float64"),
    "layout": (
        torch.zeros(8, 8, 3),
        "image 0: is a tensor of shape (8, 8, 3); an image is (3, H, W)",
    ),
    "normalised": (
        torch.full((3, 8, 8), -0.5),
        "image 0: is a tensor with values from -0.5 to -0.5",
    ),
    "nan": (torch.full((3, 8, 8), torch.nan), "image 0: is a tensor with values from nan to nan"),
    "deep": ([Image.new("I;16", (8, 8))], "image 0: has pixels of the kind I;16; give its file"),
    "another thing": (
        [np.zeros((8, 8, 3), np.uint8), 7],
        "image 1: is of type int; an image is a path",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_image_is_told(verifier: Verifier, case: str) -> None:
    given, said = WRONG[case]
    with pytest.raises(UserError, match=f"^{re.escape(said)}"):
        verifier.embed(given)


def test_aligned_faces_need_a_file(
    tiny: TrialConfig, data: FaceData, files: list[Path], tmp_path: Path
) -> None:
    save(tmp_path / "w.pt", dataclasses.replace(tiny, align=True), data.key)
    verifier = Verifier.load(tmp_path / "w.pt")
    with pytest.raises(
        DataError, match="^image 0: the net was trained on aligned faces; give the path"
    ):
        verifier.embed(Image.new("RGB", (8, 8)))


def test_transparent_pixels_are_white(verifier: Verifier) -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    white = Image.new("RGB", (64, 64), "white")
    np.testing.assert_array_equal(verifier.embed(clear), verifier.embed(white))


def test_the_package_is_light_until_the_verifier_is_asked_for() -> None:
    code = (
        "import sys, facesiam; before = 'torch' in sys.modules; from facesiam import Verifier;"
        "print(before, 'torch' in sys.modules, hasattr(facesiam, 'Verifyer'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True False\n"
