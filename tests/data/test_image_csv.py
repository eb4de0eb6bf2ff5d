"""A table of images: what it says in whatever order, and what is wrong with it, by line."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_cfp
import tiny_datasets

from facesiam.data.formats import open_dataset
from facesiam.data.listing import Listing
from facesiam.data.preparation import prepare
from facesiam.data.split import FOLDS
from facesiam.errors import DataError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tiny_datasets.image_table(tmp_path / "faces")


def read(path: Path) -> Listing:
    opened = open_dataset(path)
    assert opened.name == "images"
    return opened.read()


def rows(table: Path, change: Callable[[list[str]], list[str]], header: str = "") -> None:
    """Change the lines below the header, and where given the header."""
    first, *lines = table.read_text().splitlines()
    tiny_cfp.text(table, [header or first, *change(lines)])


def with_parts(table: Path, words: dict[str, range], more: str = "") -> None:
    word_of = {f"p{p:02d}": word for word, people in words.items() for p in people}
    rows(
        table,
        lambda lines: [f"{line},{word_of.get(line.split(',')[1], '')}{more}" for line in lines],
        "path,person,split" + ("," if more else ""),
    )


def test_the_table_says_what_the_folders_say(table: Path, tmp_path: Path) -> None:
    found, folders = read(table), open_dataset(table.parent, "folders").read()
    assert (found.names, found.people) == (folders.names, folders.people)
    assert found.fold.tolist() == folders.fold.tolist()
    assert (found.problems, found.notes, found.files) == ([], [], ["faces.csv"])
    cache = tmp_path / "cache"
    archive = tiny_cfp.zipped(table.parent, tmp_path / "faces.zip", "up/")
    keys = {prepare(str(at), [], cache=cache).key for at in (table, table.parent, archive)}
    assert len(keys) == 1
    assert open_dataset(archive).why == "faces.csv has the columns path and person"


def test_the_order_is_the_table_s(table: Path) -> None:
    rows(table, lambda lines: lines[::-1])
    assert read(table).names == tiny_datasets.names()[::-1]


def test_open_metric_learning_s_columns(table: Path) -> None:
    with_parts(table, {"train": range(6), "validation": range(6, 10)})
    header = "label,path,split,is_query,is_gallery"
    rows(
        table,
        lambda lines: [
            ",".join([p, path, split, *(("1", "1") if split[0] == "v" else ("", ""))])
            for path, p, split in (line.split(",") for line in lines)
        ],
        header,
    )
    found = read(table)
    assert found.problems == []
    assert found.notes == [
        "faces.csv: columns that are not used: is_query, is_gallery",
        "there is no test part: a quarter of train's people, by a hash of the name, are in it",
    ]
    assert np.isin(found.fold[found.person >= 6], FOLDS["val"]).all()
    assert not np.isin(found.fold[found.person < 6], FOLDS["val"]).any()


def test_parts_and_views(table: Path) -> None:
    with_parts(table, {"Train": range(6), "val": range(6, 8), "test": range(8, 10)}, ",")
    rows(
        table,
        lambda lines: [lines[0] + "Profile", lines[1] + "frontal", *lines[2:]],
        "path,person,split,view",
    )
    found = read(table)
    assert (found.problems, found.notes) == ([], [])
    assert np.flatnonzero(~found.frontal).tolist() == [0]
    for part, people in {"train": range(6), "val": range(6, 8), "test": range(8, 10)}.items():
        assert np.isin(found.fold[np.isin(found.person, people)], FOLDS[part]).all()


def test_paths_in_another_dress(table: Path) -> None:
    name = "Zoë 1.png"
    (table.parent / "p00/1.png").rename(table.parent / "p00" / unicodedata.normalize("NFD", name))
    rows(
        table,
        lambda lines: [
            f'"./p00\\{name}", p00 ',
            lines[1].replace("2.png", "2.PNG"),
            *lines[2:],
        ],
    )
    found = read(table)
    assert found.problems == []
    assert found.names[:2] == [f"p00/{name}", "p00/2.PNG"]


def test_names_in_another_case_are_other_people_and_noted(table: Path) -> None:
    rows(table, lambda lines: [lines[0].replace(",p", ",P"), *lines[1:]])
    found = read(table)
    assert len(found.people) == 11 and found.problems == []
    assert found.notes[-1] == (
        "1 name differs from another in case or blanks only, taken for that of another person "
        "(first P00 and p00)"
    )


PROBLEMS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "an absolute path, and one that leaves": (
        lambda f: rows(f, lambda r: [f"/faces/{r[0]}", f"../{r[1]}", *r[2:]]),
        [
            "faces.csv line 2: /faces/p00/1.png: absolute or with ..; paths have to be relative "
            "to the folder of the table, and the images below it",
            "faces.csv line 3: ../p00/2.png: absolute",
        ],
    ),
    "empty cells": (
        lambda f: rows(f, lambda r: [",p00", "p00/2.png,", *r[2:]]),
        ["faces.csv line 2: has no path", "faces.csv line 3: p00/2.png has no person"],
    ),
    "the same image twice": (
        lambda f: rows(f, lambda r: [*r, "P00/1.PNG,p00"]),
        ["faces.csv line 32: lists P00/1.PNG, which line 2 has as well"],
    ),
    "a missing image": (
        lambda f: (f.parent / "p03/2.png").unlink(),
        ["faces.csv line 12: points at p03/2.png, which does not exist"],
    ),
    "a word for a part": (
        lambda f: with_parts(f, {"train": range(9), "tset": range(9, 10)}),
        ["faces.csv line 29: split 'tset' is not one of train, val, test; did you mean test?"]
        + [f"faces.csv line {n}: split 'tset'" for n in (30, 31)],
    ),
    "a word for a view": (
        lambda f: rows(
            f, lambda r: [f"{r[0]},side", f"{r[1]},frontl", *r[2:]], "path,person,view"
        ),
        [
            "faces.csv line 2: view 'side' is neither frontal nor profile",
            "line 3: view 'frontl' is neither frontal nor profile; did you mean frontal?",
        ],
    ),
    "a person in two parts": (
        lambda f: (
            with_parts(f, {"train": range(6), "val": range(6, 8), "test": range(8, 10)}),
            rows(f, lambda r: [r[0].replace("train", "test"), *r[1:]]),
        ),
        [
            "p00 is in test part (faces.csv line 2) and in train part (faces.csv line 3); a person "
            "may be in one only"
        ],
    ),
    "a person in no part": (
        lambda f: with_parts(f, {"train": range(6), "test": range(6, 9)}),
        ["faces.csv line 29: p09 is in no part, and others are in train, val or test"],
    ),
    "a slip in the header": (
        lambda f: rows(f, lambda r: [f"{line},train" for line in r], "path,person,splt"),
        ["faces.csv line 1: column 'splt' is not known; did you mean split?"],
    ),
    "too many cells": (
        lambda f: rows(f, lambda r: [*r[:-1], f"{r[-1]},train"]),
        ["faces.csv line 31: has 3 cells, and the header 2"],
    ),
}


@pytest.mark.parametrize("fault", PROBLEMS)
def test_what_is_wrong_is_a_problem_with_its_line(table: Path, fault: str, tmp_path: Path) -> None:
    damage, said = PROBLEMS[fault]
    damage(table)
    problems = [problem.said for problem in read(table).problems]
    assert len(problems) == len(said), problems
    for found, expected in zip(problems, said, strict=True):
        assert expected in found
    with pytest.raises(DataError):
        prepare(str(table), [], cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_missing_images_are_counted_and_the_first_is_named(table: Path) -> None:
    for p in range(2):
        shutil.rmtree(table.parent / f"p{p:02d}")
    with pytest.raises(
        DataError, match="faces.csv line 2: points at p00/1.png, which does not exist, and 5 more"
    ):
        prepare(str(table), [])
    for p in range(2, 10):
        shutil.rmtree(table.parent / f"p{p:02d}")
    with pytest.raises(DataError, match="line 2: points at p00/1.png, .* and 29 more like it"):
        read(table)


def test_a_table_that_is_none(table: Path) -> None:
    rows(table, lambda lines: lines, "pth,person")
    with pytest.raises(
        DataError,
        match=r"faces.csv: not a dataset; faces.csv line 1: no column path in the header "
        r"\(pth, person\); .*; did you mean path\?$",
    ):
        open_dataset(table)
    rows(table, lambda lines: lines, "file,who")
    with pytest.raises(
        DataError, match="has to name the columns, left,right,same or path,person; it is file, who"
    ):
        open_dataset(table)
    assert open_dataset(table.parent).name == "folders"
    rows(table, lambda lines: lines, "pth,person")
    with pytest.raises(DataError, match=r"not in the format images .*no column path .* mean path"):
        open_dataset(table.parent, "images")


def test_a_table_is_not_what_lies_beside_it(table: Path) -> None:
    tiny_cfp.write(table.parent / "cfp")
    assert open_dataset(table.parent).name == "cfp"
    assert open_dataset(table).name == "images"
    table.write_text("pth,person\na,b\n")
    with pytest.raises(DataError, match=r"faces.csv: not a dataset; .* no column path"):
        open_dataset(table)


def test_of_two_tables_one_has_to_be_given(table: Path) -> None:
    shutil.copy(table, table.parent / "val.csv")
    with pytest.raises(DataError, match=r"holds 2 tables .*\(faces.csv, val.csv\); give the path"):
        open_dataset(table.parent)
    assert len(read(table.parent / "val.csv").names) == 30
