"""The packed pixels and the frozen pairs, on a data set known by heart (see tiny_cfp)."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import tiny_cfp
from builders import LETTERBOX, ROOT, SQUEEZE
from PIL import Image

from facesiam.config.trial import Packing, Part, Protocol
from facesiam.data import packing
from facesiam.data.__main__ import main
from facesiam.data.dataset import FaceData, open_packed
from facesiam.data.formats import open_dataset
from facesiam.data.geometry import decode, letterbox, squeeze
from facesiam.data.preparation import prepare
from facesiam.errors import DataError


@pytest.fixture(scope="module")
def packed(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceData:
    cache = tmp_path_factory.mktemp("cache")
    return prepare(str(tiny_folder), [SQUEEZE, LETTERBOX], cache=cache, progress=False)


def load(path: Path) -> FaceData:
    return prepare(str(path), [SQUEEZE], cache=path.parent / "cache", progress=False)


def test_images_are_the_frontal_list_then_the_profile_list(packed: FaceData) -> None:
    assert packed.person.tolist() == [p for p in range(1, 21) for _ in (1, 2)] + list(range(1, 21))
    assert packed.frontal.tolist() == [True] * 40 + [False] * 20
    assert packed.names[1] == "Data/Images/001/frontal/02.jpg"
    assert packed.names[59] == "Data/Images/020/profile/01.jpg"
    assert packed.folder.is_absolute() and packed.folder.name == packed.key


def test_pixels_are_each_image_in_its_place(packed: FaceData) -> None:
    pixels = packed.pixels(SQUEEZE)
    assert pixels.shape == (60, 224, 224, 3) and pixels.dtype == np.uint8
    expected = np.array([(4 * at, 255 - 4 * at, 100) for at in range(60)])
    assert (pixels == expected[:, None, None]).all()
    assert not pixels.flags.writeable


def test_letterbox_centres_on_black(packed: FaceData) -> None:
    # 8×6 → 224×168, so 28 black rows above and below
    image = packed.pixels(LETTERBOX)[5]
    assert (image[28:196] == (20, 235, 100)).all()
    assert not image[:28].any() and not image[196:].any()
    # 10×20 → 112×224, so 56 black columns on the left and on the right
    tall = np.asarray(letterbox(Image.new("RGB", (10, 20), (200, 100, 50)), 224))
    assert (tall[:, 56:168] == (200, 100, 50)).all()
    assert not tall[:, :56].any() and not tall[:, 168:].any()
    sliver = np.asarray(letterbox(Image.new("RGB", (1, 2000), (9, 9, 9)), 224))
    assert sliver.any(axis=(0, 2)).sum() == 1


def test_squeeze_ignores_the_aspect_and_averages_where_it_shrinks() -> None:
    half = Image.new("RGB", (20, 10))
    half.paste((255, 255, 255), (10, 0, 20, 10))
    wide = np.asarray(squeeze(half, 224))
    assert wide.shape == (224, 224, 3)
    assert not wide[:, :100].any() and (wide[:, 124:] == 255).all()
    stripes = np.zeros((448, 448, 3), np.uint8)
    stripes[:, ::2] = 200
    assert abs(np.asarray(squeeze(Image.fromarray(stripes), 224)).astype(int) - 100).max() <= 34


def test_a_large_jpeg_is_decoded_at_a_fraction_never_below_twice_the_side() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (3000, 2000), (200, 100, 50)).save(stream, "JPEG")
    # a quarter; an eighth would be 375×250, less than 448 a side
    assert decode(stream.getvalue(), 224).size == (750, 500)


def test_greyscale_becomes_three_equal_channels(copy: Path) -> None:
    Image.new("L", (9, 9), 77).save(copy / "Data/Images/003/frontal/01.jpg", "PNG")
    assert (load(copy).pixels(SQUEEZE)[4] == 77).all()


def lay_on_its_side(file: Path) -> None:
    """Store an image as a phone held sideways does: turned, with the word that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(file) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)


def test_images_are_packed_upright_and_in_8_bits(copy: Path) -> None:
    images = copy / "Data/Images"
    halves = Image.new("RGB", (6, 9), (200, 10, 10))
    halves.paste((10, 10, 200), (0, 4, 6, 9))
    for name in ("001/frontal/01.jpg", "001/frontal/02.jpg"):
        halves.save(images / name, "PNG")
    lay_on_its_side(images / "001/frontal/02.jpg")
    deep = np.full((6, 8), 77 * 257, np.uint16)
    Image.fromarray(deep).save(images / "002/frontal/01.jpg", "PNG")
    pixels = load(copy).pixels(SQUEEZE)
    assert (pixels[1] == pixels[0]).all()
    assert (pixels[0, 0, 0] == (200, 10, 10)).all() and (pixels[0, -1, 0] == (10, 10, 200)).all()
    assert (pixels[2] == 77).all()


@pytest.mark.parametrize("fold", [0, 3])
def test_the_pairs_that_a_dataset_lists_are_those_of_its_own_protocol(
    packed: FaceData, fold: int
) -> None:
    for part in get_args(Part):
        ours, theirs = (packed.pairs(p, part, fold=fold) for p in ("dataset-pairs", "cfp-pairs"))
        assert np.stack([ours.left, ours.right, ours.label]).tolist() == (
            np.stack([theirs.left, theirs.right, theirs.label]).tolist()
        )


def test_official_pairs_by_hand(packed: FaceData) -> None:
    train = packed.pairs("cfp-pairs", "train")
    # split 01: people 1, 2. FF: same (1,2) (3,4), different (1,3); split 02 follows
    assert train.left[:6].tolist() == [0, 2, 0, 4, 6, 4]
    assert train.right[:6].tolist() == [1, 3, 2, 5, 7, 6]
    # FP begins after 6 splits of 3: same (1,1) (3,2), different (1,2); profile 1 is image 40
    assert train.left[18:21].tolist() == [0, 2, 0]
    assert train.right[18:21].tolist() == [40, 41, 41]
    assert train.label.tolist() == [0, 0, 1] * 12
    assert train.triplets is None
    for part, first, last in (("train", 1, 12), ("val", 13, 16), ("test", 17, 20)):
        pairs = packed.pairs("cfp-pairs", part)
        people = set(packed.person[np.concatenate([pairs.left, pairs.right])].tolist())
        assert people == set(range(first, last + 1))
        assert len(pairs.label) == 3 * (last - first + 1)


def test_triplets_by_hand(packed: FaceData) -> None:
    for part, images in (("train", range(24)), ("val", range(24, 32)), ("test", range(32, 40))):
        pairs = packed.pairs("frontal-triplets", part)
        assert pairs.triplets is not None
        anchor, positive, negative = pairs.triplets.T
        assert anchor.tolist() == list(images)
        # two images a person: the positive can only be the other one
        assert positive.tolist() == [at + 1 if at % 2 == 0 else at - 1 for at in images]
        assert set(negative.tolist()) <= set(images)
        assert (packed.person[negative] != packed.person[anchor]).all()
        assert pairs.left.tolist() == [*images, *images]
        assert pairs.right.tolist() == [*positive, *negative]
        assert pairs.label.tolist() == [0] * len(images) + [1] * len(images)


def test_triplets_are_frozen_by_the_seed(packed: FaceData) -> None:
    def draw(part: Part, seed: int) -> list[list[int]]:
        triplets = packed.pairs("frontal-triplets", part, seed=seed).triplets
        assert triplets is not None
        return [list(triplet) for triplet in triplets.tolist()]

    again = open_packed(packed.folder).pairs("frontal-triplets", "train", seed=7).triplets
    assert again is not None and draw("train", 7) == again.tolist() != draw("train", 8)
    val, test = np.array(draw("val", 7)), np.array(draw("test", 7))  # of equal size
    assert (val - val[0, 0]).tolist() != (test - test[0, 0]).tolist()


def test_a_byte_identical_copy_is_no_positive(copy: Path) -> None:
    lines = (copy / "Protocol/Pair_list_F.txt").read_text().splitlines()
    lines[2] = "3 ../Data/Images/001/frontal/03.jpg"  # was person 2's first image
    tiny_cfp.text(copy / "Protocol/Pair_list_F.txt", lines)
    tiny_cfp.text(copy / "Protocol/Split/FF/01/same.txt", ["1,3", "2,3"])
    tiny_cfp.text(copy / "Protocol/Split/FF/01/diff.txt", ["1,4"])
    tiny_cfp.text(copy / "Protocol/Split/FP/01/same.txt", ["3,1"])
    images = copy / "Data/Images/001/frontal"
    tiny_cfp.image(images / "03.jpg", (1, 2, 3))
    shutil.copy(images / "01.jpg", images / "02.jpg")
    for seed in range(5):
        triplets = load(copy).pairs("frontal-triplets", "train", seed=seed).triplets
        assert triplets is not None
        # images 0 and 1 are copies, so both get 2; person 2 is left with one image: no triplet
        assert triplets[:2, :2].tolist() == [[0, 2], [1, 2]]
        assert triplets[:4, 0].tolist() == [0, 1, 2, 4]


def test_people_limits_a_part_to_its_first(packed: FaceData) -> None:
    pairs = packed.pairs("cfp-pairs", "val", people=2)  # people 13, 14: split 07
    assert pairs.left.tolist() == [24, 26, 24, 24, 26, 24]
    assert pairs.right.tolist() == [25, 27, 26, 52, 53, 53]
    triplets = packed.pairs("frontal-triplets", "test", people=2).triplets  # people 17, 18
    assert triplets is not None and triplets[:, 0].tolist() == [32, 33, 34, 35]
    assert set(triplets[:, 2].tolist()) <= {32, 33, 34, 35}
    everyone = packed.pairs("cfp-pairs", "val", people=99)
    assert everyone.left.tolist() == packed.pairs("cfp-pairs", "val").left.tolist()


@pytest.mark.parametrize(
    ("protocol", "sentence"),
    [
        ("cfp-pairs", "people: 1 leaves no pair of different people in the val part of cfp-pairs"),
        ("frontal-triplets", "people: 1 leaves no pair of the same person in the val part of fro"),
    ],
)
def test_people_must_leave_both_kinds_of_pair(
    packed: FaceData, protocol: Protocol, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        packed.pairs(protocol, "val", people=1)


def test_zip_folder_and_parent_are_the_same_data(
    tiny_folder: Path, packed: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = packed.folder.parent
    monkeypatch.setattr(packing, "decode", None)  # nothing may be decoded again
    for prefix in ("cfp-dataset/", "", "a/b/"):
        archive = tiny_cfp.zipped(tiny_folder, tmp_path / "tiny.zip", prefix)
        data = prepare(str(archive), [SQUEEZE], cache=cache, progress=False)
        assert data.folder == packed.folder and data.source == str(archive)
    parent = prepare(str(tiny_folder.parent), [LETTERBOX], cache=cache, progress=False)
    assert parent.key == packed.key


def test_junk_beside_the_data_does_not_matter(copy: Path, packed: FaceData) -> None:
    junk = copy.parent / "__MACOSX/cfp-dataset"
    for name in ("Data/Images/001/frontal/._01.jpg", "Protocol/._Pair_list_F.txt"):
        tiny_cfp.text(junk / name, ["junk"])
    tiny_cfp.text(copy / "Data/Images/.DS_Store", ["junk"])
    archive = tiny_cfp.zipped(copy.parent, copy.parent / "with_junk.zip", "")
    assert load(archive).key == load(copy.parent).key == packed.key


def test_other_names_of_the_lists_load_too(copy: Path, packed: FaceData) -> None:
    for letter in "FP":
        old = copy / f"Protocol/Pair_list_{letter}.txt"
        new = copy / f"Protocol/image_list_{letter}.txt"
        text = old.read_text().replace("../", "").replace("\n", "\r\n")
        new.write_text(text, encoding="utf-8-sig")  # as Windows' editors save it
        old.unlink()
    data = load(copy)
    assert data.names == packed.names
    for part in get_args(Part):
        ours, theirs = (d.pairs("cfp-pairs", part) for d in (data, packed))
        assert ours.left.tolist() == theirs.left.tolist()


def test_two_swapped_images_of_one_size_are_another_key(copy: Path, packed: FaceData) -> None:
    by_size: dict[int, Path] = {}
    for one in sorted(copy.glob("Data/Images/*/profile/01.jpg")):
        other = by_size.setdefault(one.stat().st_size, one)
        if other != one:
            break
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert load(copy).key != packed.key


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "list line at nothing": (
        lambda f: (f / "Data/Images/002/frontal/01.jpg").unlink(),
        "cfp-dataset: Protocol/Pair_list_F.txt line 3: points at Data/Images/002/frontal/01.jpg, "
        "which does not exist$",
    ),
    "list line outside": (
        lambda f: replace_line(f / "Protocol/Pair_list_P.txt", 2, "2 ../../../2/profile/x.jpg"),
        r"Pair_list_P.txt line 2: points at \.\./\.\./2/profile/x.jpg, which does not exist$",
    ),
    "list without person": (
        lambda f: replace_line(f / "Protocol/Pair_list_P.txt", 2, "2 ../Data/x.jpg"),
        r"Pair_list_P.txt line 2: expected …/<person number>/<frontal\|profile>/<file>, "
        r"got '\.\./Data/x.jpg'",
    ),
    "list number": (
        lambda f: replace_line(f / "Protocol/Pair_list_P.txt", 2, "7 ../Data/1/profile/1.jpg"),
        "Pair_list_P.txt line 2: expected image 2, got '7 ../Data/1/profile/1.jpg'",
    ),
    "pair at nothing": (
        lambda f: replace_line(f / "Protocol/Split/FP/03/same.txt", 2, "11,21"),
        "Protocol/Split/FP/03/same.txt line 2: points at image 21 of a list that has 1 to 20$",
    ),
    "pair from 0": (
        lambda f: replace_line(f / "Protocol/Split/FP/03/same.txt", 1, "0,1"),
        "Protocol/Split/FP/03/same.txt line 1: points at image 0 of a list that has 1 to 40$",
    ),
    "no pair": (
        lambda f: replace_line(f / "Protocol/Split/FF/03/diff.txt", 1, "9;11"),
        "Protocol/Split/FF/03/diff.txt line 1: expected two numbers as in 5,1, got '9;11'$",
    ),
    "wrong label": (
        lambda f: replace_line(f / "Protocol/Split/FF/03/diff.txt", 1, "9,10"),
        "FF/03/diff.txt line 1: 9,10 are of person 5 and person 5 in diff.txt$",
    ),
    "nine splits": (
        lambda f: shutil.rmtree(f / "Protocol/Split/FF/10"),
        "Protocol/Split/FF: has 9 of the 10 splits; missing: 10$",
    ),
    "half a split": (
        lambda f: (f / "Protocol/Split/FF/10/diff.txt").unlink(),
        "Protocol/Split/FF/10/diff.txt: missing$",
    ),
    "person in two parts": (
        lambda f: replace_line(f / "Protocol/Split/FF/09/diff.txt", 1, "33,1"),
        r"person 1 is in the train part \(split 01\) and in the test part \(split 09\); no one",
    ),
    "no list": (
        lambda f: (f / "Protocol/Pair_list_P.txt").unlink(),
        "Protocol/Pair_list_P.txt is missing; expected Data/Images/<person>",
    ),
    "empty list": (
        lambda f: (f / "Protocol/Pair_list_P.txt").write_text("\n"),
        "cfp-dataset: Protocol/Pair_list_P.txt lists no images; expected Data/Images/<person>",
    ),
    "not an image": (
        lambda f: (f / "Data/Images/004/frontal/02.jpg").write_text("no image"),
        r"Data/Images/004/frontal/02.jpg is not a readable image \(neither JPEG .*check PATH",
    ),
    "half an image": (
        lambda f: truncate(f / "Data/Images/004/frontal/02.jpg"),
        r"Data/Images/004/frontal/02.jpg is not a readable image \(.*check PATH",
    ),
    "no Protocol": (
        lambda f: shutil.rmtree(f / "Protocol"),
        "cfp-dataset: not a dataset; it holds images of CFP and not its lists; expected Data/Images/",
    ),
}


def replace_line(file: Path, line: int, text: str) -> None:
    lines = file.read_text().splitlines()
    lines[line - 1] = text
    tiny_cfp.text(file, lines)


def truncate(file: Path) -> None:
    Image.effect_noise((64, 64), 50).save(file, "JPEG")
    file.write_bytes(file.read_bytes()[:1000])


@pytest.mark.parametrize("fault", BREAKS)
def test_bad_data_is_named(copy: Path, fault: str) -> None:
    damage, sentence = BREAKS[fault]
    damage(copy)
    with pytest.raises(DataError, match=sentence):
        load(copy)
    assert not list(copy.parent.glob("cache/*/squeeze-224.npy"))
    assert not list(copy.parent.rglob("*.part"))


def test_every_problem_comes_at_once(copy: Path) -> None:
    (copy / "Data/Images/002/frontal/01.jpg").unlink()
    replace_line(copy / "Protocol/Split/FF/03/diff.txt", 1, "x")
    with pytest.raises(DataError, match=r"cfp-dataset: 2 problems\n  Protocol/P.*\n  Protocol/S"):
        load(copy)


def test_problems_that_are_alike_are_told_once(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_cfp.text(copy / "Protocol/Split/FF/03/diff.txt", ["x"] * 25)
    replace_line(copy / "Protocol/Split/FP/03/same.txt", 2, "11,21")
    said = (
        r"cfp-dataset: 26 problems\n  Protocol/Split/FF/03/diff.txt line 1: expected two numbers "
        r"as in 5,1, got 'x', and 24 more like it\n  Protocol/Split/FP/03/same.txt line 2: .*20$"
    )
    with pytest.raises(DataError, match=said):
        load(copy)
    assert main(["check", str(copy)]) == 1
    out = capsys.readouterr().out
    assert "and 24 more like it\n" in out and out.count("got 'x'") == 1
    assert main(["check", "--all", str(copy)]) == 1
    assert capsys.readouterr().out.count("got 'x'") == 25


def test_a_decompression_bomb_is_refused_by_name(copy: Path) -> None:
    Image.new("1", (7100, 7100)).save(copy / "Data/Images/001/profile/01.jpg", "PNG")
    sentence = "Data/Images/001/profile/01.jpg is not a readable image .7100×7100 pixels; refused"
    with pytest.raises(DataError, match=sentence):
        load(copy)


def test_a_missing_path_names_the_nearest(copy: Path) -> None:
    with pytest.raises(DataError, match=r"cfp-datset: does not exist; did you mean cfp-dataset\?"):
        load(copy.with_name("cfp-datset"))
    with pytest.raises(DataError, match="cfp.zip: does not exist .nor does its folder"):
        load(copy / "nowhere/cfp.zip")


def test_without_data_the_three_ways_are_named(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def default() -> FaceData:
        return prepare(None, [], cache=tmp_path / "cache", progress=False)

    monkeypatch.delenv("FACESIAM_DATA", raising=False)
    with pytest.raises(DataError, match="no data: give --data .* download`, or use --data drawn"):
        default()
    assert not (tmp_path / "cache").exists()
    (tmp_path / "cache").mkdir()
    archive = tiny_cfp.zipped(copy, tmp_path / "cache/cfp-dataset.zip")
    assert default().source == str(archive)
    monkeypatch.setenv("FACESIAM_DATA", str(copy))
    assert default().source == str(copy)


def test_open_packed_never_packs(packed: FaceData, copy: Path, tmp_path: Path) -> None:
    same = open_packed(str(packed.folder))
    assert same.key == packed.key and same.source == packed.source
    assert (same.pixels(LETTERBOX) == packed.pixels(LETTERBOX)).all()
    with pytest.raises(DataError, match="nowhere: no packed data here .*share it, and set FACES"):
        open_packed(tmp_path / "nowhere")
    only_squeezed = open_packed(load(copy).folder)
    with pytest.raises(DataError, match=r"letterbox-224.npy: not packed .*prepare\(\) packs it"):
        only_squeezed.pixels(LETTERBOX)


def test_pixels_of_other_data_are_refused(packed: FaceData, tmp_path: Path) -> None:
    folder = shutil.copytree(packed.folder, tmp_path / "copy")
    np.save(folder / "squeeze-224.npy", np.zeros((3, 224, 224, 3), np.uint8))
    with pytest.raises(DataError, match=r"shape \(3, 224, 224, 3\); the next start with this d"):
        open_packed(folder).pixels(SQUEEZE)


def test_a_cache_that_cannot_be_written_is_named(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = copy.parent / "cache"
    cache.write_text("a file")
    with pytest.raises(DataError, match="cannot be written .*FACESIAM_CACHE=DIR puts the cache"):
        load(copy)
    cache.unlink()

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"cannot be written \(No space left on device\)"):
        load(copy)
    assert not list(cache.rglob("*.npy")) and not list(cache.rglob(".*"))


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


PACK = """
import sys, time
from pathlib import Path
from facesiam.config.trial import Packing
from facesiam.data import packing
from facesiam.data.preparation import prepare
decode, pause, stop = packing.decode, float(sys.argv[3]), int(sys.argv[4])
packing._CHUNK, seen = 8, []
packing.cores = lambda: 1
def slow(content, side):
    seen.append(time.sleep(60 if len(seen) == stop else pause))
    return decode(content, side)
packing.decode = slow
prepare(sys.argv[1], [Packing("squeeze", 224)], cache=Path(sys.argv[2]), progress=False)
print(len(seen))
"""


def test_a_packing_that_was_killed_goes_on_with_the_chunks_that_are_whole(copy: Path) -> None:
    cache = copy.parent / "cache"
    with start(PACK, copy, cache, 0, 27) as process:  # three chunks of 8, and a part of one
        deadline = time.monotonic() + 20
        while len(noted(cache)) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        prepare(str(copy), [], cache=cache, progress=False)  # it is at work: left alone
        process.send_signal(signal.SIGKILL)
    assert [line.split()[0] for line in noted(cache)[1:]] == ["0", "8", "16"]
    assert not list(cache.rglob("squeeze-224.npy"))
    (array,) = cache.rglob(".squeeze-224.npy.unfinished")
    with open(array, "r+b") as stream:  # what a power cut may leave of the second chunk
        stream.seek(128 + 9 * 224 * 224 * 3)
        stream.write(b"\xff")
    with start(PACK, copy, cache, 0, -1) as process:
        assert process.communicate()[0] == "44\n"  # 60 less two chunks of 8
    pixels = load(copy).pixels(SQUEEZE)
    assert [image[0, 0, 0] for image in pixels] == [4 * at for at in range(60)]
    assert not list(cache.rglob(".*"))


def noted(cache: Path) -> list[str]:
    """The lines on the chunks of an unfinished array."""
    found = list(cache.rglob(".squeeze-224.npy.unfinished.chunks"))
    return found[0].read_text().splitlines() if found else []


def test_an_unfinished_packing_of_other_things_begins_anew(copy: Path) -> None:
    cache = copy.parent / "cache"
    folder = prepare(str(copy), [], cache=cache, progress=False).folder
    (folder / ".squeeze-224.npy.unfinished.chunks").write_text("{}\n0 00000000\n")
    (folder / ".squeeze-224.npy.unfinished").write_bytes(bytes(5000))
    pixels = load(copy).pixels(SQUEEZE)
    assert [image[0, 0, 0] for image in pixels] == [4 * at for at in range(60)]


def test_an_unfinished_packing_is_given_up_after_a_month(copy: Path) -> None:
    cache = copy.parent / "cache"
    folder = prepare(str(copy), [], cache=cache, progress=False).folder
    kept, old = (folder / f".{name}-224.npy.unfinished" for name in ("squeeze", "letterbox"))
    for file in (kept, old):
        file.write_bytes(b"x")
    os.utime(old, (time.time() - 31 * 86_400,) * 2)
    prepare(str(copy), [], cache=cache, progress=False)
    assert kept.exists() and not old.exists()


def test_two_that_pack_at_once_do_not_disturb_each_other(copy: Path) -> None:
    cache = copy.parent / "cache"
    with start(PACK, copy, cache, 0.005, -1) as one, start(PACK, copy, cache, 0.005, -1) as other:
        assert one.wait() == 0 and other.wait() == 0
    pixels = load(copy).pixels(SQUEEZE)
    assert [image[0, 0, 0] for image in pixels] == [4 * at for at in range(60)]
    assert not list(cache.rglob(".*"))


TOUCH = """
import sys
from facesiam.config.trial import Packing
from facesiam.data.dataset import open_packed
pixels = open_packed(sys.argv[1]).pixels(Packing("letterbox", 224))
print(pixels.sum(), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(
    not Path("/proc/self/smaps").exists(),
    reason="needs Linux: /proc/PID/smaps says what is shared",
)
def test_two_processes_share_one_copy_of_the_pixels(data: FaceData) -> None:
    size = data.pixels(LETTERBOX).nbytes
    with start(TOUCH, data.folder) as one, start(TOUCH, data.folder) as other:
        for process in (one, other):
            assert process.stdout is not None
            assert int(process.stdout.readline()) > 0  # has read every pixel
        resident, shared = zip(*(mapped(process.pid) for process in (one, other)), strict=True)
        one.communicate()
        other.communicate()
    assert min(resident) >= 0.99 * size  # each sees all of it
    assert sum(shared) < 1.3 * size  # and both together hold it once


def mapped(pid: int) -> tuple[int, int]:
    """Return Rss and Pss of the mapping of the letterboxed pixels, in bytes."""
    sizes, ours = {"Rss:": 0, "Pss:": 0}, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            ours = line.endswith("letterbox-224.npy")
        elif ours and words[0] in sizes:
            sizes[words[0]] += 1024 * int(words[1])
    return sizes["Rss:"], sizes["Pss:"]


def test_check_counts_and_finds_nothing_wrong(
    tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tiny_folder)]) == 0
    out = capsys.readouterr().out
    assert "people      20\n" in out
    assert "images      60: 40 frontal, 20 profile; 0 of them greyscale" in out
    for kind in ("FF", "FP"):
        assert f"{kind} pairs    train 18 (12 same), val 6 (4 same), test 6 (4 same); 3 in" in out
    assert "byte-identical images: 0; " in out and "problems    none" in out


def test_check_names_everything_that_is_wrong(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = copy / "Data/Images"
    (images / "002/frontal/01.jpg").unlink()
    (images / "004/frontal/02.jpg").write_text("no image")
    shutil.copy(images / "001/frontal/01.jpg", images / "001/frontal/02.jpg")
    shutil.copy(images / "001/frontal/01.jpg", images / "003/frontal/01.jpg")  # both train
    shutil.copy(images / "005/frontal/01.jpg", images / "020/frontal/01.jpg")  # train, test
    Image.new("L", (5, 5)).save(images / "006/frontal/01.jpg", "PNG")
    lay_on_its_side(images / "007/frontal/01.jpg")
    replace_line(copy / "Protocol/Split/FF/03/diff.txt", 1, "9,999")
    assert main(["check", str(copy)]) == 1
    out = capsys.readouterr().out
    assert "1 of them greyscale, 1 stored turned or mirrored and brought upright\n" in out
    # 001/01 and 001/02 are a same pair of FF/01, one of 20: more than 1 in 500
    assert "FF/01/same.txt line 1: a pair of one person, but Data/Images/001/frontal/01.jpg" in out
    # {001/01, 001/02, 003/01} has three pairs, two of them across people; {005/01, 020/01} one
    assert (
        "sets of byte-identical images: 2; pairs of them: 4, across people 3, across parts 1"
        in out
    )
    assert "    Data/Images/005/frontal/01.jpg = Data/Images/020/frontal/01.jpg\n" in out
    one, other = (f"Data/Images/{name}/frontal/01.jpg" for name in ("001", "003"))
    assert f"    {one} = Data/Images/001/frontal/02.jpg = {other}\n" in out
    assert "problems    4\n" in out
    assert "points at Data/Images/002/frontal/01.jpg, which does not exist" in out
    assert "diff.txt line 1: points at image 999 of a list that has 1 to 40" in out
    assert "Data/Images/004/frontal/02.jpg is not a readable image" in out


def test_check_of_something_else_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path}: not a dataset; it is empty; known ")


def test_real_cfp_is_as_published(real_faces: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", real_faces]) == 0
    out = capsys.readouterr().out
    assert "people      500" in out
    assert "7,000: 5,000 frontal, 2,000 profile; 13 of them greyscale" in out
    assert "FF pairs    train 4,200 (2,100 same), val 1,400 (700 same), test 1,400 (700" in out
    assert "130 pairs of FF come again, as they are or the other way round, 3 more as" in out
    assert "3 same pairs of FF are two byte-identical files" in out and "of FP are" not in out
    # 27 sets: 26 twins and one of three; none across people
    assert "sets of byte-identical images: 27; pairs of them: 29, across people 0" in out


def test_real_cfp_gives_the_protocols_sizes(real_faces: str, tmp_path: Path) -> None:
    dataset = open_dataset(Path(real_faces)).read()
    assert dataset.problems == []
    counts = np.bincount(dataset.pairs[:, 1], minlength=11)
    assert counts[1:7].sum() == 8400 and counts[7:9].sum() == counts[9:].sum() == 2800
    # No geometry: nothing is decoded.
    data = prepare(real_faces, [], cache=tmp_path, progress=False)
    test = data.pairs("cfp-pairs", "test")
    # 1,379 + 1,400: 21 of split 09's and 10's FF pairs are there in reverse as well
    assert len(test.label) == 2800 and len(np.unique(data.distinct(test))) == 2779
    for part, people, size in (("train", 300, 3000), ("val", 100, 1000), ("test", 100, 1000)):
        triplets = data.pairs("frontal-triplets", part).triplets
        assert triplets is not None and len(triplets) == size
        assert len(np.unique(data.person[triplets])) == people


def test_images_are_packed_at_the_side_asked_for(tmp_path: Path, tiny_folder: Path) -> None:
    sizes = [Packing("letterbox", side) for side in (64, 112)]
    data = prepare(str(tiny_folder), sizes, cache=tmp_path, progress=False)
    content = open_dataset(tiny_folder).source.read(data.names[5])
    for packing_ in sizes:
        image = letterbox(decode(content, packing_.side), packing_.side)
        pixels = data.pixels(packing_)
        assert pixels.shape == (60, packing_.side, packing_.side, 3)
        assert (pixels[5] == np.asarray(image)).all()
    assert sorted(file.name for file in data.folder.glob("*.npy")) == [
        "letterbox-112.npy",
        "letterbox-64.npy",
    ]
    with pytest.raises(DataError, match=r"letterbox-224\.npy: not packed"):
        data.pixels(LETTERBOX)
