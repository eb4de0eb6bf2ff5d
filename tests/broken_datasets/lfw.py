"""LFW, broken."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import tiny_cfp
import tiny_datasets

from facesiam.data.formats import open_dataset

from .cases import Cases


def _lfw(root: Path) -> Path:
    return tiny_datasets.lfw(open_dataset(tiny_cfp.write(root.parent / "cfp")), root)


LFW = Cases("LFW", _lfw)
"""20 people, two in each fold; line 1 of pairs.txt is 10, 2 and line 2 Person_001, 1, 2."""


def lines(root: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Change the lines of the list of pairs."""
    tiny_cfp.text(root / "pairs.txt", change((root / "pairs.txt").read_text().splitlines()))


@LFW.flawed(
    "pairs.txt line 1: expected the number of folds and of pairs of each kind, as in `10 300`, "
    "got 'Person_001 1 2'; its 40 lines would go with `10 2` as the first",
)
def no_header(root: Path) -> None:
    lines(root, lambda said: said[1:])


@LFW.flawed("pairs.txt line 1: 7 folds of 2 pairs of each kind; expected 10, 5 or 1")
def a_header_of_seven_folds(root: Path) -> None:
    lines(root, lambda said: ["7\t2", *said[1:]])


@LFW.flawed(
    "pairs.txt line 1: says 10 folds of 300 pairs of each kind, 6,000 in all, and 40 lines follow",
)
def a_header_of_300_pairs(root: Path) -> None:
    lines(root, lambda said: ["10\t300", *said[1:]])


@LFW.flawed(
    "pairs.txt line 41: expected NAME I J of one person or NAME I OTHER J of two, as in `Ann_Lee "
    "1 4`, got 'Person_019 2'",
)
def a_last_line_that_is_cut_off(root: Path) -> None:
    lines(root, lambda said: [*said[:-1], said[-1][:12]])


@LFW.flawed(
    "pairs.txt line 2: lfw/Person_001/Person_001_0017.jpg (or .png, …) is not there; the folder "
    "has Person_001_0001.jpg",
)
def an_image_beyond_those_of_the_folder(root: Path) -> None:
    lines(root, lambda said: [said[0], "Person_001\t1\t17", *said[2:]])


@LFW.flawed(
    "pairs.txt line 39: lfw/Person_020/Person_020_0002.jpg (or .png, …) is not there; the folder "
    "has Person_020_0001.jpg",
    "pairs.txt line 40: lfw/Person_020/Person_020_0002.jpg (or .png, …) is not there; the folder "
    "has Person_020_0001.jpg",
)
def an_image_is_missing(root: Path) -> None:
    (root / "lfw/Person_020/Person_020_0002.jpg").unlink()


@LFW.flawed(
    "pairs.txt line 2: lfw/Person_001/Person_001_0001.jpg (or .png, …) is not there; the folder "
    "has 0001.jpg, and 79 more like it",
)
def images_of_other_names(root: Path) -> None:
    for image in root.glob("lfw/*/*.jpg"):
        image.rename(image.with_name(image.name.rpartition("_")[2]))


@LFW.flawed(
    "pairs.txt line 38: lfw/Person_019/Person_019_0001.jpg (or .png, …) is not there, nor its "
    "folder; did you mean Person_018?, and 3 more like it",
)
def a_person_is_missing(root: Path) -> None:
    shutil.rmtree(root / "lfw/Person_019")


@LFW.none(
    "no folder beside pairs.txt is called after one of its people; expected "
    "Person_001/Person_001_0001.jpg, or the same in a folder such as lfw",
)
def only_the_list(root: Path) -> None:
    shutil.rmtree(root / "lfw")


@LFW.none(
    "the people of pairs.txt have folders in lfw-funneled/ and in lfw/; leave one of the two",
)
def two_sets_of_images(root: Path) -> None:
    shutil.copytree(root / "lfw", root / "lfw-funneled")


@LFW.flawed("pairs.txt line 2: counts the images of Person_001 from 0; LFW counts from 1")
def images_are_counted_from_0(root: Path) -> None:
    lines(root, lambda said: [said[0], "Person_001\t0\t1", *said[2:]])


@LFW.flawed("pairs.txt line 2: pairs image 1 of Person_001 with itself")
def an_image_and_itself(root: Path) -> None:
    lines(root, lambda said: [said[0], "Person_001\t1\t1", *said[2:]])


@LFW.flawed(
    "pairs.txt line 2: expected NAME I J of one person or NAME I OTHER J of two, as in `Ann_Lee "
    "1 4`, got 'a/a_0001.jpg b/b_0001.jpg 0'",
)
def paths_in_place_of_names(root: Path) -> None:
    lines(root, lambda said: [said[0], "a/a_0001.jpg b/b_0001.jpg 0", *said[2:]])


@LFW.flawed(
    "pairs.txt line 2: expected NAME I J of one person or NAME I OTHER J of two, as in `Ann_Lee "
    "1 4`, got 'Ann Lee 1 2'",
)
def blanks_in_a_name_between_blanks(root: Path) -> None:
    lines(root, lambda said: [said[0], "Ann Lee 1 2", *said[2:]])


@LFW.flawed(
    "pairs.txt line 3: a pair of two people where the header's numbers expect pairs of one",
    "pairs.txt line 4: a pair of one person where the header's numbers expect pairs of two",
)
def the_two_kinds_in_turn(root: Path) -> None:
    lines(root, lambda said: [said[0], said[1], said[3], said[2], *said[4:]])


@LFW.flawed(
    "pairs.txt line 41: Person_001 is in fold 10, and in fold 1 by pairs.txt line 2; no one may "
    "be in two; with the number of pairs alone in the first line people are split by name",
)
def a_person_in_two_folds(root: Path) -> None:
    lines(root, lambda said: [*said[:-1], "Person_001\t1\tPerson_020\t1"])


@LFW.flawed("pairs.txt line 1: the list is empty")
def an_empty_list(root: Path) -> None:
    tiny_cfp.text(root / "pairs.txt", [])
