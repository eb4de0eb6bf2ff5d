"""Data sets of one-colour images in forms other than CFP's, small enough to know by heart.

People are called p00, p01 and so on; each image has a colour of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import tiny_cfp


def names(people: int = 10, each: int = 3) -> list[str]:
    """Return the path of each image, PERSON/N.png."""
    return [f"p{p:02d}/{n}.png" for p in range(people) for n in range(1, each + 1)]


def images(root: Path, paths: Iterable[str]) -> Path:
    """Write an image for each path under a root, no two alike, and return the root."""
    for at, path in enumerate(paths):
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
