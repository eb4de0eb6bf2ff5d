"""A table of pairs: what it says, what is a problem, and that CFP as such a table is CFP."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import tiny_cfp
import tiny_datasets
from builders import SQUEEZE

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.data.formats import open_dataset
from facesiam.data.preparation import prepare
from facesiam.data.split import PART_OF, deal
from facesiam.errors import DataError
from facesiam.training.loop import Training


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny CFP as a table of pairs, with every column but the split."""
    folder = tmp_path_factory.mktemp("pairs")
    cfp = open_dataset(tiny_cfp.write(folder / "cfp"))
    return tiny_datasets.pair_csv(cfp, folder / "csv").parent


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny, tmp_path / "csv") / "pairs.csv"


def change(file: Path, how: Callable[[list[list[str]]], list[list[str]]]) -> None:
    rows = [line.split(",") for line in file.read_text().splitlines()]
    tiny_cfp.text(file, [",".join(row) for row in how(rows)])


def without(*names: str) -> Callable[[list[list[str]]], list[list[str]]]:
    """Return what leaves out these columns."""

    def how(rows: list[list[str]]) -> list[list[str]]:
        kept = [at for at, name in enumerate(rows[0]) if name not in names]
        return [[row[at] for at in kept] for row in rows]

    return how


def cell(row: int, name: str, value: str) -> Callable[[list[list[str]]], list[list[str]]]:
    """Return what writes a cell of one row, the first after the header being 1; 0: of all rows."""

    def how(rows: list[list[str]]) -> list[list[str]]:
        for at in [row] if row else range(1, len(rows)):
            rows[at][rows[0].index(name)] = value
        return rows

    return how


def added(name: str, value: Callable[[dict[str, str]], str]) -> Callable[..., list[list[str]]]:
    """Return what adds a column."""

    def how(rows: list[list[str]]) -> list[list[str]]:
        return [
            [*rows[0], name],
            *([*row, value(dict(zip(rows[0], row, strict=True)))] for row in rows[1:]),
        ]

    return how


def test_cfp_as_a_table_has_its_pairs_pixels_and_epoch(
    faces: Path, data: FaceData, tiny: TrialConfig, tmp_path: Path
) -> None:
    file = tiny_datasets.pair_csv(open_dataset(faces), tmp_path / "csv")
    mine = prepare(str(file), [SQUEEZE], cache=tmp_path / "cache", progress=False)
    place = [data.names.index(name) for name in mine.names]
    assert (mine.pixels(SQUEEZE) == data.pixels(SQUEEZE)[place]).all()
    for part in ("train", "val", "test"):
        for fold in (0, 3):
            one = mine.pairs("dataset-pairs", part, people=6, fold=fold)
            other = data.pairs("cfp-pairs", part, people=6, fold=fold)
            assert [mine.names[at] for at in one.left] == [data.names[at] for at in other.left]
            assert [mine.names[at] for at in one.right] == [data.names[at] for at in other.right]
            assert (one.label == other.label).all() and len(one.label) > 8
    epochs = []
    for faces_of, protocol in ((mine, "dataset-pairs"), (data, "cfp-pairs")):
        config = TrialConfig.from_dict({**TINY, "protocol": protocol})
        epochs.append(next(iter(Training(config, faces_of, {}))).to_dict())
    for measured in ("seconds", "samples_per_second", "peak_memory_mib"):
        del epochs[0][measured], epochs[1][measured]
    assert epochs[0] == epochs[1]


TINY = {"image_size": 64, "hidden": 16, "batch_size": 8, "precision": "fp32", "people": 6}

WORDS: dict[str, tuple[str, str]] = {
    "True and False": ("True", "False"),
    "yes and no": ("YES", "no"),
    "same and different": ("same", "Different"),
    "floats of pandas": ("1.0", "0.0"),
}


@pytest.mark.parametrize("words", WORDS)
def test_the_words_for_the_same(words: str, tiny: Path, copy: Path) -> None:
    for at, word in enumerate(WORDS[words]):
        change(copy, lambda rows, at=at, word=word: [
            [*row[:2], word if row[2] == str(1 - at) else row[2], *row[3:]] for row in rows
        ])  # fmt: skip
    found, expected = (open_dataset(path).read() for path in (copy, tiny))
    assert found.problems == [] and (found.pairs == expected.pairs).all()


DRESSES: dict[str, Callable[[Path], object]] = {
    "folds from 0": lambda f: change(
        f, lambda rows: [rows[0], *([*r[:3], str(int(r[3]) - 1), *r[4:]] for r in rows[1:])]
    ),
    "backslashes": lambda f: f.write_text(f.read_text().replace("/", "\\")),
    "./": lambda f: f.write_text(f.read_text().replace("Data/", "./Data/")),
    "semicolons and a mark": lambda f: f.write_text("\ufeff" + f.read_text().replace(",", ";")),
    "other case": lambda f: f.write_text(f.read_text().replace("jpg", "JPG")),
    "issame": lambda f: f.write_text(f.read_text().replace(",same,", ",IsSame,", 1)),
    "folds and their parts": lambda f: change(
        f, added("split", lambda row: PART_OF[int(row["fold"])])
    ),
}


@pytest.mark.parametrize("dress", DRESSES)
def test_the_same_in_another_dress(dress: str, tiny: Path, copy: Path) -> None:
    DRESSES[dress](copy)
    found, expected = (open_dataset(path).read() for path in (copy, tiny))
    assert found.problems == [] and found.names == expected.names
    assert (found.pairs == expected.pairs).all() and (found.fold == expected.fold).all()


def test_five_folds_are_two_of_the_ten_each(copy: Path) -> None:
    change(copy, lambda rows: [
        rows[0], *([*r[:3], str((int(r[3]) + 1) // 2), *r[4:]] for r in rows[1:])
    ])  # fmt: skip
    listing = open_dataset(copy).read()
    assert listing.problems == [] and len(listing.pairs) == 60
    names = np.array([int(listing.people[person]) for person in listing.person.tolist()])
    assert ((listing.fold + 1) // 2 == (names + 3) // 4).all()


def test_parts_are_those_that_the_table_names(copy: Path) -> None:
    change(copy, added("split", lambda row: "test" if int(row["fold"]) < 3 else
                       "validation" if int(row["fold"]) < 5 else "train"))  # fmt: skip
    change(copy, without("fold"))
    listing = open_dataset(copy).read()
    assert listing.problems == [] and len(listing.pairs) == 60
    who = {part: set() for part in ("train", "val", "test")}  # type: dict[str, set[str]]
    for person, fold in zip(listing.person.tolist(), listing.fold.tolist(), strict=True):
        who[PART_OF[fold]].add(listing.people[person])
    assert who["test"] == {"001", "002", "003", "004"}
    assert who["val"] == {"005", "006", "007", "008"}


def test_without_folds_people_are_split_by_name(copy: Path) -> None:
    change(copy, without("fold"))
    listing = open_dataset(copy).read()
    people = [f"{number:03d}" for number in range(1, 21)]
    assert listing.problems == [] and listing.people == people
    assert listing.fold.tolist() == deal(people)[listing.person].tolist()
    kept = len(listing.pairs)
    assert 40 < kept < 60
    assert listing.notes[0] == (
        f"pairs.csv: {60 - kept} of 60 pairs are of people in different parts (train, val, test) "
        "and are not used"
    )


def test_a_pair_of_two_folds_of_one_part_is_used_only_where_neither_is_kept_out(
    copy: Path,
) -> None:
    change(copy, without("fold"))
    cache = copy.parent / "cache"
    counts = "there are of one person and of two train 24 and 6, val 8 and 0, test 8 and 0"
    with pytest.raises(DataError, match=rf"no pair of two people in the val part .*; {counts}"):
        prepare(str(copy), [], cache=cache, progress=False)
    image = "Data/Images/{:03d}/frontal/02.jpg".format
    more = [
        [image(one), image(other), "0", f"{one:03d}", f"{other:03d}"]
        for one, other in combinations(range(1, 21), 2)
    ]
    change(copy, lambda rows: [*rows, *more])
    data = prepare(str(copy), [], cache=cache, progress=False)
    listing = open_dataset(copy).read()
    ends = listing.fold[listing.pairs[:, 2:4]]
    one, other = ends[ends[:, 0] != ends[:, 1]][0].tolist()
    assert PART_OF[one] == PART_OF[other]
    for fold in (one, other):
        train = data.pairs("dataset-pairs", "train", fold=fold)
        used = data.person[np.concatenate([train.left, train.right])]
        assert fold not in data.fold[np.isin(data.person, used)]


def test_who_is_not_named_is_who_pairs_of_the_same_person_connect(copy: Path) -> None:
    change(copy, without("person_left", "person_right"))
    listing = open_dataset(copy).read()
    assert listing.problems == []
    # The profile is connected to the first of a person's two frontal images.
    assert len(listing.people) == 20 and listing.people[0] == "Data/Images/001/frontal/01.jpg"
    assert [listing.names[at][12:15] for at in range(60)] == [
        listing.people[person][12:15] for person in listing.person.tolist()
    ]
    assert listing.notes[0] == (
        "pairs.csv: names nobody; its pairs of the same person make 20 people of 60 images"
    )
    change(copy, lambda rows: [rows[0], *([r[1], r[0], *r[2:]] for r in reversed(rows[1:]))])
    assert open_dataset(copy).read().people == listing.people, "whatever the order of the rows"


def test_repeated_and_mirrored_pairs_and_unbalanced_kinds_are_told(copy: Path) -> None:
    change(copy, lambda rows: [
        *rows, rows[1], [rows[2][1], rows[2][0], *rows[2][2:]]
    ])  # fmt: skip
    listing = open_dataset(copy).read()
    assert listing.problems == [] and len(listing.pairs) == 62
    assert listing.notes == [
        "pairs.csv: 42 pairs of one person and 20 of two; one answer for all has an accuracy of "
        "67.7 %",
        "pairs.csv: 2 pairs come again, as they are or the other way round: n counts each once",
    ]


def test_a_table_in_a_zip(tiny: Path, tmp_path: Path) -> None:
    archive = tiny_cfp.zipped(tiny, tmp_path / "x.zip", "faces/")
    found, expected = (open_dataset(path).read() for path in (archive, tiny))
    assert found.problems == [] and (found.pairs == expected.pairs).all()
    assert open_dataset(archive).why == "pairs.csv has the columns left, right and same"


LEFT = "Data/Images/001/frontal/01.jpg"
WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "another name of a column": (
        lambda f: f.write_text(f.read_text().replace("right", "rigth", 1)),
        r"pairs.csv line 1: no column right in the header .*; did you mean right\?",
    ),
    "no header": (
        lambda f: change(f, lambda rows: rows[1:]),
        "pairs.csv line 1: the first line has to name the columns, left,right,same or",
    ),
    "an unknown word": (
        lambda f: change(f, cell(3, "same", "treu")),
        r"pairs.csv line 4: same 'treu' is neither 1 \(true, same\) nor 0 \(false\); did you "
        r"mean true\?$",
    ),
    "an image with itself": (
        lambda f: change(f, cell(1, "right", LEFT)),
        f"pairs.csv line 2: pairs {LEFT} with itself$",
    ),
    "a missing image": (
        lambda f: (f.parent / LEFT).unlink(),
        f"pairs.csv line 2: points at {LEFT}, which does not exist, and 3 more like it$",
    ),
    "an image outside": (
        lambda f: change(f, cell(2, "left", "../x.jpg")),
        "pairs.csv line 3: ../x.jpg: absolute or with ..; paths have to be relative",
    ),
    "contradicting labels": (
        lambda f: change(f, lambda rows: [*rows, [rows[1][1], rows[1][0], "0", *rows[1][3:]]]),
        "pairs.csv line 62: .*frontal/02.jpg and .*frontal/01.jpg are of one person by pairs.csv "
        "line 2$",
    ),
    "names that contradict the label": (
        lambda f: change(f, cell(2, "same", "0")),
        "pairs.csv line 3: says different people, and the names are 002 and 002$",
    ),
    "no name": (
        lambda f: change(f, cell(2, "person_left", "")),
        "pairs.csv line 3: has no name of a person$",
    ),
    "two names": (
        lambda f: change(f, lambda rows: cell(1, "person_right", "9")(cell(1, "person_left", "9")(rows))),
        "pairs.csv line 4: .*001/frontal/01.jpg is of 001, and of 9 by pairs.csv line 2",
    ),
    "a column of names alone": (
        lambda f: change(f, without("person_right")),
        "line 1: has a column person_left and none person_right; give both or neither$",
    ),
    "two connected people in a pair of two": (
        lambda f: (
            change(f, without("person_left", "person_right")),
            change(f, lambda rows: [
                *rows[:3], [rows[2][0], rows[1][1], "1", "1"], *rows[3:]
            ]),
        ),
        "pairs.csv line 5: says that .* and .* are different people, and pairs of the same person "
        "connect them",
    ),
    "a fold of 11": (
        lambda f: change(f, cell(1, "fold", "11")),
        "line 2: fold '11'; expected 1 to 10 or 0 to 9, or 1 to 5 or 0 to 4$",
    ),
    "a fold in words": (
        lambda f: change(f, cell(1, "fold", "one")),
        "line 2: fold 'one'; expected 1 to 10 or 0 to 9",
    ),
    "three folds": (
        lambda f: change(f, lambda rows: [
            rows[0], *([*r[:3], str(int(r[3]) % 3 + 1), *r[4:]] for r in rows[1:])
        ]),
        "pairs.csv: has the folds 1, 2, 3; expected each of 1 to 10 or 0 to 9, or of 1 to 5 or 0",
    ),
    "folds from 0 to 10": (
        lambda f: change(f, cell(1, "fold", "0")),
        "pairs.csv: has the folds 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10; expected each of 1 to 10",
    ),
    "a person in two folds": (
        lambda f: change(f, cell(1, "fold", "2")),
        "pairs.csv line 4: 001 is in fold 1, and in fold 2 by pairs.csv line 2; no one may be in",
    ),
    "a person in two parts": (
        lambda f: (
            change(f, added("split", lambda row: PART_OF[int(row["fold"])])),
            change(f, without("fold")),
            change(f, cell(1, "split", "test")),
        ),
        "line 4: 001 is in the train part, and in the test part by pairs.csv line 2; no one may",
    ),
    "an unknown part": (
        lambda f: change(f, added("split", lambda row: "tets")),
        r"pairs.csv line 2: split 'tets' is not one of train, val, test; did you mean test\?, and",
    ),
    "a part that is not the fold's": (
        lambda f: change(f, added("split", lambda row: "test" if row["fold"] == "8" else "train")),
        "is in the train part and in fold 7 of ten, which is in val; leave out one of the two",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_named(copy: Path, fault: str) -> None:
    damage, said = WRONG[fault]
    damage(copy)
    with pytest.raises(DataError, match=said):
        prepare(str(copy), [], cache=copy.parent / "cache", progress=False)
    assert not (copy.parent / "cache").exists()
