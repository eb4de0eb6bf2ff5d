"""A folder of images for each person, broken."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import tiny_cfp
import tiny_datasets

from .cases import Cases

FOLDERS = Cases("folders", tiny_datasets.folders)
"""Ten people of three images."""


def move(root: Path, old: str, new: str) -> None:
    """Move a file or folder of a dataset."""
    (root / new).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(root / old, root / new)


def in_parts(root: Path, **parts: range) -> None:
    """Move the folders of people into folders of parts."""
    for part, people in parts.items():
        for p in people:
            move(root, f"p{p:02d}", f"{part}/p{p:02d}")


def three_parts(root: Path) -> None:
    """Move everybody into three parts."""
    in_parts(root, train=range(6), val=range(6, 8), test=range(8, 10))


def keep(root: Path, people: int) -> None:
    """Remove everybody but the first so many people."""
    for folder in sorted(root.iterdir())[people:]:
        shutil.rmtree(folder)


@FOLDERS.none("does not exist; did you mean faces?")
def a_wrong_path(root: Path) -> Path:
    return root.with_name("facs")


@FOLDERS.none(
    "not a dataset; it holds 3 images and no folder of a person; put each person's images into a "
    "folder that has the person's name; if it is one person's, give {root}",
)
def one_person_s_folder_is_given(root: Path) -> Path:
    return root / "p00"


@FOLDERS.none("a PNG, not a zip archive; give a zip of a dataset, or its folder")
def a_single_image_is_given(root: Path) -> Path:
    return root / "p00/1.png"


@FOLDERS.flawed(
    "b/p01/: people's folders are in faces/, and this one is elsewhere; put all of them into one "
    "folder, or into train/, val/ and test/, and 9 more like it",
)
def the_folder_above_two_datasets_is_given(root: Path) -> Path:
    shutil.copytree(root, root.parent / "b")
    (root.parent / "b/p00").rename(root.parent / "b/q00")
    return root.parent


@FOLDERS.none(
    "not a dataset; it holds 30 images and no folder of a person; put each person's images into "
    "a folder that has the person's name; {formats}",
)
def all_images_are_in_the_root(root: Path) -> None:
    for at, image in enumerate(sorted(root.glob("*/*.png"))):
        move(root, str(image.relative_to(root)), f"{at}.png")
    for folder in root.glob("p*"):
        folder.rmdir()


@FOLDERS.none("not a dataset; it is empty; {formats}")
def it_is_empty(root: Path) -> None:
    keep(root, 0)


@FOLDERS.none(
    "not a dataset; it holds no image (.jpg, .jpeg, .png, .webp, .bmp), and 1 other file: 1 .txt "
    "(first p00/name.txt); {formats}",
)
def only_texts(root: Path) -> None:
    keep(root, 0)
    tiny_cfp.text(root / "p00/name.txt", ["Ann"])


@FOLDERS.none(
    "not a dataset; it holds no image (.jpg, .jpeg, .png, .webp, .bmp), and 30 other files: 30 "
    ".heic (first p00/1.HEIC); {formats}",
)
def photographs_of_a_telephone(root: Path) -> None:
    for image in root.glob("*/*.png"):
        image.rename(image.with_suffix(".HEIC"))


@FOLDERS.flawed(
    "has only one person, p00 (train 0, val 0, test 1); each part needs 2 or more, so that a "
    "pair of two people can be drawn: 8 people in all, or more",
)
def one_person(root: Path) -> None:
    keep(root, 1)


@FOLDERS.flawed(
    "has 2 people (train 1, val 0, test 1); each part needs 2 or more, so that a pair of two "
    "people can be drawn: 8 people in all, or more",
)
def two_people(root: Path) -> None:
    keep(root, 2)


@FOLDERS.flawed(
    "has 5 people (train 3, val 1, test 1); each part needs 2 or more, so that a pair of two "
    "people can be drawn: 8 people in all, or more",
)
def five_people(root: Path) -> None:
    keep(root, 5)


@FOLDERS.flawed("nobody has two different images, so there is no pair of the same person")
def everybody_has_one_image(root: Path) -> None:
    for n in (2, 3):
        for image in root.glob(f"*/{n}.png"):
            image.unlink()


@FOLDERS.flawed(
    "no pair of one person in the val part; there are of one person and of two train 18 and 135, "
    "val 0 and 1, test 6 and 9",
)
def copies_alone_in_a_part(root: Path) -> None:
    three_parts(root)
    for person in (root / "val").iterdir():
        (person / "3.png").unlink()
        shutil.copy(person / "1.png", person / "2.png")


@FOLDERS.flawed("'p00/\\udcff.png': its name is not UTF-8; rename it")
def a_name_in_another_encoding(root: Path) -> None:
    os.rename(root / "p00/1.png", os.fsencode(root / "p00") + b"/\xff.png")


@FOLDERS.flawed(
    "p03 is in test part (test/p03) and in train part (train/p03); a person may be in one only",
)
def a_person_in_two_parts(root: Path) -> None:
    three_parts(root)
    tiny_cfp.image(root / "test/p03/9.png", (9, 9, 9))


@FOLDERS.flawed(
    "p09: p09 is in no part, and others are in train, val or test; give everyone a part, or no "
    "one",
)
def a_person_beside_the_parts(root: Path) -> None:
    in_parts(root, train=range(6), val=range(6, 8), test=range(8, 9))


@FOLDERS.flawed(
    "vall/: beside test/ and train/, and neither train nor val nor test; did you mean val?",
)
def a_part_with_a_misspelled_name(root: Path) -> None:
    in_parts(root, train=range(6), vall=range(6, 8), test=range(8, 10))


@FOLDERS.flawed(
    "train/p01/1.png (train) and test/p09/5.png (test) are byte-identical; the parts may not "
    "share an image, and one of the two names is wrong: remove that image",
)
def one_photograph_of_two_people_of_two_parts(root: Path) -> None:
    three_parts(root)
    shutil.copy(root / "train/p01/1.png", root / "test/p09/5.png")


@FOLDERS.flawed(
    "train/p01/1.png (p01) and train/p02/5.png (p02) are byte-identical, so one of the two names "
    "is wrong; remove that image",
)
def one_photograph_of_two_people_of_a_part(root: Path) -> None:
    three_parts(root)
    shutil.copy(root / "train/p01/1.png", root / "train/p02/5.png")


@FOLDERS.flawed(
    "P04 and p04 are two people whose names differ in case or blanks only; put one person's "
    "images into one folder, or make the names differ",
)
def two_people_in_all_but_case(root: Path) -> None:
    tiny_cfp.image(root / "P04/1.png", (9, 9, 9))


@FOLDERS.flawed(
    "p00/summer/1.png: is in a folder below a person's that is neither frontal nor profile; move "
    "it up, or out of the dataset",
)
def albums_within_a_person_s_folder(root: Path) -> None:
    move(root, "p00/1.png", "p00/summer/1.png")


@FOLDERS.flawed(
    "more/people/p00/: people's folders are in the root, and this one is elsewhere; put all of "
    "them into one folder, or into train/, val/ and test/",
)
def people_at_two_levels(root: Path) -> None:
    move(root, "p00", "more/people/p00")


@FOLDERS.flawed(
    "p00/1.png: is a link to {above}/elsewhere.png, outside of the dataset; put a copy there (cp "
    "-rL)",
)
def a_link_out_of_the_dataset(root: Path) -> None:
    move(root, "p00/1.png", "../elsewhere.png")
    os.symlink("../../elsewhere.png", root / "p00/1.png")


@FOLDERS.flawed("p00/4.png: is a link to {given}/p00/nothing.png, which does not exist; remove it")
def a_link_to_nothing(root: Path) -> None:
    os.symlink("nothing.png", root / "p00/4.png")


@FOLDERS.none("{given}/p00/up: a link to a folder above it")
def a_link_to_the_folder_above(root: Path) -> None:
    os.symlink("..", root / "p00/up")


@FOLDERS.none("{given}/p00: cannot be listed (Permission denied)")
def a_folder_that_may_not_be_entered(root: Path) -> None:
    (root / "p00").chmod(0)


@FOLDERS.flawed("{given}/p00/1.png: cannot be read (Permission denied)")
def an_image_that_may_not_be_read(root: Path) -> None:
    (root / "p00/1.png").chmod(0)
