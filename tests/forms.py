"""CFP written out in the other data formats, as far as each of them can say what CFP says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tiny_cfp
import tiny_datasets

from facesiam.data.formats import Opened

PARTS = ("train", "val", "test")
Named = tuple[Path, list[str]]
"""The path to give, and the new path under its root of each of CFP's images, in CFP's order; ""
for one that the form leaves out."""


def pairs(cfp: Opened, folder: Path, rows: Callable[[int], bool] = lambda kind: True) -> Named:
    """Write a CSV of the pairs with folds and people, of the kinds that are wanted."""
    listing = cfp.read()
    table = tiny_datasets.pair_csv(cfp, folder)
    header, *lines = table.read_text().splitlines()
    kinds = listing.pairs[:, 0].tolist()
    kept = [line for line, kind in zip(lines, kinds, strict=True) if rows(kind)]
    tiny_cfp.text(table, [header, *kept])
    return table, listing.names


def parts_of_triplets(cfp: Opened) -> dict[int, str]:
    """Return the part of each person under frontal-triplets: the sorted people, cut at 60, 80 %."""
    people = np.unique(cfp.read().person).tolist()
    cuts = len(people) * 6 // 10, len(people) * 8 // 10
    return {who: PARTS[sum(at >= cut for cut in cuts)] for at, who in enumerate(people)}


def images(cfp: Opened, folder: Path) -> Named:
    """Write a CSV of the images in CFP's order, with the parts of frontal-triplets and the views."""
    listing, part = cfp.read(), parts_of_triplets(cfp)
    tiny_datasets.copy_images(cfp, folder, listing.names)
    views = ["frontal" if frontal else "profile" for frontal in listing.frontal.tolist()]
    rows = [
        f"{name},{who:03d},{part[who]},{view}"
        for name, who, view in zip(listing.names, listing.person.tolist(), views, strict=True)
    ]
    tiny_cfp.text(folder / "images.csv", ["path,person,split,view", *rows])
    return folder / "images.csv", listing.names


def folders(cfp: Opened, folder: Path) -> Named:
    """Write a folder of frontal and profile images for each person, in the parts of triplets."""
    listing, part = cfp.read(), parts_of_triplets(cfp)
    names = [
        f"{part[who]}/{who:03d}/{'/'.join(name.split('/')[-2:])}"
        for name, who in zip(listing.names, listing.person.tolist(), strict=True)
    ]
    tiny_datasets.copy_images(cfp, folder, names)
    return folder, names


def lfw(cfp: Opened, folder: Path) -> Named:
    """Write the FF pairs as LFW does; each fold has as many of one person as of two."""
    listing = cfp.read()
    count: dict[int, int] = {}
    ends = []
    for who, frontal in zip(listing.person.tolist(), listing.frontal.tolist(), strict=True):
        count[who] = count.get(who, 0) + frontal
        ends.append((f"Person_{who:03d}", count[who]) if frontal else ("", 0))
    names = [f"lfw/{who}/{who}_{number:04d}.jpg" if who else "" for who, number in ends]
    for old, new in zip(listing.names, names, strict=True):
        if new:
            (folder / new).parent.mkdir(parents=True, exist_ok=True)
            (folder / new).write_bytes(cfp.source.read(old))
    ff = listing.pairs[listing.pairs[:, 0] == 0]
    lines = [f"10\t{len(ff) // 20}"]
    for fold in range(1, 11):
        for label in (0, 1):
            for left, right in ff[(ff[:, 1] == fold) & (ff[:, 4] == label)][:, 2:4].tolist():
                (one, first), (other, second) = ends[left], ends[right]
                middle = "" if label == 0 else f"\t{other}"
                lines.append(f"{one}\t{first}{middle}\t{second}")
    tiny_cfp.text(folder / "pairs.txt", lines)
    return folder, names
