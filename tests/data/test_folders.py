"""A folder for each person: what is read, what is left out with a note, what is refused."""

from __future__ import annotations

import os
import shutil
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_cfp
import tiny_datasets

from facesiam.data.__main__ import main
from facesiam.data.formats import open_dataset
from facesiam.data.listing import Listing
from facesiam.data.preparation import prepare
from facesiam.data.split import FOLDS, deal
from facesiam.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tiny_datasets.folders(tmp_path / "faces")


def read(path: Path) -> Listing:
    opened = open_dataset(path)
    assert opened.name == "folders"
    return opened.read()


def move(root: Path, old: str, new: str) -> None:
    (root / new).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(root / old, root / new)


def in_parts(root: Path, **parts: range) -> None:
    for part, people in parts.items():
        for p in people:
            move(root, f"p{p:02d}", f"{part}/p{p:02d}")


def test_people_images_and_folds(root: Path) -> None:
    found = read(root)
    assert found.people == [f"p{p:02d}" for p in range(10)]
    assert found.names == tiny_datasets.names()
    assert found.person.tolist() == [p for p in range(10) for _ in range(3)]
    assert found.fold[::3].tolist() == deal(found.people).tolist()
    assert found.frontal.all() and len(found.pairs) == 0
    assert (found.problems, found.notes, found.files) == ([], [], [])
    assert open_dataset(root).why == "10 folders of a person's images"


def test_a_zip_and_folders_above_are_the_same_data(root: Path, tmp_path: Path) -> None:
    whole = [tiny_cfp.zipped(root, tmp_path / "faces.zip", "down/faces/"), root, tmp_path / "up"]
    shutil.copytree(root, tmp_path / "up/a/b/faces")
    keys = {prepare(str(path), [], cache=tmp_path / "cache").key for path in whole}
    assert len(keys) == 1


def test_views_parts_and_suffixes_in_any_case(root: Path) -> None:
    in_parts(root, Train=range(6), validation=range(6, 8), TEST=range(8, 10))
    for old, new in {
        "Train/p00/1.png": "Train/p00/Profile/1.PNG",
        "Train/p00/2.png": "Train/p00/frontal/2.JPeG",
        "Train/p01/1.png": "Train/p01/1.WebP",
        "Train/p02/1.png": "Train/p02/1.BMP",
    }.items():
        move(root, old, new)
    found = read(root)
    assert (found.problems, found.notes) == ([], [])
    assert len(found.names) == 30 and found.frontal.sum() == 29
    assert found.names[int(np.flatnonzero(~found.frontal)[0])] == "Train/p00/Profile/1.PNG"
    for part, people in {"train": range(6), "val": range(6, 8), "test": range(8, 10)}.items():
        folds = found.fold[np.isin(found.person, people)]
        assert np.isin(folds, FOLDS[part]).all()
    assert open_dataset(root).why.endswith("images in TEST/, Train/, validation/")


def test_a_part_that_is_missing_is_taken_from_train(root: Path) -> None:
    in_parts(root, train=range(8), test=range(8, 10))
    found = read(root)
    assert found.notes == [
        "there is no val part: a quarter of train's people, by a hash of the name, are in it"
    ]
    sizes = [len(np.unique(found.person[np.isin(found.fold, FOLDS[part])])) for part in FOLDS]
    assert sizes == [6, 2, 2]
    shutil.rmtree(root / "test")
    tiny_datasets.images(root, [f"train/q{p}/{n}.png" for p in range(4) for n in range(2)])
    assert read(root).fold[::3].tolist()[:8] != [1] * 8
    assert read(root).notes[0] == "train alone cannot be split: everyone is split anew, by name"


def test_litter_is_ignored_quietly_and_other_files_are_counted(root: Path) -> None:
    for name in (
        "p00/.DS_Store",
        "__MACOSX/p00/._1.png",
        "p01/Thumbs.db",
        ".git/p/x.jpg",
        "landmarks.csv",
    ):
        tiny_cfp.text(root / name, ["litter"])
    assert read(root).notes == []
    for name in ("notes.txt", "p00/4.heic", "p01/4.heic"):
        tiny_cfp.text(root / name, ["other"])
    tiny_cfp.image(root / "sheet.jpg", (1, 2, 3))
    (root / "p99").mkdir()
    found = read(root)
    assert found.problems == [] and len(found.names) == 30
    assert found.notes == [
        "1 image is in no person's folder and left out (first sheet.jpg)",
        "3 files are not .jpg, .jpeg, .png, .webp, .bmp and left out: 2 .heic, 1 .txt "
        "(first notes.txt)",
        "1 folder holds no image: p99",
    ]


def test_people_with_few_images_are_used_and_counted(root: Path) -> None:
    (root / "p03/1.png").unlink()
    for name in ("p04/1.png", "p04/2.png", "p05/1.png", "p05/2.png"):
        (root / name).unlink()
    found = read(root)
    assert found.notes == [
        "2 of 10 people have one image, which is only in pairs of different people",
        "1 of 10 people has two images, which make one pair of the same person",
    ]
    assert found.problems == [] and len(found.people) == 10


def test_names_beyond_ascii_have_one_form(root: Path, tmp_path: Path) -> None:
    name = "Zoë Ångström 李"
    move(root, "p00", unicodedata.normalize("NFD", name))
    tiny_cfp.image(root / name / "4.png", (9, 9, 9))  # the same person in the other form
    found = read(root)
    assert found.people[0] == name and found.problems == []
    assert np.bincount(found.person)[0] == 4
    archive = tmp_path / "faces.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for file in found.names:
            info = OldZipInfo(file)
            out.writestr(info, (root / file).read_bytes())
    again = read(archive)
    assert again.people == found.people and again.names == found.names


class OldZipInfo(zipfile.ZipInfo):
    """A member whose name is in UTF-8 without the flag that says so, as macOS writes it."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode(), 0


PROBLEMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "in two parts": (
        lambda f: (
            in_parts(f, train=range(6), val=range(6, 8), test=range(8, 10)),
            shutil.copytree(f / "train/p03", f / "test/p03"),
        ),
        "p03 is in test part (test/p03) and in train part (train/p03); a person may be in one only",
    ),
    "in no part": (
        lambda f: in_parts(f, train=range(6), val=range(6, 8), test=range(8, 9)),
        "p09: p09 is in no part, and others are in train, val or test; give everyone a part",
    ),
    "names in another case": (
        lambda f: tiny_cfp.image(f / "P04/9.png", (1, 1, 1)),
        "P04 and p04 are two people whose names differ in case or blanks only",
    ),
    "deeper": (
        lambda f: move(f, "p00/1.png", "p00/old/1.png"),
        "p00/old/1.png: is in a folder below a person's that is neither frontal nor profile",
    ),
    "in two places": (
        lambda f: move(f, "p00", "more/people/p00"),
        "more/people/p00/: people's folders are in the root, and this one is elsewhere",
    ),
    "a link that leads out": (
        lambda f: (
            shutil.copytree(f / "p00", f.parent / "p77"),
            os.symlink(f.parent / "p77", f / "p77"),
        ),
        "p77: is a link to ",
    ),
    "a broken link": (
        lambda f: os.symlink("nowhere.png", f / "p00/7.png"),
        "/nowhere.png, which does not exist; remove it",
    ),
    "one person": (
        lambda f: [shutil.rmtree(f / f"p{p:02d}") for p in range(1, 10)],
        "has only one person, p00 (train 0, val 0, test 1); each part needs 2 or more",
    ),
    "a part with one person": (
        lambda f: in_parts(f, train=range(6), val=range(6, 9), test=range(9, 10)),
        "has 10 people (train 6, val 3, test 1); each part needs 2 or more",
    ),
}


@pytest.mark.parametrize("fault", PROBLEMS)
def test_what_is_wrong_is_a_problem_by_name(root: Path, fault: str, tmp_path: Path) -> None:
    damage, said = PROBLEMS[fault]
    damage(root)
    problems = read(root).problems
    assert len(problems) == 1 and said in problems[0].said, problems
    with pytest.raises(DataError, match="faces: "):
        prepare(str(root), [], cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_link_within_the_data_is_read(root: Path) -> None:
    os.symlink("1.png", root / "p00/9.png")
    found = read(root)
    assert found.problems == [] and "p00/9.png" in found.names


def test_a_link_in_a_zip_is_named(root: Path, tmp_path: Path) -> None:
    archive = tiny_cfp.zipped(root, tmp_path / "faces.zip", "")
    link = zipfile.ZipInfo("p00/9.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "a") as out:
        out.writestr(link, "../p01/1.png")
    assert [problem.said for problem in read(archive).problems] == [
        "p00/9.png: is a link to ../p01/1.png in the zip; zip what it leads to"
    ]


def test_an_encrypted_zip_is_refused(root: Path, tmp_path: Path) -> None:
    archive = tiny_cfp.zipped(root, tmp_path / "faces.zip", "")
    content = bytearray(archive.read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flags of the first member
        content[content.index(mark) + at] |= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match="'p00/1.png' is encrypted; unpack the archive with its"):
        open_dataset(archive)


def test_images_without_people(tmp_path: Path) -> None:
    tiny_datasets.images(tmp_path / "heap", ["1.png", "2.png", "train/3.png"])
    with pytest.raises(
        DataError,
        match=r"heap: not a dataset; it holds 3 images and no folder of a person; put each "
        r"person's images into a folder that has the person's name; known formats are CFP ",
    ):
        open_dataset(tmp_path / "heap")


def test_check_says_what_is_there(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_cfp.image(root / "p00/profile/wide.png", (250, 1, 1), (30, 10))
    for name in ("p03/1.png", "p03/2.png", "p04/5.txt"):
        (root / name).unlink() if name.startswith("p03") else tiny_cfp.text(root / name, ["x"])
    assert main(["check", str(root)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(root),
        "  format      folders (10 folders of a person's images)",
        "  people      10",
        "  per person  images: 1 to 4, median 3; 1 person has one image",
        "  images      29: 28 frontal, 1 profile; 0 of them greyscale",
        "  pixels      shorter side 6 to 10, median 6; longer side 8 to 30, median 8",
        "  parts       train 6 people, 16 images; val 2 people, 6 images; test 2 people, 7 images",
        "  pairs       drawn with pair_seed 0: train 30 (15 same), val 12 (6 same), test 18 (9 same)",
        "  duplicates  sets of byte-identical images: 0; pairs of them: 0, across people 0, across "
        "parts 0",
        "  note        1 of 10 people has one image, which is only in pairs of different people",
        "  note        1 file is not .jpg, .jpeg, .png, .webp, .bmp and left out: 1 .txt (first "
        "p04/5.txt)",
        "  problems    none",
    ]
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["check", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[1:])) <= 80
    assert lines[10:12] == [
        "  duplicates  sets of byte-identical images: 0; pairs of them: 0, across people",
        "              0, across parts 0",
    ]
    shutil.copy(root / "p05/1.png", root / "p06/7.png")
    assert main(["check", str(root)]) == 1
    assert "p05/1.png (p05) and p06/7.png (p06) are byte-identical" in capsys.readouterr().out


def test_other_formats_are_refused_by_name(root: Path) -> None:
    with pytest.raises(DataError, match="format: 'folder' is not one of .*mean folders"):
        open_dataset(root, "folder")
    with pytest.raises(
        DataError, match=r"not in the format images \(a CSV of images .*10 folders"
    ):
        open_dataset(root, "images")


def test_notes_are_those_of_now(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (root / "list.txt").write_text("x")
    first = prepare(str(root), [], cache=cache, progress=False)
    assert len(first.notes) == 1 and "1 file is not" in first.notes[0]
    (root / "list.txt").unlink()
    second = prepare(str(root), [], cache=cache, progress=False)
    assert second.folder == first.folder and second.notes == []
