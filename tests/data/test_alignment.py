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

from facesiam.config.trial import Packing
from facesiam.data import alignment, packing
from facesiam.data.dataset import FaceData
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
    with pytest.raises(
        DataError, match=r"x\.txt: expected 30 lines with two numbers as in 27.5,63.0, or 5"
    ):
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


def five_of(image: str, turn: float, scale: float) -> str:
    """A row of the table: the template's points, turned and scaled about (100, 80)."""
    points = np.array(alignment.FIVE) @ np.array([1, 1j]) - (56 + 56j)
    there = points * scale * np.exp(1j * turn) + (100 + 80j)
    return ",".join([image, *(f"{value:.4f}" for z in there for value in (z.real, z.imag))])


HEADER = "path,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5"


@pytest.mark.parametrize("side", [112, 224])
def test_five_landmarks_bring_a_face_onto_arcfaces_template(side: int) -> None:
    points = np.array(five_of("x", 0.4, 1.5).split(",")[1:], np.float64).reshape(5, 2)
    image = Image.new("RGB", (200, 160))
    for x, y in np.rint(points).astype(int).tolist():
        image.paste((255, 255, 255), (x - 2, y - 2, x + 3, y + 3))
    seen = np.asarray(alignment.aligned(image, points, True, side))[..., 0]
    for x, y in np.array(alignment.FIVE) * side / 112:
        left, upper = round(x) - 6, round(y) - 6
        there = seen[upper : upper + 13, left : left + 13].astype(float)
        rows, columns = np.indices(there.shape)
        centre = (
            left + (columns * there).sum() / there.sum(),
            upper + (rows * there).sum() / there.sum(),
        )
        assert np.abs(np.subtract(centre, (x, y))).max() < 0.7  # a spot lies on whole pixels
    assert (seen > 100).sum() == pytest.approx(5 * (5 / 1.5 * side / 112) ** 2, rel=0.25)
    # Upright as it is, on the template already: nothing is turned, scaled or moved.
    noise = Image.effect_noise((112, 112), 90).convert("RGB")
    same = alignment.aligned(noise, np.array(alignment.FIVE), True, 112)
    assert np.abs(np.asarray(same).astype(int) - np.asarray(noise)).max() <= 1


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A folder of ten people with two images each, and their landmarks."""
    rows = [HEADER]
    for who in range(10):
        for at in range(2):
            name = f"p{who}/{at}.png"
            (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
            noise = Image.effect_noise((200, 160), 50 + who + at).convert("RGB")
            noise.save(tmp_path / "set" / name)
            rows.append(five_of(name, 0.1 * who, 1.0))
    (tmp_path / "set/landmarks.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "set"


def pack(folder: Path) -> FaceData:
    packing = [Packing("aligned", 112)]
    return prepare(str(folder), packing, cache=folder.parent / "cache", progress=False)


def test_a_folder_with_a_table_of_landmarks_is_packed_aligned(people: Path) -> None:
    data = pack(people)
    name = data.names[5]
    row = next(
        line
        for line in people.joinpath("landmarks.csv").read_text().split("\n")
        if line.startswith(name)
    )
    points = np.array(row.split(",")[1:], np.float64).reshape(5, 2)
    expected = alignment.aligned(Image.open(people / name).convert("RGB"), points, True, 112)
    assert (data.pixels(Packing("aligned", 112))[5] == np.asarray(expected)).all()
    table = people / "landmarks.csv"
    table.write_text(table.read_text().replace("p3/1.png,", "p3/1.png,9"))
    assert (
        pack(people).pixels(Packing("aligned", 112)) != data.pixels(Packing("aligned", 112))
    ).any()


FAULTS = {
    "no table": (
        lambda text: None,
        r"align: true needs landmarks, and there is no landmarks\.csv",
    ),
    "an image is missing": (
        lambda text: text.replace("p3/1.png", "p3/7.png").replace("p4/0.png", "x"),
        "landmarks.csv has no row for 2 of 20 images, the first of them p3/1.png",
    ),
    "a row comes again": (
        lambda text: text.replace("p0/1.png", ".\\p0\\0.png"),
        "landmarks.csv line 3: has p0/0.png, which line 2 has as well",
    ),
    "no number": (
        lambda text: text.replace("p0/1.png,", "p0/1.png,a"),
        "landmarks.csv line 3: expected a number of pixels as in 27.5, got 'a",
    ),
    "no column": (
        lambda text: text.replace(",y5", ",z5"),
        "landmarks.csv line 1: no column y5 in the header",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_landmarks_that_cannot_be_used_get_a_sentence(people: Path, fault: str) -> None:
    change, sentence = FAULTS[fault]
    table = people / "landmarks.csv"
    text = change(table.read_text())
    table.write_text(text) if text else table.unlink()
    with pytest.raises(DataError, match=sentence):
        pack(people)
    assert not list(people.parent.rglob("*.npy"))
