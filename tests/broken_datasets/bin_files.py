"""An insightface .bin, broken."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import tiny_cfp
import tiny_datasets

from facesiam.data.formats import open_dataset

from .cases import Cases


def _bin(root: Path) -> Path:
    cfp = open_dataset(tiny_cfp.write(root.parent / "cfp"))
    root.mkdir()
    return tiny_datasets.bin_file(cfp, root / "faces.bin", cfp.read().pairs)


BIN = Cases("bin", _bin)
"""The 60 pairs of CFP."""


class Call:
    """Would run a command if it were unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.folder}/touched",)


def change(file: Path, images: Any = None, labels: Any = None) -> None:
    """Put other images or labels in."""
    old = pickle.loads(file.read_bytes())
    file.write_bytes(pickle.dumps((old[0] if images is None else images, labels or old[1])))


@BIN.none(
    "an insightface .bin is a pickle of a list of images and a list of labels, and this one "
    "holds something else (posix.system); none of it was run",
)
def a_command_in_the_pickle(file: Path) -> None:
    change(file, labels=[Call(file.parent)])


@BIN.none(
    "an insightface .bin is a pickle of a list of images and a list of labels, and this one is "
    "damaged (expected 77 bytes in a bytes1, but only 24 remain)",
)
def half_a_pickle(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:3000])


@BIN.none(
    "an insightface .bin is a pickle of a list of images and a list of labels, and this one is "
    "an empty file",
)
def an_empty_file(file: Path) -> None:
    file.write_bytes(b"")


@BIN.none(
    "an insightface .bin is a pickle of a list of images and a list of labels, and this one is a "
    "zip archive",
)
def a_net_of_torch(file: Path) -> None:
    file.write_bytes(b"PK\3\4\0\0\x08\x08archive/data.pkl" + bytes(60))


@BIN.none(
    "an insightface .bin is a pickle of a list of images and a list of labels, and this one is a "
    "page of HTML or XML",
)
def a_web_page(file: Path) -> None:
    tiny_cfp.text(file, ["<!DOCTYPE html>", "<title>Sign in</title>"])


@BIN.none(
    "an insightface .bin is a pickle of a list of images and a list of labels, and this one "
    "holds something else (the operation EMPTY_DICT); none of it was run",
)
def a_dictionary(file: Path) -> None:
    file.write_bytes(pickle.dumps({"images": [], "labels": []}))


@BIN.flawed("faces.bin: has 120 images and 59 labels; there must be two images a label")
def a_label_too_few(file: Path) -> None:
    change(file, labels=pickle.loads(file.read_bytes())[1][:-1])


@BIN.flawed("faces.bin: has 4 pairs; its ten folds need a pair each")
def pairs_for_less_than_ten_folds(file: Path) -> None:
    images, labels = pickle.loads(file.read_bytes())
    change(file, images[:8], labels[:4])


@BIN.none("label 1 is 2; expected true or false, or 1 or 0")
def labels_of_three_kinds(file: Path) -> None:
    change(file, labels=[2] * 60)


@BIN.none("image 1 is str; expected an encoded one, a whole JPEG or PNG")
def paths_for_images(file: Path) -> None:
    change(file, images=["001.jpg"] * 120)


@BIN.none(
    "image 1 is pixels of the shape (112, 112, 3), whose order of colours nothing says; expected "
    "an encoded one, a whole JPEG or PNG",
)
def pixels_for_images(file: Path) -> None:
    change(file, images=[np.zeros((112, 112, 3), np.uint8)] * 120)


@BIN.flawed(
    "01-left is not a readable image (neither JPEG nor PNG nor WebP nor BMP)",
    packing=True,
)
def an_image_that_is_none(file: Path) -> None:
    images = pickle.loads(file.read_bytes())[0]
    change(file, images=[b"001.jpg", *images[1:]])
