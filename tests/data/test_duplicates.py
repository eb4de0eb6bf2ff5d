"""Byte-identical images: across people, parts and folds; and what is none."""

from __future__ import annotations

import itertools
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import tiny_datasets

from facesiam.data.__main__ import main
from facesiam.data.formats import open_dataset
from facesiam.data.preparation import prepare
from facesiam.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tiny_datasets.folders(tmp_path / "faces")


def to_one_checksum(content: bytes) -> bytes:
    """Return the four bytes with which any content has one and the same CRC-32."""
    return zlib.crc32(content).to_bytes(4, "little")


def test_one_image_of_two_people_is_refused_by_name_and_rare_ones_are_noted(
    root: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    shutil.copy(root / "p03/1.png", root / "p04/9.png")  # both train
    with pytest.raises(
        DataError,
        match=r"p03/1.png \(p03\) and p04/9.png \(p04\) are byte-identical, so one of the two",
    ):
        prepare(str(root), [], cache=cache)
    assert not cache.exists()
    tiny_datasets.images(root, [f"p05/more{n}.png" for n in range(500)], first=100)
    notes = prepare(str(root), [], cache=cache).notes
    assert len(notes) == 1 and notes[0].endswith(
        "one of the two names is wrong; remove that image"
    )
    shutil.copy(root / "p03/1.png", root / "p00/9.png")  # test
    with pytest.raises(
        DataError, match=r"p04/9.png \(train\) and p00/9.png \(test\) .* parts may not share"
    ):
        prepare(str(root), [], cache=cache)


def test_a_copy_in_two_folds_of_a_part_is_refused_where_it_would_train_and_test(
    tmp_path: Path,
) -> None:
    root = tiny_datasets.folders(tmp_path / "faces", people=30, each=30)
    listing = open_dataset(root).read()
    one, other = (listing.names[list(listing.fold).index(fold)] for fold in (1, 2))
    shutil.copy(root / one, root / other)
    data = prepare(str(root), [], cache=tmp_path / "cache", progress=False)
    for fold in (0, 3):  # one and two train
        data.pairs("dataset-pairs", "test", fold=fold)
    for fold in (1, 2, 10):
        with pytest.raises(DataError, match=rf"fold: {fold} puts .* into two parts, and they are"):
            data.pairs("dataset-pairs", "test", fold=fold)


def test_images_of_one_size_and_checksum_are_not_byte_identical(tmp_path: Path) -> None:
    root = tiny_datasets.folders(tmp_path / "faces")
    one, other = root / "p00/1.png", root / "p05/1.png"
    size = max(file.stat().st_size for file in (one, other))
    for file in (one, other):  # what follows the image gives both the same CRC-32
        content = file.read_bytes().ljust(size, b"\0")
        file.write_bytes(content + to_one_checksum(content))
    assert zlib.crc32(one.read_bytes()) == zlib.crc32(other.read_bytes())
    data = prepare(str(root), [], cache=tmp_path / "cache", progress=False)
    assert data.notes == [] and len(np.unique(data.content)) == 30
    shutil.copy(one, root / "p00/2.png")
    data = prepare(str(root), [], cache=tmp_path / "cache", progress=False)
    assert len(np.unique(data.content)) == 29


def test_check_names_the_sets_within_people_too(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those across people all, as a name is wrong there; of the others few, and all if asked."""
    tiny_datasets.images(root, [f"p03/more{n}.png" for n in range(5)], first=100)
    across = [f"    p03/more{n}.png = p04/{n + 11}.png" for n in range(5)]
    for number in range(5):
        shutil.copy(root / f"p03/more{number}.png", root / f"p04/{number + 11}.png")
    for number in range(3):
        shutil.copy(root / f"p0{number}/1.png", root / f"p0{number}/9.png")
    within = [f"    p0{number}/1.png = p0{number}/9.png" for number in range(4)]

    def named(*options: str) -> list[str]:
        """The lines between the number of sets and what comes next."""
        assert main(["check", str(root), *options]) == 1
        lines = capsys.readouterr().out.splitlines()
        (at,) = (at for at, line in enumerate(lines) if line.startswith("  duplicates"))
        return [*itertools.takewhile(lambda line: line.startswith("    "), lines[at + 1 :])]

    assert named() == [*across, *within[:3]]
    shutil.copy(root / "p05/2.png", root / "p05/9.png")
    within[3] = "    p05/2.png = p05/9.png"
    assert named() == [
        *across,
        f"{within[0]}, and 3 more like it",
        "    `--all` names every one of them",
    ]
    assert named("--all") == [*across, *within]
