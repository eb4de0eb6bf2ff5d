"""LFW's layout: lists of pairs and people, and a folder for each person."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_cfp
import tiny_datasets
from tiny_datasets import lfw_name

from facesiam.data.__main__ import main
from facesiam.data.formats import open_dataset
from facesiam.data.listing import Listing
from facesiam.data.preparation import prepare
from facesiam.data.split import PART_OF, deal
from facesiam.errors import DataError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 people of three images, two in each of ten folds."""
    folder = tmp_path_factory.mktemp("lfw")
    cfp = open_dataset(tiny_cfp.write(folder / "cfp"))
    return tiny_datasets.lfw(cfp, folder / "lfw_home")


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny, tmp_path / "lfw_home")


def change(folder: Path, how: Callable[[list[str]], list[str]], file: str = "pairs.txt") -> None:
    tiny_cfp.text(folder / file, how((folder / file).read_text().splitlines()))


def told(listing: Listing) -> list[tuple[str, str, int, int]]:
    """Return left and right image, fold and label of each pair."""
    return [
        (listing.names[left], listing.names[right], fold, label)
        for _, fold, left, right, label in listing.pairs.tolist()
    ]


def test_the_pairs_are_those_of_the_list(tiny: Path) -> None:
    opened = open_dataset(tiny)
    listing = opened.read()
    assert opened.name == "lfw" and listing.problems == [] and listing.notes == []
    assert len(listing.names) == 60 and len(listing.pairs) == 40 and len(listing.people) == 20
    one, other = (f"lfw/{lfw_name(who)}/{lfw_name(who)}" for who in (19, 20))
    assert told(listing)[-4:] == [
        (f"{one}_0001.jpg", f"{one}_0002.jpg", 10, 0),
        (f"{other}_0001.jpg", f"{other}_0002.jpg", 10, 0),
        (f"{one}_0001.jpg", f"{other}_0002.jpg", 10, 1),
        (f"{one}_0002.jpg", f"{other}_0001.jpg", 10, 1),
    ]
    assert listing.places[-1] == "pairs.txt line 41"
    assert listing.fold.tolist() == np.repeat(np.arange(1, 11), 6).tolist()


DRESSES: dict[str, Callable[[Path], object]] = {
    "blanks": lambda f: change(f, lambda lines: [line.replace("\t", "  ") for line in lines]),
    "one number": lambda f: change(f, lambda lines: ["2", *lines[1:]]),
    "images beside the list": lambda f: (
        shutil.copytree(f / "lfw", f, dirs_exist_ok=True), shutil.rmtree(f / "lfw")
    ),
    "another folder": lambda f: (f / "lfw").rename(f / "lfw-deepfunneled"),
    "two folders down": lambda f: (
        (f / "lfw").rename(f / "x"), (f / "a").mkdir(), (f / "x").rename(f / "a" / "lfw")
    ),
    "upper-case suffixes": lambda f: [
        image.rename(image.with_suffix(".JPEG")) for image in sorted(f.rglob("*.jpg"))
    ],
    "other suffixes": lambda f: [
        image.rename(image.with_suffix(".png")) for image in sorted(f.rglob("*.jpg"))
    ],
    "Windows' line ends": lambda f: (f / "pairs.txt").write_bytes(
        (f / "pairs.txt").read_bytes().replace(b"\n", b"\r\n")
    ),
    "what macOS leaves": lambda f: (f / "lfw" / lfw_name(1) / "._x.jpg").write_bytes(b"\0"),
}  # fmt: skip


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("zipped", [False, True])
def test_the_same_in_another_dress(
    tiny: Path, copy: Path, dress: str, zipped: bool, tmp_path: Path
) -> None:
    DRESSES[dress](copy)
    path = tiny_cfp.zipped(copy, tmp_path / "x.zip", "lfw/") if zipped else copy
    found, expected = (open_dataset(each).read() for each in (path, tiny))
    assert found.problems == [] and len(found.names) == 60
    assert (found.pairs == expected.pairs).all() and (found.fold == expected.fold).all()


def test_it_is_packed_and_gives_each_part_its_pairs(copy: Path) -> None:
    data = prepare(str(copy), [], cache=copy.parent / "cache", progress=False)
    parts = [data.pairs("dataset-pairs", part) for part in ("train", "val", "test")]
    assert [len(pairs.label) for pairs in parts] == [24, 8, 8]
    who = [set(data.person[np.concatenate([p.left, p.right])].tolist()) for p in parts]
    assert who[0] | who[1] | who[2] == set(range(20)) and not who[0] & who[1] | who[1] & who[2]
    assert [data.name_of(person) for person in sorted(who[2])] == list(
        map(lfw_name, range(17, 21))
    )


def more_people(folder: Path, *people: int) -> None:
    for number in people:
        name = lfw_name(number)
        tiny_cfp.image(folder / f"lfw/{name}/{name}_0001.jpg", (number, 7, 7))


def test_people_in_no_pair_are_placed_by_the_list_of_people_or_by_name(copy: Path) -> None:
    more_people(copy, 31, 32, 33)
    by_name = open_dataset(copy).read()
    assert by_name.problems == [] and len(by_name.names) == 63
    unlisted = [lfw_name(number) for number in (31, 32, 33)]
    assert by_name.fold[-3:].tolist() == deal(unlisted).tolist()
    sets = [["1", f"{lfw_name(30 + n)}\t1"] if n in (1, 2) else ["0"] for n in range(1, 11)]
    tiny_cfp.text(copy / "people.txt", ["10", *sum(sets, [])])
    listed = open_dataset(copy).read()
    assert listed.fold[-3:].tolist() == [1, 2, *deal(unlisted[2:])]
    assert (listed.fold[:60] == by_name.fold[:60]).all()


def test_in_five_folds_each_is_two_of_the_ten(copy: Path) -> None:
    change(copy, lambda lines: ["5\t4", *regrouped(lines[1:])])
    listing = open_dataset(copy).read()
    assert listing.problems == [] and len(listing.pairs) == 40
    fifth = np.repeat(np.arange(1, 6), 12)
    assert ((listing.fold + 1) // 2 == fifth).all() and len(np.unique(listing.fold)) > 5


def regrouped(lines: list[str]) -> list[str]:
    """Return the lines of two folds at a time as those of one."""
    found = []
    for at in range(0, len(lines), 8):
        eight = lines[at : at + 8]
        found += sorted(eight, key=lambda line: line.count("\t"))
    return found


def test_without_folds_people_are_split_by_name_and_pairs_across_parts_are_counted(
    copy: Path,
) -> None:
    def one_fold(lines: list[str]) -> list[str]:
        same = [line for line in lines[1:] if line.count("\t") == 2]
        names = [line.split("\t")[0] for line in same]
        around = zip(names, names[1:] + names[:1], strict=True)
        return ["20", *same, *(f"{one}\t1\t{other}\t1" for one, other in around)]

    change(copy, one_fold)
    listing = open_dataset(copy).read()
    people = [lfw_name(number) for number in range(1, 21)]
    part = dict(zip(people, [PART_OF[fold] for fold in deal(people).tolist()], strict=True))
    across = sum(
        part[one] != part[other]
        for one, other in zip(people, people[1:] + people[:1], strict=True)
    )
    assert listing.problems == [] and across > 3
    assert len(listing.pairs) == 40 - across
    assert listing.notes == [
        f"pairs.txt: {across} of 40 pairs are of people in different parts (train, val, test) "
        "and are not used"
    ]
    assert {PART_OF[fold] for fold in listing.fold} == {"train", "val", "test"}


def development(copy: Path) -> None:
    lines = (copy / "pairs.txt").read_text().splitlines()[1:]
    (copy / "pairs.txt").unlink()
    kinds = [[line for line in lines if line.count("\t") == tabs] for tabs in (2, 3)]
    tiny_cfp.text(copy / "pairsDevTrain.txt", ["14", *kinds[0][:14], *kinds[1][:14]])
    tiny_cfp.text(copy / "pairsDevTest.txt", ["6", *kinds[0][14:], *kinds[1][14:]])


def test_the_development_lists_train_validate_and_test(copy: Path) -> None:
    development(copy)
    listing = open_dataset(copy).read()
    assert listing.problems == []
    parts = np.array([PART_OF[fold] for fold in listing.fold.tolist()]).reshape(20, 3)[:, 0]
    assert set(parts[:14]) == {"train", "val"} and set(parts[14:]) == {"test"}
    change(copy, lambda lines: [*lines[:-1], f"{lfw_name(1)}\t1\t{lfw_name(20)}\t1"],
           "pairsDevTest.txt")  # fmt: skip
    with pytest.raises(DataError, match=(
        "pairsDevTest.txt line 13: Person_001 is in the people who test, and in the people who "
        "train by pairsDevTrain.txt line 2; no one may be in two$"
    )):  # fmt: skip
        prepare(str(copy), [], cache=copy.parent / "cache", progress=False)


def test_development_lists_beside_the_ten_folds_are_not_used(tiny: Path, copy: Path) -> None:
    text = (copy / "pairs.txt").read_text()
    development(copy)
    (copy / "pairs.txt").write_text(text)
    listing = open_dataset(copy).read()
    assert told(listing) == told(open_dataset(tiny).read())
    assert listing.notes == [
        "pairsDevTrain.txt, pairsDevTest.txt: not used, as their people are among those of "
        "pairs.txt"
    ]


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no header": (
        lambda f: change(f, lambda lines: lines[1:]),
        "lfw_home: pairs.txt line 1: expected the number of folds and of pairs of each kind, as "
        "in `10 300`, got 'Person_001 1 2'; its 40 lines would go with `10 2` as the first$",
    ),
    "no header, and lines in no order": (
        lambda f: change(f, lambda lines: lines[2:]),
        "line 1: expected the number of folds and of pairs of each kind, as in `10 300`, got "
        "'Person_002 1 2'$",
    ),
    "an empty list": (
        lambda f: (f / "pairs.txt").write_text("\n"), "pairs.txt line 1: the list is empty$"
    ),
    "no pair at all": (
        lambda f: (f / "pairs.txt").write_text("0\n"),
        "line 1: says 1 fold of 0 pairs of each kind, 0 in all, and 0 lines follow$",
    ),
    "seven folds": (
        lambda f: change(f, lambda lines: ["7\t2", *lines[1:]]),
        "pairs.txt line 1: 7 folds of 2 pairs of each kind; expected 10, 5 or 1$",
    ),
    "a line too few": (
        lambda f: change(f, lambda lines: lines[:-1]),
        "line 1: says 10 folds of 2 pairs of each kind, 40 in all, and 39 lines follow$",
    ),
    "a missing image": (
        lambda f: (f / f"lfw/{lfw_name(3)}/{lfw_name(3)}_0002.jpg").unlink(),
        r"2 problems\n  pairs.txt line 6: lfw/Person_003/Person_003_0002.jpg \(or .png, …\) is "
        r"not there; the folder has Person_003_0001.jpg\n  pairs.txt line 9: ",
    ),
    "other naming": (
        lambda f: [i.rename(i.with_name(i.name[11:])) for i in sorted(f.rglob("Person*.jpg"))],
        r"pairs.txt line 2: lfw/Person_001/Person_001_0001.jpg \(or .png, …\) is "
        "not there; the folder has 0001.jpg, and 79 more like it$",
    ),
    "a person without a folder": (
        lambda f: (f / "lfw/Person_004").rename(f / "lfw/Person_04"),
        r"pairs.txt line 7: lfw/Person_004/Person_004_0001.jpg \(or .png, …\) is not there, nor "
        "its folder; did you mean Person_04",
    ),
    "no folder of people": (
        lambda f: shutil.rmtree(f / "lfw"),
        "lfw_home: no folder beside pairs.txt is called after one of its people; expected "
        "Person_001/Person_001_0001.jpg, or the same in a folder such as lfw$",
    ),
    "two sets of folders": (
        lambda f: shutil.copytree(f / "lfw", f / "lfw-funneled"),
        "lfw_home: the people of pairs.txt have folders in lfw(-funneled)?/ and in lfw.*/; leave",
    ),
    "images counted from 0": (
        lambda f: change(f, lambda lines: [lines[0], f"{lfw_name(1)}\t0\t1", *lines[2:]]),
        "pairs.txt line 2: counts the images of Person_001 from 0; LFW counts from 1$",
    ),
    "an image with itself": (
        lambda f: change(f, lambda lines: [lines[0], f"{lfw_name(1)}\t2\t2", *lines[2:]]),
        "pairs.txt line 2: pairs image 2 of Person_001 with itself$",
    ),
    "no pair": (
        lambda f: change(f, lambda lines: [lines[0], "a.jpg b.jpg 1", *lines[2:]]),
        "pairs.txt line 2: expected NAME I J of one person or NAME I OTHER J of two, as in "
        "`Ann_Lee 1 4`, got 'a.jpg b.jpg 1'$",
    ),
    "a pair of two people among those of one": (
        lambda f: change(f, lambda lines: [lines[0], lines[3], *lines[2:]]),
        "line 2: a pair of two people where the header's numbers expect pairs of one$",
    ),
    "a person in two folds": (
        lambda f: change(f, lambda lines: [*lines[:-1], f"{lfw_name(1)}\t1\t{lfw_name(20)}\t1"]),
        "pairs.txt line 41: Person_001 is in fold 10, and in fold 1 by pairs.txt line 2; no one "
        "may be in two; with the number of pairs alone in the first line people are split by name",
    ),
    "a list of people that disagrees": (
        lambda f: tiny_cfp.text(
            f / "people.txt", ["10", *["0"] * 9, "1", f"{lfw_name(1)}\t3"]
        ),
        "people.txt line 12: Person_001 is in fold 10, and in fold 1 by pairs.txt line 2",
    ),
    "a person in two folders": (
        lambda f: tiny_cfp.image(f / "lfw/person_003/person_003_0009.jpg", (1, 2, 3)),
        "Person_003 and person_003 are two people whose names differ in case or blanks only; put",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_named(
    copy: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, said = WRONG[fault]
    damage(copy)
    with pytest.raises(DataError, match=said):
        prepare(str(copy), [], cache=copy.parent / "cache", progress=False)
    assert main(["check", str(copy)]) in (1, 2)
    assert "problems    none" not in capsys.readouterr().out


def test_a_list_of_another_form_is_not_taken_for_it(copy: Path) -> None:
    tiny_cfp.text(copy / "pairs.txt", ["a.jpg,b.jpg,1", "a.jpg,c.jpg,0"])
    with pytest.raises(DataError, match="not in the format lfw"):
        open_dataset(copy, "lfw")


def test_a_name_with_accents_has_one_fold_in_either_unicode_form(copy: Path) -> None:
    folds = []
    for form in ("NFC", "NFD"):
        folder = copy / "lfw" / unicodedata.normalize(form, "Zoë_Strauß")
        tiny_cfp.image(folder / f"{folder.name}_0001.jpg", (1, 2, 3))
        listing = open_dataset(copy).read()
        assert listing.people[-1] == "Zoë_Strauß"
        folds.append(listing.fold[-1])
        shutil.rmtree(folder)
    assert folds[0] == folds[1]
