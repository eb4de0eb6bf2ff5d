"""A dataset of drawn faces in the CFP layout, which needs no download.

A person has geometry and colours: head, jaw, skin, hair, eyes, brows, nose, mouth, glasses, beard,
freckles. Each image has its own pose, light, expression, clothes, background, size and noise.
Everything depends on the seed alone, and not on the number of cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, permutations, product
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from facesiam.data import cache_files
from facesiam.data.progress import bar
from facesiam.data.synthetic import portrait
from facesiam.data.synthetic.canvas import Pen
from facesiam.data.synthetic.person import View, person, shot
from facesiam.device.cores import cores
from facesiam.errors import DataError

VERSION = 1
"""Incremented whenever the same seed draws other images or pairs than before."""
CANVAS = 320
"""Side in pixels at which a face is drawn, before it is resized."""
_WORKER = "import sys; from facesiam.data.synthetic.writer import _work; _work(*sys.argv[1:])"


def folder_name(people: int = 100, seed: int = 0) -> str:
    """Return the name of the drawn set's folder in a cache."""
    return f"drawn-{VERSION}-{people}-{seed}"


def draw(
    folder: Path,
    *,
    people: int = 100,
    frontal: int = 10,
    profile: int = 4,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Draw a dataset into a folder in the CFP layout, unless it is there; return the folder.

    Ten splits of disjoint people, each with FF and FP pairs in CFP's proportions: 3.5 of the same
    and 3.5 of different people for each person of the split. The folder gets its name only
    when it is whole.

    Raises:
        DataError: fewer than 20 people or 2 images of a view (a split needs two people), or the
            folder cannot be written.
    """
    if folder.is_dir():
        return folder
    if people < 20 or frontal < 2 or profile < 2:
        raise DataError(
            f"drawn faces: need 20 people or more with 2 images or more of each view, "
            f"got {people} with {frontal} frontal and {profile} profile"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        cache_files.sweep(folder.parent)
        own = cache_files.part_of(folder)
        with cache_files.held(own, folder=True):
            _write_protocol(own / "Protocol", people, {"F": frontal, "P": profile}, seed)
            _write_images(own, people, {"frontal": frontal, "profile": profile}, seed, progress)
            _publish(own, folder)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror or error}); "
            "FACESIAM_CACHE=DIR puts the cache elsewhere"
        ) from None
    return folder


def face(seed: int, number: int, view: View, shot_number: int) -> Image.Image:
    """Return one image of a person: RGB, 110 to 210 pixels a side; the arguments decide it."""
    rng = np.random.default_rng([seed, number, 1 + (view == "profile"), shot_number])
    passing = shot(rng, view)
    image = _backdrop(rng)
    pen = Pen(image, person(seed, number), passing)
    portrait.clothes(pen, rng.uniform(20, 235, 3))
    (portrait.frontal if view == "frontal" else portrait.profile)(pen)
    return _photograph(image, rng)


def _publish(own: Path, folder: Path) -> None:
    try:
        os.rename(own, folder)
    except OSError:
        if not folder.is_dir():  # else another process drew the same meanwhile
            raise


def _write_images(
    root: Path, people: int, counts: dict[View, int], seed: int, progress: bool
) -> None:
    """Draw on all cores, in processes, as Pillow's drawing holds the interpreter lock.

    The processes are plain ones: multiprocessing would run the caller's script again in each.
    """
    each = sum(counts.values())
    at_once = min(cores(), people)
    setting = [str(root), str(seed), *(str(count) for count in counts.values())]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def share(first: int) -> None:
        """Draw every so-manieth person from `first` on, in a process of its own."""
        numbers = [str(number) for number in range(first, people + 1, at_once)]
        command = [sys.executable, "-c", _WORKER, *setting, *numbers]
        said = ""
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as child:
            for line in child.stdout or ():
                said = line
                advance(each)
        if child.returncode:
            raise OSError(f"drawing stopped: {said.strip() or child.returncode}")

    title = f"drawing {people * each:,} faces"
    with bar(title, people * each, show=progress) as advance, ThreadPoolExecutor(at_once) as pool:
        for _ in pool.map(share, range(1, at_once + 1)):
            pass


def _work(root: str, seed: str, frontal: str, profile: str, *numbers: str) -> None:
    """Write the images of some people, and a line for each person that is done."""
    counts: dict[View, int] = {"frontal": int(frontal), "profile": int(profile)}
    for number in map(int, numbers):
        for view, count in counts.items():
            Path(root, _image_path(number, view, 1)).parent.mkdir(parents=True)
            for at in range(1, count + 1):
                image = face(int(seed), number, view, at)
                image.save(Path(root, _image_path(number, view, at)), quality=85)
        print(number, flush=True)


def _image_path(number: int, view: View, at: int) -> str:
    return f"Data/Images/{number:03d}/{view}/{at:02d}.jpg"


def _write_protocol(folder: Path, people: int, counts: dict[str, int], seed: int) -> None:
    views: dict[str, View] = {"F": "frontal", "P": "profile"}
    for letter, count in counts.items():
        paths = [
            _image_path(number, views[letter], at)
            for number in range(1, people + 1)
            for at in range(1, count + 1)
        ]
        lines = [f"{at} ../{path}" for at, path in enumerate(paths, 1)]
        _write_lines(folder / f"Pair_list_{letter}.txt", lines)
    for fold, group in enumerate(np.array_split(np.arange(people), 10), 1):
        for kind in ("FF", "FP"):
            rng = np.random.default_rng([seed, 0, fold, kind == "FP"])
            candidates = _candidates(group.tolist(), counts[kind[0]], counts[kind[1]], kind)
            for label, pairs in candidates.items():
                chosen = rng.permutation(len(pairs))[: round(3.5 * len(group))]
                lines = [f"{pairs[at][0]},{pairs[at][1]}" for at in chosen]
                _write_lines(folder / "Split" / kind / f"{fold:02d}" / f"{label}.txt", lines)


def _candidates(
    group: list[int], left: int, right: int, kind: str
) -> dict[str, list[tuple[int, int]]]:
    """List every pair that a split may draw, as 1-based numbers in the lists."""

    def shots(who: int, count: int) -> range:
        return range(who * count + 1, (who + 1) * count + 1)

    people = combinations(group, 2) if kind == "FF" else permutations(group, 2)
    return {
        "same": [
            pair
            for who in group
            for pair in product(shots(who, left), shots(who, right))
            if kind == "FP" or pair[0] < pair[1]
        ],
        "diff": [
            pair
            for one, other in people
            for pair in product(shots(one, left), shots(other, right))
        ],
    }


def _write_lines(file: Path, lines: Sequence[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="ascii")


def _backdrop(rng: np.random.Generator) -> Image.Image:
    """Blotches of colour, coarse or fine, over a random plain one."""
    cells = int(rng.integers(2, 14))
    plain = rng.uniform(30, 225) + rng.normal(0, 32, 3)
    patches = rng.normal(0, rng.uniform(5, 45), (cells, cells, 1))
    blotches = plain + patches * rng.uniform(0.5, 1.2, 3)
    small = Image.fromarray(np.clip(blotches, 0, 255).astype(np.uint8))
    return small.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)


def _photograph(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Shrink to the final size, blur, light from one side, expose, tint, and add noise."""
    side = int(rng.integers(110, 211))
    small = image.resize((side, side), Image.Resampling.BOX)
    if rng.uniform() < 0.3:
        small = small.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.6)))
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.45)
    down, across = (slope * np.array([np.cos(angle), np.sin(angle)])).astype(np.float32)
    light = 1 + down * axis[:, None] + across * axis
    cast = (rng.uniform(0.6, 1.25) * rng.uniform(0.85, 1.15, 3)).astype(np.float32)
    noise = rng.standard_normal((side, side, 1), np.float32) * np.float32(rng.uniform(1, 9))
    pixels = np.asarray(small, np.float32) * light[:, :, None] * cast + noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
