"""The CFP dataset, broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import tiny_cfp

from .cases import Cases

CFP = Cases("CFP", tiny_cfp.write)
"""20 people of two frontal images and a profile; split k has people 2k-1 and 2k."""
FF_1 = "Protocol/Split/FF/01"


@CFP.none(
    "not a dataset; give {root}; it holds images of CFP and not its lists; {cfp} (--format "
    "folders takes the images alone)",
)
def only_the_images_are_given(root: Path) -> Path:
    return root / "Data/Images"


@CFP.none(
    "not a dataset; give {root}; it holds no image (.jpg, .jpeg, .png, .webp, .bmp), and 42 "
    "other files: 42 .txt (first Pair_list_F.txt); {formats}",
)
def only_the_lists_are_given(root: Path) -> Path:
    return root / "Protocol"


@CFP.none("Protocol/Pair_list_F.txt is missing; {cfp}")
def the_lists_of_images_are_missing(root: Path) -> None:
    for file in root.glob("Protocol/*.txt"):
        file.unlink()


@CFP.flawed("Protocol/Split/FP: has 9 of the 10 splits; missing: 07")
def a_split_is_missing(root: Path) -> None:
    shutil.rmtree(root / "Protocol/Split/FP/07")


@CFP.flawed("Protocol/Split/FF/01/same.txt line 2: points at image 41 of a list that has 1 to 40")
def an_index_beyond_the_list(root: Path) -> None:
    tiny_cfp.text(root / FF_1 / "same.txt", ["1,2", "3,41"])


@CFP.flawed("Protocol/Split/FF/01/same.txt line 2: expected two numbers as in 5,1, got '3,four'")
def pairs_that_are_no_numbers(root: Path) -> None:
    tiny_cfp.text(root / FF_1 / "same.txt", ["1,2", "3,four"])


@CFP.flawed("Protocol/Split/FF/01/same.txt line 2: pairs image 3 with itself")
def an_image_and_itself(root: Path) -> None:
    tiny_cfp.text(root / FF_1 / "same.txt", ["1,2", "3,3"])


@CFP.flawed("Protocol/Split/FF/01/same.txt line 2: 1,3 are of person 1 and person 2 in same.txt")
def a_same_pair_of_two_people(root: Path) -> None:
    tiny_cfp.text(root / FF_1 / "same.txt", ["1,2", "1,3"])


@CFP.flawed(
    "person 20 is in the train part (split 01) and in the test part (split 10); no one may be in "
    "two parts",
)
def a_person_of_two_parts(root: Path) -> None:
    tiny_cfp.text(root / FF_1 / "diff.txt", ["1,39"])


@CFP.flawed(
    "Protocol/Pair_list_P.txt line 1: counts its images from 0; CFP's lists begin with 1, and "
    "the splits' numbers mean that",
)
def a_list_that_counts_from_0(root: Path) -> None:
    file = root / "Protocol/Pair_list_P.txt"
    lines = [line.split(" ", 1)[1] for line in file.read_text().splitlines()]
    tiny_cfp.text(file, [f"{n} {line}" for n, line in enumerate(lines)])


@CFP.flawed(
    "Protocol/Pair_list_F.txt line 2: points at Data/Images/001/frontal/02.jpg, which does not "
    "exist",
)
def an_image_is_missing(root: Path) -> None:
    (root / "Data/Images/001/frontal/02.jpg").unlink()
