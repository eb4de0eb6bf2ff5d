"""What was packed is what is mapped: damage of every kind is noticed, said, and packed anew."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
import tokenize
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_cfp
from builders import unknown_compression

from facesiam.config.trial import Packing
from facesiam.data import cache_files, checksums
from facesiam.data.dataset import FaceData, open_packed
from facesiam.data.preparation import is_packed, prepare
from facesiam.errors import DataError

SQUEEZE, LETTERBOX, ALIGNED = (
    Packing(geometry, 16)  # what is held here does not depend on the size
    for geometry in ("squeeze", "letterbox", "aligned")
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_cfp.write(tmp_path_factory.mktemp("tiny") / "cfp-dataset")
    for image in sorted((folder / "Data/Images").rglob("*.jpg")):
        file = Path(str(image).replace("/Images/", "/Fiducials/")).with_suffix(".txt")
        tiny_cfp.text(file, [f"{1 + at % 5},{at / 6}" for at in range(30)])
    return folder


@pytest.fixture(scope="module")
def packed(faces: Path) -> Path:
    cache = faces.parent / "cache"
    return prepare(str(faces), [SQUEEZE, LETTERBOX], cache=cache, progress=False).folder


@pytest.fixture
def cache(packed: Path, tmp_path: Path) -> Path:
    """A copy of the cache to damage."""
    shutil.copytree(packed, tmp_path / "cache" / packed.name)
    return tmp_path / "cache" / packed.name


def again(faces: Path, folder: Path) -> FaceData:
    return prepare(str(faces), [SQUEEZE, LETTERBOX], cache=folder.parent, progress=False)


def flip(file: Path, at: int, bit: int = 1) -> None:
    at %= file.stat().st_size
    with open(file, "r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0] ^ bit
        stream.seek(at)
        stream.write(bytes([byte]))


def swap_images(folder: Path) -> None:
    pixels = np.load(folder / "squeeze-16.npy", mmap_mode="r+")
    pixels[[3, 4]] = pixels[[4, 3]]


def swap_pairs(folder: Path) -> None:
    with np.load(folder / "index-4.npz") as index:
        arrays = dict(index)
    arrays["pairs"][:, 4] ^= 1
    with open(folder / "index-4.npz", "wb") as stream:
        np.savez(stream, **arrays)


def other_dataset(folder: Path) -> None:
    """All files of another dataset, seals and all, under this one's name."""
    other = tiny_cfp.write(folder.parent / "other")
    tiny_cfp.image(other / "Data/Images/001/frontal/01.jpg", (9, 9, 9))
    tiny_cfp.text(other / "Protocol/Split/FF/01/diff.txt", ["2,4"])
    theirs = prepare(str(other), [SQUEEZE, LETTERBOX], cache=folder.parent, progress=False).folder
    assert theirs != folder
    shutil.rmtree(folder)
    theirs.rename(folder)


DAMAGES: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "a bit of an image": (lambda f: flip(f / "squeeze-16.npy", 5000), ("squeeze-16",)),
    "the last bit of the last image": (
        lambda f: flip(f / "squeeze-16.npy", -1, 128),
        ("squeeze-16",),
    ),
    "two images changed round": (swap_images, ("squeeze-16",)),
    "the other geometry's pixels": (
        lambda f: shutil.copy(f / "letterbox-16.npy", f / "squeeze-16.npy"),
        ("squeeze-16",),
    ),
    "the other geometry's pixels with their seal": (
        lambda f: (
            [shutil.copy(f / f"letterbox-16.{end}", f / f"squeeze-16.{end}") for end in ("npy",)]
            and shutil.copy(f / "letterbox-16.npy.json", f / "squeeze-16.npy.json")
        ),
        ("squeeze-16",),
    ),
    "labels changed round": (swap_pairs, ("index-4",)),
    "another dataset under this key": (other_dataset, ("index-4", "squeeze-16", "letterbox-16")),
    "a bit of the index": (lambda f: flip(f / "index-4.npz", 100), ("index-4",)),
    "cut pixels": (lambda f: os.truncate(f / "letterbox-16.npy", 20_000), ("letterbox-16",)),
    "empty pixels": (lambda f: os.truncate(f / "letterbox-16.npy", 0), ("letterbox-16",)),
    "longer pixels": (lambda f: os.truncate(f / "letterbox-16.npy", 10**6), ("letterbox-16",)),
    "a cut index": (lambda f: os.truncate(f / "index-4.npz", 500), ("index-4",)),
    "an empty index": (lambda f: os.truncate(f / "index-4.npz", 0), ("index-4",)),
    "an empty seal": (lambda f: os.truncate(f / "index-4.npz.json", 0), ("index-4",)),
    "a seal that is a list": (
        lambda f: (f / "squeeze-16.npy.json").write_text("[1]"),
        ("squeeze-16",),
    ),
    "a seal with other types": (
        lambda f: (f / "squeeze-16.npy.json").write_text('{"key": [], "crc32": {}}'),
        ("squeeze-16",),
    ),
    "no seals, as before there were any": (
        lambda f: [file.unlink() for file in f.glob("*.json")],
        ("index-4", "squeeze-16", "letterbox-16"),
    ),
    "an earlier decoder's": (lambda f: noted(f, decoder=1), ("squeeze-16",)),
    "another Pillow's": (lambda f: noted(f, pillow="1.0"), ("squeeze-16",)),
}


def noted(folder: Path, **other: object) -> None:
    seal = folder / "squeeze-16.npy.json"
    seal.write_text(json.dumps({**json.loads(seal.read_text()), **other}))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed_said_and_packed_anew(
    faces: Path, packed: Path, cache: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    harm, files = DAMAGES[damage]
    harm(cache)
    capsys.readouterr()
    data, sound = again(faces, cache), FaceData(packed)
    said = capsys.readouterr().err.splitlines()
    named = [Path(line.partition(":")[0]).name.split(".")[0] for line in said]
    assert named == list(files)
    assert all(line.endswith("; it is packed anew") for line in said)
    assert data.key == sound.key
    for packing in (SQUEEZE, LETTERBOX):
        assert (data.pixels(packing) == sound.pixels(packing)).all()
    for part in ("train", "val", "test"):
        ours, theirs = (d.pairs("cfp-pairs", part) for d in (data, sound))
        assert ours.label.tolist() == theirs.label.tolist()
        assert ours.left.tolist() == theirs.left.tolist()
    again(faces, cache)
    assert capsys.readouterr().err == ""  # once


def test_what_is_sound_is_not_packed_again(faces: Path, cache: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in cache.iterdir()}
    assert before.keys() == {
        "index-4.npz",
        "index-4.npz.json",
        "squeeze-16.npy",
        "squeeze-16.npy.json",
        "letterbox-16.npy",
        "letterbox-16.npy.json",
    }
    again(faces, cache)
    assert {file.name: file.stat().st_mtime_ns for file in cache.iterdir()} == before
    assert is_packed(cache, [SQUEEZE]) and not is_packed(cache, [ALIGNED])
    flip(cache / "squeeze-16.npy", 999)
    assert is_packed(cache, [LETTERBOX]) and not is_packed(cache, [SQUEEZE])


@pytest.mark.parametrize("size", [0, 1, 100, 500])
def test_a_worker_that_meets_a_damaged_file_says_so(cache: Path, size: int) -> None:
    os.truncate(cache / "squeeze-16.npy", size)
    with pytest.raises(
        DataError, match="squeeze-16.npy: is damaged .*the next start with this data"
    ):
        open_packed(cache).pixels(SQUEEZE)
    os.truncate(cache / "index-4.npz", size)
    with pytest.raises(DataError, match="index-4.npz: is damaged .*the next start with this data"):
        FaceData(cache)


def test_a_worker_that_meets_an_unknown_compression_says_so(cache: Path) -> None:
    index = cache / "index-4.npz"
    index.write_bytes(unknown_compression(index.read_bytes()))
    with pytest.raises(DataError, match="index-4.npz: is damaged .*compression method"):
        FaceData(cache)


def test_a_worker_that_meets_a_header_with_an_open_bracket_says_so(cache: Path) -> None:
    file = cache / "squeeze-16.npy"
    content = file.read_bytes()
    file.write_bytes(content[:128].replace(b")", b"(") + content[128:])
    with pytest.raises(tokenize.TokenError):
        np.load(file)
    with pytest.raises(
        DataError, match="squeeze-16.npy: is damaged .*the next start with this data"
    ):
        open_packed(cache).pixels(SQUEEZE)


def test_other_landmarks_are_packed_anew(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(faces, tmp_path / "copy")
    first = prepare(str(copy), [ALIGNED], cache=tmp_path / "cache", progress=False)
    before = np.array(first.pixels(ALIGNED)[5])
    file = copy / "Data/Fiducials/003/frontal/02.txt"
    tiny_cfp.text(file, [f"{100 + at % 5},{at / 6}" for at in range(30)])
    after = prepare(str(copy), [ALIGNED], cache=tmp_path / "cache", progress=False)
    assert (
        "aligned-16.npy: was packed with other landmarks; it is packed" in capsys.readouterr().err
    )
    assert (after.pixels(ALIGNED)[5] != before).any()


def test_a_seal_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "_PIECE", 4)
    file = tmp_path / "x.npy"
    file.write_bytes(b"abcdefghij")
    checksums.write(file, checksums.seal_of(file), "x.npy", "k")
    noted = json.loads((tmp_path / "x.npy.json").read_text())
    assert noted["bytes"] == 10
    assert noted["crc32"] == [zlib.crc32(piece) for piece in (b"abcd", b"efgh", b"ij")]
    assert checksums.broken(file, "k") is None
    assert checksums.broken(file, "other") == "is of another dataset"
    shutil.copy(file, tmp_path / "z.npy")
    shutil.copy(tmp_path / "x.npy.json", tmp_path / "z.npy.json")
    assert checksums.broken(tmp_path / "z.npy", "k") == "is another file"
    for at in range(10):
        flip(file, at)
        assert checksums.broken(file, "k") == "is damaged: it is not what was packed"
        flip(file, at)
    assert checksums.broken(tmp_path / "y.npy", "k") == "is not there"


def test_what_ended_writers_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    mine = cache_files.part_of(tmp_path / "a.npy")
    with cache_files.held(mine):
        cache_files.sweep(tmp_path)
        assert mine.exists()
    assert not mine.exists()
    left = cache_files.part_of(tmp_path / "b.npy")
    left.write_bytes(b"x")
    drawn = cache_files.part_of(tmp_path / "drawn")
    (drawn / "Data").mkdir(parents=True)
    other = tmp_path / ".c.npy-elsewhere-12-01234567.part"
    old = tmp_path / ".d-12-01234567.part"
    kept = tmp_path / "cfp-dataset.zip.part"  # a download goes on with it
    link = cache_files.part_of(tmp_path / "e.npy")
    for file in (other, old, kept):
        file.write_bytes(b"x")
    link.symlink_to(kept)
    os.utime(old, (0, 0))
    cache_files.sweep(tmp_path)
    assert {file for file in tmp_path.iterdir() if not file.is_symlink()} == {other, kept}
    os.utime(other, (time.time() - 3700,) * 2)
    cache_files.sweep(tmp_path)
    assert not other.exists() and kept.exists()


def test_where_every_lock_succeeds_a_writer_that_lives_keeps_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *given: None)
    writer = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mine = cache_files.part_of(tmp_path / "a.npy")
    file = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{writer.pid}-"))
    file.write_bytes(b"x")
    with cache_files.held(mine):
        cache_files.sweep(tmp_path)
        assert file.exists() and mine.exists()
    writer.communicate(b"\n")
    cache_files.sweep(tmp_path)
    assert not file.exists()


def test_a_folder_that_is_being_drawn_is_left_alone(tmp_path: Path) -> None:
    own = cache_files.part_of(tmp_path / "drawn")
    with cache_files.held(own, folder=True):
        cache_files.sweep(tmp_path)
        assert own.is_dir()
    assert not own.exists()


def test_a_large_file_is_read_once_and_again_where_it_changed(
    faces: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, measured, measure = cache / "squeeze-16.npy", list[str](), checksums._measured
    monkeypatch.setattr(checksums, "LARGE", file.stat().st_size - 1)
    monkeypatch.setattr(
        checksums, "_measured", lambda file: measured.append(file.name) or measure(file)
    )

    def read() -> bool:
        """Whether a start reads all of the file."""
        measured.clear()
        again(faces, cache)
        return file.name in measured

    assert read() and not read()
    before = file.stat()
    os.utime(file)
    assert read() and not read()
    (cache / "squeeze-16.npy.read").unlink()
    assert read() and not read()
    flip(file, 5000)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert read() and "squeeze-16.npy: is damaged" in capsys.readouterr().err
    assert not read()  # it was packed anew just now
