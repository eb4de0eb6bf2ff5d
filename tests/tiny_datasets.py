"""Data sets of one-colour images in forms other than CFP's, small enough to know by heart.

People are called p00, p01 and so on; each image has a colour of its own. What lists pairs is made
from a dataset in CFP's layout, whose images it copies.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tiny_cfp
from numpy.typing import NDArray

from facesiam.data.formats import Opened

PAIR_COLUMNS = ("left", "right", "same", "fold", "person_left", "person_right")


def names(people: int = 10, each: int = 3) -> list[str]:
    """Return the path of each image, PERSON/N.png."""
    return [f"p{p:02d}/{n}.png" for p in range(people) for n in range(1, each + 1)]


def images(root: Path, paths: Iterable[str], first: int = 0) -> Path:
    """Write an image for each path under a root, and return the root.

    No two are alike, nor like those of another call whose colours begin elsewhere.
    """
    for at, path in enumerate(paths, first):
        tiny_cfp.image(root / path, (at % 200, at // 200, 100))
    return root


def folders(root: Path, people: int = 10, each: int = 3) -> Path:
    """Write a folder of images for each person, and return the root."""
    return images(root, names(people, each))


def image_table(root: Path, people: int = 10, each: int = 3) -> Path:
    """Write images of people and the table that lists them, faces.csv; return the table."""
    folders(root, people, each)
    rows = [f"{name},{name.split('/')[0]}" for name in names(people, each)]
    tiny_cfp.text(root / "faces.csv", ["path,person", *rows])
    return root / "faces.csv"


def copy_images(cfp: Opened, folder: Path, names: Sequence[str]) -> None:
    """Copy the images of a dataset, in its order, to these paths in a folder."""
    for old, new in zip(cfp.read().names, names, strict=True):
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / new).write_bytes(cfp.source.read(old))


def pair_csv(
    cfp: Opened,
    folder: Path,
    columns: Sequence[str] = PAIR_COLUMNS,
    pairs: NDArray[np.int64] | None = None,
) -> Path:
    """Write a dataset as its images and pairs.csv, its pairs or these; return the file."""
    listing = cfp.read()
    copy_images(cfp, folder, listing.names)
    lines = [",".join(columns)]
    for _, fold, left, right, label in (listing.pairs if pairs is None else pairs).tolist():
        person = [f"{listing.person[at]:03d}" for at in (left, right)]
        cells = (listing.names[left], listing.names[right], str(1 - label), str(fold), *person)
        row = dict(zip(PAIR_COLUMNS, cells, strict=True))
        lines.append(",".join(row[name] for name in columns))
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    return folder / "pairs.csv"


def bin_file(cfp: Opened, file: Path, pairs: NDArray[np.int64], protocol: int = 4) -> Path:
    """Write pairs (P, 5) of a dataset as an insightface .bin; return the file."""
    names = cfp.read().names
    ends = [cfp.source.read(names[at]) for at in pairs[:, 2:4].reshape(-1).tolist()]
    labels = [label == 0 for label in pairs[:, 4].tolist()]
    file.write_bytes(pickle.dumps((ends, labels), protocol))
    return file


def lfw_name(person: int) -> str:
    """Return a name as LFW writes them."""
    return f"Person_{person:03d}"


def lfw(cfp: Opened, folder: Path, images: str = "lfw/") -> Path:
    """Write a dataset's frontal images as LFW, the list of pairs beside a folder of images.

    In each fold are two people, and two pairs of each kind.
    """
    listing = cfp.read()
    numbers: dict[int, int] = {}
    names = []
    for person in listing.person.tolist():
        numbers[person] = numbers.get(person, 0) + 1
        who = lfw_name(person)
        names.append(f"{images}{who}/{who}_{numbers[person]:04d}.jpg")
    copy_images(cfp, folder, names)
    lines = ["10\t2"]
    for fold in range(1, 11):
        one, other = np.unique(listing.person[listing.fold == fold]).tolist()[:2]
        lines += [f"{lfw_name(who)}\t1\t2" for who in (one, other)]
        lines += [f"{lfw_name(one)}\t{n}\t{lfw_name(other)}\t{3 - n}" for n in (1, 2)]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    return folder
