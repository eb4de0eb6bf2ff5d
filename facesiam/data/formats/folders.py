"""A folder of images for each person, with or without parts above and views below.

The name of a person's folder is the person's name. Above may be a folder for each part, and others
above those; below may be ``frontal/`` and ``profile/``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from facesiam.config.settings import did_you_mean
from facesiam.config.trial import Part
from facesiam.data.archive import Source, ZipSource
from facesiam.data.formats import people
from facesiam.data.formats.found import Found
from facesiam.data.listing import LANDMARKS, Listing
from facesiam.data.problems import Problem
from facesiam.errors import counted

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_LITTER = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"}
"""Files and folders that systems leave behind, in lower case, beside hidden ones."""


@dataclass(frozen=True)
class Image:
    """An image in a person's folder."""

    name: str
    """Path under the root."""
    base: str
    """Folder that the people are in, above the parts."""
    part: Part | None
    folder: str
    """Path of the person's folder; its last name is the person's."""
    profile: bool


class Layout:
    """The images under a root, with the people whose folders they are in.

    Args:
        names: every file under the root.
    """

    def __init__(self, names: Iterable[str]) -> None:
        seen = [name for name in names if not is_litter(name)]
        self.files = [name for name in seen if name.lower().endswith(SUFFIXES)]
        self.others = [
            name
            for name in seen
            if not name.lower().endswith(SUFFIXES) and os.path.basename(name) != LANDMARKS
        ]
        """Files that are neither images nor the table of landmarks."""
        placed = {name: _placed(name) for name in self.files}
        images = [image for image in placed.values() if image]
        people_in = Counter(base for base, _ in {(image.base, image.folder) for image in images})
        self.base = max(
            people_in, key=lambda base: (people_in[base], -base.count("/"), base), default=""
        )
        self.images = [image for image in images if image.base == self.base]
        """Those of people, in order of their paths."""
        self.folders = {image.folder for image in self.images}
        chosen = {image.name for image in self.images}
        self.left_out = [name for name in self.files if name not in chosen]

    @cached_property
    def root(self) -> str:
        """The folder that holds them all, "" or ending with a slash."""
        outside = [os.path.dirname(name) for name in self.left_out]
        common = os.path.commonpath([self.base, *outside])
        return f"{common}/" if common else ""

    def problems(self) -> list[Problem]:
        """Return what is wrong with folders of images that are no person's, each once."""
        above = {self.base, *(os.path.dirname(folder) for folder in self.folders)}
        first = {os.path.dirname(name): name for name in reversed(self.left_out)}
        parts = sorted({os.path.dirname(image.folder) for image in self.images if image.part})
        where = " and ".join(f"{part}/" for part in parts or [self.base] if part) or "the root"
        found: dict[str, Problem] = {}
        for folder, name in sorted(first.items()):
            if _holds(self.folders, folder):
                said = "is in a folder below a person's that is neither frontal nor profile"
                said = f"{name}: {said}; move it up, or out of the dataset"
                found[folder] = Problem("below", said)
            elif not any(_is_in(there, folder) for there in above):
                group = os.path.dirname(folder)
                word = os.path.basename(group).lower()
                if parts and os.path.dirname(group) == self.base and word:
                    near = did_you_mean(word, people.PARTS)
                    said = f"{group}/: beside {where}, and neither train nor val nor test{near}"
                    found[group] = Problem("part", said)
                else:
                    said = f"{folder}/: people's folders are in {where}, and this one is elsewhere"
                    said += "; put all of them into one folder, or into train/, val/ and test/"
                    found[folder] = Problem("elsewhere", said)
        return list(found.values())

    def notes(self) -> list[str]:
        """Return what is left out though nothing is wrong with it."""
        above = {self.base, *(os.path.dirname(folder) for folder in self.folders)}
        loose = [n for n in self.left_out if any(_is_in(at, os.path.dirname(n)) for at in above)]
        notes = []
        if loose:
            notes.append(
                f"{len(loose):,} image{'s are' if loose[1:] else ' is'} in no person's folder and "
                f"left out (first {loose[0]})"
            )
        if self.others:
            notes.append(
                f"{len(self.others):,} file{'s are' if self.others[1:] else ' is'} not "
                f"{', '.join(SUFFIXES)} and left out: {kinds_of(self.others)}"
            )
        return notes


def kinds_of(files: Sequence[str]) -> str:
    """Return how many of these files have which suffix, and the first of them."""
    suffixes = Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in files)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in suffixes.most_common(4))
    return f"{kinds} (first {files[0]})"


def is_litter(name: str) -> bool:
    """Whether a path is hidden, or of a kind that systems leave behind."""
    return any(part.startswith(".") or part.lower() in _LITTER for part in name.split("/"))


def find(source: Source) -> Found | None:
    """Say where the people's folders are in a source; None: there are none.

    Raises:
        DataError: the source's folder cannot be listed.
    """
    layout = Layout(source.names())
    if not layout.images:
        return None
    parts = dict.fromkeys(os.path.dirname(image.folder) for image in layout.images if image.part)
    where = f" in {', '.join(f'{part}/' for part in parts)}" if parts else ""
    within = f" in {layout.base}/" if layout.base and not parts else ""
    count = len(layout.folders)
    return Found(layout.root, f"{counted(count, 'folder')} of a person's images{where}{within}")


def read(source: Source) -> Listing:
    """Read the people of ``source``."""
    links = {name: to for name, to in source.links().items() if not is_litter(name)}
    layout = Layout(name for name in source.names() if name not in links)
    images = layout.images
    found = people.of_images(
        [os.path.basename(image.folder) for image in images],
        [image.part for image in images],
        [image.folder for image in images],
    )
    problems = [*layout.problems(), *_links(source, links), *found.problems]
    problems += people.alike_folders(found.names)
    return Listing(
        format="folders",
        names=[image.name for image in images],
        person=found.person,
        people=found.names,
        frontal=~np.array([image.profile for image in images], bool),
        fold=found.fold,
        pairs=np.zeros((0, 5), np.int64),
        places=[],
        files=[],
        problems=problems or people.too_few(found),
        notes=[
            *found.notes,
            *people.notes_of(found),
            *layout.notes(),
            *_empty(source, layout.files),
        ],
    )


def _placed(name: str) -> Image | None:
    """Return what an image's path says; None: it is in no folder of a person."""
    folders = name.split("/")[:-1]
    view = (
        folders.pop().lower() if len(folders) > 1 and folders[-1].lower() in people.VIEWS else ""
    )
    if not folders or folders[-1].lower() in people.PARTS:
        return None
    folder = "/".join(folders)
    above = folders[:-1]
    part = people.PARTS.get(above[-1].lower()) if above else None
    base = "/".join(above[:-1] if part else above)
    return Image(name, base, part, folder, view == "profile")


def _links(source: Source, links: Mapping[str, str]) -> list[Problem]:
    problems = []
    for name, target in links.items():
        if isinstance(source, ZipSource):
            said = f"is a link to {target} in the zip; zip what it leads to"
        elif os.path.exists(target):
            said = f"is a link to {target}, outside of the dataset; put a copy there (cp -rL)"
        else:
            said = f"is a link to {target}, which does not exist; remove it"
        problems.append(Problem("link", f"{name}: {said}"))
    return problems


def _empty(source: Source, images: Iterable[str]) -> list[str]:
    """Return a note about folders without an image."""
    used: set[str] = set()
    for folder in {os.path.dirname(name) for name in images}:
        while folder and folder not in used:
            used.add(folder)
            folder = os.path.dirname(folder)
    empty = [name for name in source.folders() if name not in used and not is_litter(name)]
    if not empty:
        return []
    more = f" (first {empty[0]})" if empty[1:] else f": {empty[0]}"
    return [f"{len(empty):,} folder{'s hold' if empty[1:] else ' holds'} no image{more}"]


def _holds(folders: set[str], path: str) -> bool:
    """Whether a path is below one of some folders."""
    while path := os.path.dirname(path):
        if path in folders:
            return True
    return False


def _is_in(path: str, folder: str) -> bool:
    """Whether a path is a folder or below it."""
    return not folder or path == folder or path.startswith(f"{folder}/")
