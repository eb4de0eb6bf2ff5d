"""Alignment on faces whose landmarks are known: where each of them comes to lie."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import tiny_cfp
from builders import ALIGNED, SQUEEZE
from PIL import Image

from facesiam.data import alignment, packing
from facesiam.data.formats import open_dataset
from facesiam.data.geometry import decode
from facesiam.data.preparation import prepare
from facesiam.data.text_files import text_of
from facesiam.errors import DataError

SIDE = 200


def landmarks(frontal: bool) -> alignment.Floats:
    """30 landmarks on a face that fits the template exactly, bridge at (0, 0), chin at (0, 1)."""
    points = np.zeros((30, 2))
    for (start, end), place in zip(alignment.GROUPS, alignment.SHAPES[frontal], strict=True):
        points[start:end] = place
    return points


def moved(
    points: alignment.Floats, turn: float, scale: float, shift: tuple[float, float]
) -> alignment.Floats:
    """Turn, scale and shift points."""
    cos, sin = scale * math.cos(turn), scale * math.sin(turn)
    return points @ np.array([[cos, sin], [-sin, cos]]) + shift


def spots(points: alignment.Floats, size: tuple[int, int] = (300, 260)) -> Image.Image:
    """A black image with a white spot at bridge and chin."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for at in (18, 8):
        x, y = np.rint(points[at]).astype(int)
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
    return Image.fromarray(image)


def found(image: Image.Image) -> list[tuple[float, float]]:
    """Centres (x, y) of the upper and of the lower spot."""
    light = np.asarray(image, dtype=float)[..., 0]
    rows = np.flatnonzero(light.sum(1) > 100)
    cut = int(rows[np.diff(rows).argmax()]) + 1
    centres = []
    for part, offset in ((light[:cut], 0), (light[cut:], cut)):
        y, x = np.indices(part.shape)
        total = part.sum()
        centres.append(((x * part).sum() / total, (y * part).sum() / total + offset))
    return centres


@pytest.mark.parametrize("frontal", [True, False])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(("turn", "scale"), [(0.0, 80.0), (0.4, 60.0), (-0.3, 140.0)])
def test_a_face_comes_to_lie_on_the_template_however_it_was_turned(
    frontal: bool, mirror: bool, turn: float, scale: float
) -> None:
    points = landmarks(frontal)
    if mirror:
        points[:, 0] *= -1
    points = moved(points, turn, scale, (150.0, 70.0))
    aligned = alignment.aligned(spots(points), points, frontal, SIDE)
    assert aligned.size == (SIDE, SIDE)
    x, y = alignment.BRIDGE[frontal]
    expected = [(x * SIDE, y * SIDE), (x * SIDE, (y + alignment.LENGTH) * SIDE)]
    for centre, place in zip(found(aligned), expected, strict=True):
        assert centre == pytest.approx(place, abs=2.5)


def test_a_profile_is_told_from_a_frontal_face() -> None:
    for frontal in (True, False):
        points = moved(landmarks(frontal), 0.5, 90, (10, 20))
        assert alignment.is_frontal(points) == frontal


def test_a_large_image_is_averaged_and_not_sampled() -> None:
    points = moved(landmarks(True), 0, 600, (900, 500))
    stripes = np.zeros((1600, 1800, 3), np.uint8)
    stripes[::2] = 254
    light = np.asarray(alignment.aligned(Image.fromarray(stripes), points, True, SIDE), dtype=int)
    middle = light[60:140, 60:140]
    assert abs(middle - 127).max() <= 20  # a pixel that is sampled would be 0 or 254


@pytest.mark.parametrize(
    "text", ["1,2\n" * 29, "1,2\n" * 31, "1,2,3\n" * 30, "a,b\n" * 30, "nan,1\n" * 30, ""]
)
def test_landmarks_that_are_none_get_a_sentence(text: str) -> None:
    with pytest.raises(DataError, match=r"x\.txt: expected 30 lines with two numbers as in 27"):
        alignment.parse(text, "x.txt")


@pytest.mark.parametrize("between", [",", "\t", " ", ", "])
@pytest.mark.parametrize("code", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_landmarks_in_another_dress(between: str, code: str) -> None:
    content = "".join(f"{at}.5{between}{at + 1}\r\n" for at in range(30)) + "\r\n"
    points = alignment.parse(text_of(content.encode(code)), "x")
    assert points[29].tolist() == [29.5, 30.0] and points.shape == (30, 2)


def test_the_file_is_beside_the_images() -> None:
    name = "Data/Images/001/profile/03.jpg"
    assert alignment.file_of(name) == "Data/Fiducials/001/profile/03.txt"


def test_data_without_landmarks_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    folder, cache = tiny_cfp.write(tmp_path / "cfp"), tmp_path / "cache"
    with pytest.raises(DataError, match=r"align: true needs landmarks, and Data/Fiducials/001"):
        prepare(str(folder), [ALIGNED], cache=cache, progress=False)
    assert not list(cache.rglob("aligned*"))
    assert open_dataset(folder).source.has("Protocol/Pair_list_F.txt")


def test_a_dataset_is_packed_aligned_beside_its_other_geometries(tmp_path: Path) -> None:
    folder = tiny_cfp.write(tmp_path / "cfp")
    for image in sorted((folder / "Data/Images").rglob("*.jpg")):
        frontal = image.parent.name == "frontal"
        points = moved(landmarks(frontal), 0, 4, (3, 1))
        file = folder / alignment.file_of(image.relative_to(folder).as_posix())
        tiny_cfp.text(file, [f"{x:.3f},{y:.3f}" for x, y in points])
    data = prepare(str(folder), [ALIGNED, SQUEEZE], cache=tmp_path / "cache", progress=False)
    packed = data.pixels(ALIGNED)
    assert packed.shape == (60, 224, 224, 3)
    assert (packed[5, 90, 112] == data.pixels(SQUEEZE)[5, 0, 0]).all()  # of one colour
    assert (packed[5, 0, 0] == 0).all()  # the small image ends there


def test_landmarks_of_an_image_that_lies_on_its_side_are_those_of_its_stored_pixels() -> None:
    points = moved(landmarks(True), 0.3, 90, (150, 70))
    upright, exif = spots(points), Image.Exif()
    exif[0x0112] = 8  # to be turned anticlockwise, so it is stored turned clockwise
    files = [io.BytesIO(), io.BytesIO()]
    upright.save(files[0], "PNG")
    upright.transpose(Image.Transpose.ROTATE_270).save(files[1], "PNG", exif=exif)
    there = np.stack([upright.height - points[:, 1], points[:, 0]], axis=1)
    seen = []
    for file, marks in zip(files, (points, there), strict=True):
        content = file.getvalue()
        shaped = packing.align_decoded(decode(content, 224), content, marks, True, 224)
        seen.append(np.asarray(shaped))
    assert seen[0].any() and np.abs(seen[0].astype(int) - seen[1]).max() <= 1
