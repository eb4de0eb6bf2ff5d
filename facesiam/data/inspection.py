"""The report of ``python -m facesiam.data check``: what a dataset contains, and its problems."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from facesiam.cli.terminal import WHOLE, columns, folded
from facesiam.config import SETTINGS
from facesiam.data import drawing, duplicates, images
from facesiam.data.archive import Source
from facesiam.data.common_problems import common_problems
from facesiam.data.formats import Opened
from facesiam.data.formats.cfp_lists import KINDS
from facesiam.data.listing import UNKNOWN, Listing, distinct, repeated
from facesiam.data.problems import Problem, told
from facesiam.data.progress import bar
from facesiam.data.split import FOLDS, part_numbers
from facesiam.device.cores import cores
from facesiam.errors import DataError, counted, shown

_MOST_PIXELS = int(SETTINGS["packed_size"].high or 0)
"""A side of the largest packed images."""


@dataclass(frozen=True)
class Look:
    """One image: its file's SHA-256, how it is stored, and why it cannot be read, if so."""

    digest: bytes
    picture: bytes
    """Its name where it cannot be read, else the SHA-256 of what it shows."""
    grey: bool = False
    turned: bool = False
    size: tuple[int, int] | None = None
    """Width and height in the file."""
    problem: str | None = None


def report(opened: Opened, every: bool = False) -> int:
    """Print what a dataset contains; return 0 where it can be used, 1 where it has problems.

    Every image is decoded.

    Args:
        opened: the dataset.
        every: print each problem, instead of the first of many that are alike.

    Raises:
        DataError: there is no list of images at all.
    """
    source, dataset = opened.source, opened.read()
    there = [at for at, name in enumerate(dataset.names) if source.has(name)]
    with (
        bar(f"decoding {counted(len(there), 'image')}", len(there)) as advance,
        ThreadPoolExecutor(cores()) as pool,
    ):

        def look(at: int) -> Look:
            advance(1)
            return _look(source, dataset.names[at])

        looks = dict(zip(there, pool.map(look, there), strict=True))
    content = _numbered(len(dataset.names), {at: look.digest for at, look in looks.items()})
    pictures = _numbered(len(dataset.names), {at: look.picture for at, look in looks.items()})
    unreadable = [Problem("image", look.problem) for look in looks.values() if look.problem]
    problems = dataset.problems + common_problems(dataset, content) + unreadable
    print(shown(source.path))
    _print("format", f"{opened.name} ({opened.why})")
    _print_counts(dataset, list(looks.values()))
    _print_parts(dataset)
    if dataset.format == "cfp":
        for number, kind in enumerate(KINDS):
            _print_pairs(dataset, number, f" of {kind}", content, pictures)
    elif len(dataset.pairs):
        _print_pairs(dataset, 0, "", content, pictures)
    else:
        _print_drawn(dataset, content)
    _print_duplicates(dataset, looks, every)
    for note in dataset.notes + duplicates.notes(dataset, content):
        _print("note", note)
    _print("problems", str(len(problems) or "none"))
    _print_told(problems, every)
    return 1 if problems else 0


def _print_told(problems: list[Problem], every: bool) -> None:
    """Print sentences, each on a line of its own, or of many alike the first."""
    lines = told(problems, every)
    for line in lines:
        print(folded(shown(line), columns(WHOLE), "    ", "      "))
    if len(lines) < len(problems):
        print("    `--all` names every one of them")


def _print(title: str, text: str) -> None:
    """Print a line of the report, folded under its title."""
    print(folded(shown(text), columns(WHOLE), f"  {title:11} ", " " * 14))


def _numbered(count: int, digests: Mapping[int, bytes]) -> NDArray[np.int64]:
    """Return a number for each image, (N,), by digest; a missing or unreadable one has its own."""
    numbers: dict[bytes | int, int] = {}
    return np.array([numbers.setdefault(digests.get(at, at), len(numbers)) for at in range(count)])


def _look(source: Source, name: str) -> Look:
    def unread(problem: str) -> Look:
        return Look(name.encode(), name.encode(), problem=problem)

    try:
        content = source.read(name)
        picture = images.read(content, 2 * _MOST_PIXELS)
        shows = hashlib.sha256(repr(picture.image.size).encode() + picture.image.tobytes())
        digest = hashlib.sha256(content).digest()
        return Look(digest, shows.digest(), picture.grey, picture.orientation != 1, picture.size)
    except DataError as error:
        return unread(str(error))
    except ValueError as error:
        return unread(f"{name} is not a readable image ({error})")


def _print_counts(dataset: Listing, looks: list[Look]) -> None:
    frontal = int(dataset.frontal.sum())
    grey, turned = sum(look.grey for look in looks), sum(look.turned for look in looks)
    each = np.unique(dataset.person[dataset.person != UNKNOWN], return_counts=True)[1]
    single = int((each == 1).sum())
    _print("people", f"{len(each):,}" if len(each) else "not named")
    if len(each):
        more = (
            f"; {single:,} {'person has' if single == 1 else 'people have'} one image"
            if single
            else ""
        )
        _print("per person", f"images: {_spread(each)}{more}")
    views = (  # where no image is known to be a profile, nobody has said any view
        f"{frontal:,} frontal, {len(dataset.names) - frontal:,} profile; "
        if frontal < len(dataset.names)
        else ""
    )
    _print(
        "images",
        f"{len(dataset.names):,}: {views}{grey:,} of them greyscale"
        + (f", {turned:,} stored turned or mirrored and brought upright" if turned else ""),
    )
    if sizes := [look.size for look in looks if look.size]:
        shorter, longer = np.sort(sizes, axis=1).T
        _print("pixels", f"shorter side {_spread(shorter)}; longer side {_spread(longer)}")


def _spread(counts: NDArray[np.int64]) -> str:
    low, middle, high = (int(n) for n in (counts.min(), np.median(counts), counts.max()))
    return f"{low:,}" if low == high else f"{low:,} to {high:,}, median {middle:,}"


def _print_parts(dataset: Listing) -> None:
    if not (dataset.fold > 0).any():
        return
    parts = []
    for part, folds in FOLDS.items():
        mine = np.isin(dataset.fold, folds)
        people = len(np.unique(dataset.person[mine]))
        who = counted(people, "person", "people")
        parts.append(f"{part} {who}, {counted(int(mine.sum()), 'image')}")
    if none := int((dataset.fold == 0).sum()):
        parts.append(f"{counted(none, 'image')} in none")
    _print("parts", "; ".join(parts))


def _print_drawn(dataset: Listing, content: NDArray[np.int64]) -> None:
    parts = []
    for part, folds in FOLDS.items():
        images = np.flatnonzero(np.isin(dataset.fold, folds))
        wanted = drawing.number_of_pairs(len(images), part)
        rng = drawing.generator(0, part)
        label = drawing.draw_pairs(images, dataset.person, content, wanted, rng)[2]
        parts.append(f"{part} {len(label):,} ({int((label == 0).sum()):,} same)")
    _print("pairs", f"drawn with pair_seed 0: {', '.join(parts)}")


def _print_pairs(
    dataset: Listing,
    number: int,
    of_kind: str,
    content: NDArray[np.int64],
    pictures: NDArray[np.int64],
) -> None:
    """Print the number of listed pairs of a kind, and what is special about them.

    Args:
        dataset: as read.
        number: of the kind.
        of_kind: " of " and its name, or "" where there are no kinds.
        content: (N,) a number for each image, the same for byte-identical ones.
        pictures: (N,) a number for each image, the same for those that show the same.
    """
    mine = dataset.pairs[dataset.pairs[:, 0] == number]
    parts = []
    for part, folds in FOLDS.items():
        chosen = mine[np.isin(mine[:, 1], folds)]
        parts.append(f"{part} {len(chosen):,} ({int((chosen[:, 4] == 0).sum()):,} same)")
    each = np.bincount(mine[:, 1], minlength=11)[1:]
    spread = f"{each.min()}" if each.min() == each.max() else f"{each.min()}–{each.max()}"
    title = f"{of_kind.removeprefix(' of ')} pairs".lstrip()
    _print(title, f"{', '.join(parts)}; {spread} in each of the 10 splits")
    _print_repeats(mine, content, of_kind)
    ends = mine[:, 2:4].T
    again = int((np.equal(*pictures[ends]) & ~np.equal(*content[ends])).sum())
    if again:
        what = "is one picture in two files" if again == 1 else "are one picture in two files each"
        _print(
            "",
            f"{counted(again, 'pair')}{of_kind} {what}, which differ otherwise: no net is needed "
            "to judge that",
        )


def _print_repeats(pairs: NDArray[np.int64], content: NDArray[np.int64], of_kind: str) -> None:
    """Print how many of the pairs, (P, 5), repeat the two pictures of an earlier pair."""
    left, right = pairs[:, 2], pairs[:, 3]
    again, in_all = (
        len(pairs) - len(np.unique(distinct(left, right, number)))
        for number in (np.arange(len(content)), content)
    )
    twins = int(((pairs[:, 4] == 0) & (content[left] == content[right])).sum())
    if in_all:
        copies = f", {in_all - again:,} more as byte-identical copies" if in_all > again else ""
        _print("", f"{repeated(again, of_kind)}{copies}: n counts each once")
    if twins:
        are = "is" if twins == 1 else "are"
        _print("", f"{counted(twins, 'same pair')}{of_kind} {are} two byte-identical files")


def _print_duplicates(dataset: Listing, looks: dict[int, Look], every: bool) -> None:
    """Print the sets of byte-identical images: all across people, few of those within one."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for at, look in looks.items():
        groups[look.digest].append(at)
    groups = {digest: group for digest, group in groups.items() if len(group) > 1}
    part = part_numbers(dataset.fold).tolist()
    pairs = [pair for group in groups.values() for pair in combinations(group, 2)]
    who = dataset.person.tolist()
    people = [(left, right) for left, right in pairs if who[left] != who[right]]
    parts = [pair for pair in people if part[pair[0]] != part[pair[1]]]
    _print(
        "duplicates",
        f"sets of byte-identical images: {len(groups):,}; pairs of them: {len(pairs):,}, across "
        f"people {len(people):,}, across parts {len(parts):,}",
    )
    sets: dict[bool, list[Problem]] = {True: [], False: []}
    for group in groups.values():
        said = " = ".join(dataset.names[at] for at in group)
        sets[len({who[at] for at in group}) > 1].append(Problem("set", said))
    _print_told(sets[True], True)  # one of the names is wrong
    _print_told(sets[False], every)
