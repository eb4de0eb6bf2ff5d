"""A data set in the CFP layout that is small enough to know by heart.

People 1 to 20, each with 2 frontal images and 1 profile; split k has people 2k-1 and 2k. So the
frontal list is 40 long, image 2p-1 and 2p being person p's, and profile number p is person p's.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from PIL import Image


def write(folder: Path) -> Path:
    """Write it and return the folder; each image is of one colour, 8 pixels wide and 6 high."""
    frontal = [f"../Data/Images/{p:03d}/frontal/{i:02d}.jpg" for p in range(1, 21) for i in (1, 2)]
    profile = [f"../Data/Images/{p:03d}/profile/01.jpg" for p in range(1, 21)]
    for at, name in enumerate(frontal + profile):
        image(folder / name.removeprefix("../"), (4 * at, 255 - 4 * at, 100))
    text(folder / "Protocol/Pair_list_F.txt", [f"{n} {x}" for n, x in enumerate(frontal, 1)])
    text(folder / "Protocol/Pair_list_P.txt", [f"{n} {x}" for n, x in enumerate(profile, 1)])
    for fold in range(1, 11):
        a, b = 2 * fold - 1, 2 * fold
        split = folder / "Protocol/Split"
        text(split / f"FF/{fold:02d}/same.txt", [f"{2 * a - 1},{2 * a}", f"{2 * b - 1},{2 * b}"])
        text(split / f"FF/{fold:02d}/diff.txt", [f"{2 * a - 1},{2 * b - 1}"])
        text(split / f"FP/{fold:02d}/same.txt", [f"{2 * a - 1},{a}", f"{2 * b - 1},{b}"])
        text(split / f"FP/{fold:02d}/diff.txt", [f"{2 * a - 1},{b}"])
    return folder


def image(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (8, 6)) -> None:
    """Write an image of one colour; PNG, whatever it is called, so that no value changes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, "PNG")


def text(path: Path, lines: list[str]) -> None:
    """Write lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def zipped(folder: Path, archive: Path, prefix: str = "cfp-dataset/") -> Path:
    """Zip the folder, its files under ``prefix``, and return the archive."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                out.write(file, prefix + file.relative_to(folder).as_posix())
    return archive
