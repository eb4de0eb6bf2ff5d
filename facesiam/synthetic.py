"""Drawn faces in the CFP layout: the data set that needs no download.

Who a face is fixes its geometry and colours: head, jaw, skin, hair, eyes, brows, nose, mouth,
glasses, beard, freckles. Each image varies the rest: pose, light, expression, clothes, background,
size, noise. Everything follows from the seed, whatever the number of cores.

Coordinates: the head's centre is the origin, its half-height is 1, x goes right and y down.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from facesiam.archive import DataError
from facesiam.progress import bar

VERSION = 1
"""Counts up whenever the same seed draws other images or pairs than before."""
CANVAS = 320
"""Side in pixels that a face is drawn at, before it shrinks to its image's size."""
_WORKER = "import sys; from facesiam.synthetic import _work; _work(*sys.argv[1:])"
View = Literal["frontal", "profile"]
Colour = NDArray[np.float64]
Points = NDArray[np.float64]

SKINS = np.array([(250, 220, 196), (236, 190, 156), (205, 150, 110), (150, 98, 66), (92, 58, 42)], float)
HAIRS = np.array(
    [(28, 24, 26), (66, 42, 28), (118, 74, 40), (160, 62, 28), (222, 184, 104), (172, 170, 168)], float
)
IRISES = np.array([(70, 46, 28), (110, 80, 40), (74, 110, 70), (76, 120, 170), (110, 120, 128)], float)
STYLES = ("bald", "crop", "crop", "part", "part", "fringe", "long", "long", "curls", "bob")
BEARDS = ("none", "none", "none", "moustache", "full")


@dataclass(frozen=True)
class Person:
    """What does not change from one image of a person to the next."""

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    style: str
    beard: str
    width: float
    """Half-width of the head."""
    jaw: float
    """Exponent of the lower outline: 1.7 is pointed, 3 is square."""
    hairline: float
    volume: float
    eye_x: float
    eye_y: float
    eye: float
    slant: float
    brow: float
    brow_lift: float
    nose: float
    nose_width: float
    mouth: float
    mouth_y: float
    lip: float
    ear: float
    glasses: float
    """Half-width of a lens; 0: none."""
    frame: Colour
    freckles: int


@dataclass(frozen=True)
class Shot:
    """What changes from one image of a person to the next. Angles in radians."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift: tuple[float, float]
    flip: bool
    smile: float
    open: float
    lids: float
    brows: float


def folder_name(people: int = 100, seed: int = 0) -> str:
    """Return the name of the drawn set's folder in a cache."""
    return f"drawn-{VERSION}-{people}-{seed}"


def draw(
    folder: Path, *, people: int = 100, frontal: int = 10, profile: int = 4, seed: int = 0,
    progress: bool = True,
) -> Path:
    """Draw a data set into ``folder`` in the CFP layout and return it; at once where it is there.

    Ten splits of disjoint people, each with FF and FP pairs in CFP's proportions: 3.5 of the same
    and 3.5 of different people for each person of the split. The folder appears under its name
    only when it is whole.

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
        unfinished = f".{folder.name}-*.part"
        for old in folder.parent.glob(unfinished):  # left behind by a kill
            if time.time() - old.stat().st_mtime > 3600:
                shutil.rmtree(old, ignore_errors=True)
        own = folder.with_name(unfinished.replace("*", f"{os.getpid()}-{secrets.token_hex(4)}"))
        try:
            _write_protocol(own / "Protocol", people, {"F": frontal, "P": profile}, seed)
            _write_images(own, people, {"frontal": frontal, "profile": profile}, seed, progress)
            _publish(own, folder)
        finally:
            shutil.rmtree(own, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror or error}); "
            "FACESIAM_CACHE=DIR puts the cache elsewhere"
        ) from None
    return folder


def _publish(own: Path, folder: Path) -> None:
    try:
        os.rename(own, folder)
    except OSError:
        if not folder.is_dir():  # else another process drew the same meanwhile
            raise


def _write_images(
    root: Path, people: int, counts: dict[View, int], seed: int, progress: bool
) -> None:
    """Draw on all cores: Pillow's drawing holds the interpreter lock, so processes, not threads.

    Plain ones: multiprocessing would run the caller's script again in each.
    """
    each = sum(counts.values())
    cores = min(os.cpu_count() or 1, people)
    setting = [str(root), str(seed), *(str(count) for count in counts.values())]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def share(first: int) -> None:
        numbers = [str(number) for number in range(first, people + 1, cores)]
        command = [sys.executable, "-c", _WORKER, *setting, *numbers]
        said = ""
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as child:
            for said in child.stdout or ():
                advance(each)
        if child.returncode:
            raise OSError(f"drawing stopped: {said.strip() or child.returncode}")

    title = f"drawing {people * each:,} faces"
    with bar(title, people * each, show=progress) as advance, ThreadPoolExecutor(cores) as pool:
        for _ in pool.map(share, range(1, cores + 1)):
            pass


def _work(root: str, seed: str, frontal: str, profile: str, *numbers: str) -> None:
    """Write the images of some people, and a line for each person that is done."""
    counts: dict[View, int] = {"frontal": int(frontal), "profile": int(profile)}
    for number in map(int, numbers):
        for view, count in counts.items():
            Path(root, _image_path(number, view, 1)).parent.mkdir(parents=True)
            for shot in range(1, count + 1):
                image = face(int(seed), number, view, shot)
                image.save(Path(root, _image_path(number, view, shot)), quality=85)
        print(number, flush=True)


def _image_path(number: int, view: View, shot: int) -> str:
    return f"Data/Images/{number:03d}/{view}/{shot:02d}.jpg"


def _write_protocol(folder: Path, people: int, counts: dict[str, int], seed: int) -> None:
    views: dict[str, View] = {"F": "frontal", "P": "profile"}
    for letter, count in counts.items():
        paths = [
            _image_path(number, views[letter], shot)
            for number in range(1, people + 1)
            for shot in range(1, count + 1)
        ]
        lines = [f"{at} ../{path}" for at, path in enumerate(paths, 1)]
        _write_lines(folder / f"Pair_list_{letter}.txt", lines)
    for fold, group in enumerate(np.array_split(np.arange(people), 10), 1):
        for kind in ("FF", "FP"):
            rng = np.random.default_rng([seed, 0, fold, kind == "FP"])
            number = round(3.5 * len(group))
            for label, pairs in _split(rng, group.tolist(), counts[kind[0]], counts[kind[1]], kind):
                chosen = rng.permutation(len(pairs))[:number]
                lines = [f"{pairs[at][0]},{pairs[at][1]}" for at in chosen]
                _write_lines(folder / "Split" / kind / f"{fold:02d}" / f"{label}.txt", lines)


def _split(
    rng: np.random.Generator, group: list[int], left: int, right: int, kind: str
) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Yield every pair of the same person that a split may draw, then of different people."""

    def shots(who: int, count: int) -> range:
        return range(who * count + 1, (who + 1) * count + 1)

    yield "same", [
        pair
        for who in group
        for pair in (
            combinations(shots(who, left), 2)
            if kind == "FF"
            else product(shots(who, left), shots(who, right))
        )
    ]
    yield "diff", [
        pair
        for one, other in (combinations(group, 2) if kind == "FF" else product(group, group))
        if one != other
        for pair in product(shots(one, left), shots(other, right))
    ]


def _write_lines(file: Path, lines: Sequence[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="ascii")


def person(seed: int, number: int) -> Person:
    """Draw the lasting traits of one person."""
    rng = np.random.default_rng([seed, number])
    u = rng.uniform
    skin = _between(SKINS, u(0, len(SKINS) - 1)) + rng.normal(0, 5, 3)
    return Person(
        skin=skin,
        hair=HAIRS[rng.integers(len(HAIRS))] + rng.normal(0, 8, 3),
        iris=IRISES[rng.integers(len(IRISES))],
        lips=skin * np.array([u(0.8, 1.0), u(0.5, 0.75), u(0.5, 0.8)]),
        style=STYLES[rng.integers(len(STYLES))],
        beard=BEARDS[rng.integers(len(BEARDS))],
        width=u(0.64, 0.84),
        jaw=u(1.7, 3.0),
        hairline=u(-0.72, -0.45),
        volume=u(0.04, 0.2),
        eye_x=u(0.25, 0.37),
        eye_y=u(-0.14, 0.02),
        eye=u(0.09, 0.145),
        slant=u(-0.25, 0.25),
        brow=u(0.02, 0.065),
        brow_lift=u(0.15, 0.25),
        nose=u(0.3, 0.46),
        nose_width=u(0.08, 0.18),
        mouth=u(0.2, 0.36),
        mouth_y=u(0.5, 0.62),
        lip=u(0.03, 0.085),
        ear=u(0.11, 0.19),
        glasses=u(0.19, 0.26) if u() < 0.25 else 0.0,
        frame=rng.uniform(10, 120, 3),
        freckles=int(rng.integers(15, 40)) if u() < 0.2 else 0,
    )


def face(seed: int, number: int, view: View, shot_number: int) -> Image.Image:
    """Draw one image of a person: RGB, 110 to 210 pixels a side. The same for the same arguments."""
    who = person(seed, number)
    rng = np.random.default_rng([seed, number, 1 + (view == "profile"), shot_number])
    turn = 0.45 if view == "frontal" else 0.12
    shot = Shot(
        yaw=rng.uniform(-turn, turn), pitch=rng.uniform(-0.22, 0.22), roll=rng.normal(0, 0.1),
        scale=rng.uniform(0.56, 0.78), shift=(rng.uniform(-0.14, 0.14), rng.uniform(-0.1, 0.12)),
        flip=bool(rng.integers(2)), smile=rng.uniform(-0.35, 1), open=max(0.0, rng.uniform(-0.6, 0.6)),
        lids=rng.uniform(0.55, 1.1), brows=rng.uniform(-0.04, 0.05),
    )  # fmt: skip
    image = _backdrop(rng)
    pen = _Pen(image, who, shot)
    _clothes(pen, rng)
    (_frontal if view == "frontal" else _profile)(pen)
    return _photograph(image, rng)


class _Pen:
    """Draws shapes given in face coordinates, turned and placed as the shot says."""

    def __init__(self, image: Image.Image, who: Person, shot: Shot) -> None:
        self.who, self.shot = who, shot
        self._draw = ImageDraw.Draw(image)

    def fill(self, points: Points, colour: Colour, lift: float = 0.0) -> None:
        """Fill a polygon. ``lift`` above 0: it lies on the face and moves as the head turns."""
        self._draw.polygon(self._place(points, lift), _rgb(colour))

    def stroke(self, points: Points, colour: Colour, width: float, lift: float = 1.0) -> None:
        """Draw an open line of a width in face units."""
        pixels = max(1, round(width * self.shot.scale * CANVAS / 2))
        self._draw.line(self._place(points, lift), _rgb(colour), pixels, joint="curve")

    def _place(self, points: Points, lift: float) -> list[tuple[float, float]]:
        shot, (x, y) = self.shot, points.T
        depth = lift * 0.75 * np.sqrt(np.clip(1 - (x / self.who.width) ** 2 - 0.4 * y**2, 0.04, 1))
        x = x * (np.cos(shot.yaw) if lift else 1) + depth * np.sin(shot.yaw)
        y = y + depth * np.sin(shot.pitch)
        x = -x if shot.flip else x
        cos, sin = np.cos(shot.roll) * shot.scale, np.sin(shot.roll) * shot.scale
        across = (x * cos - y * sin + shot.shift[0] + 1) * CANVAS / 2
        down = (x * sin + y * cos + shot.shift[1] + 1) * CANVAS / 2
        return list(zip(across.tolist(), down.tolist(), strict=True))


def _frontal(pen: _Pen) -> None:
    who = pen.who
    shade, dark = who.skin * 0.82, who.hair * 0.75
    _back_hair(pen)
    for side in (-1, 1):
        pen.fill(_oval(side * who.width, 0.05, who.ear * 0.6, who.ear * 1.3), who.skin * 0.9)
        pen.fill(_oval(side * who.width, 0.05, who.ear * 0.3, who.ear * 0.8), shade)
    pen.fill(_outline(who), who.skin)
    for side in (-1, 1):
        pen.fill(_oval(side * 0.42, 0.32, 0.17, 0.13), who.skin * np.array([1, 0.93, 0.92]), 1)
    _freckles(pen)
    _beard(pen)
    for side in (-1, 1):
        _eye(pen, side)
        inner, outer = who.eye_x - 0.14, who.eye_x + 0.17
        lift = who.eye_y - who.brow_lift - pen.shot.brows
        bow = _points((inner, lift + 0.03), (who.eye_x + 0.05, lift - 0.04), (outer, lift + 0.03))
        pen.stroke(_mirror(bow, side), dark, who.brow)
    bottom = who.eye_y + who.nose
    pen.stroke(_points((0.05, who.eye_y + 0.05), (0.08, bottom - 0.12)), shade, 0.035)
    pen.fill(_oval(0, bottom - 0.03, who.nose_width, 0.07), who.skin * 0.93, 1.25)
    for side in (-1, 1):
        pen.fill(_oval(side * who.nose_width * 0.6, bottom, 0.035, 0.02), who.skin * 0.5, 1.2)
    _mouth(pen)
    _front_hair(pen)
    if who.glasses:
        for side in (-1, 1):
            ring = _oval(side * who.eye_x, who.eye_y, who.glasses, who.glasses * 0.8)
            pen.stroke(np.vstack([ring, ring[:1]]), who.frame, 0.035)
            pen.stroke(_points((side * (who.eye_x + who.glasses), who.eye_y), (side * who.width, 0)),
                       who.frame, 0.03, 0.5)  # fmt: skip
        gap = who.eye_x - who.glasses
        pen.stroke(_points((-gap, who.eye_y), (gap, who.eye_y)), who.frame, 0.035)


def _eye(pen: _Pen, side: int) -> None:
    who, height = pen.who, pen.who.eye * 0.62 * pen.shot.lids
    x, y = side * who.eye_x, who.eye_y
    tilt = side * who.slant
    pen.fill(_oval(x, y, who.eye * 1.25, height * 1.5, tilt), who.skin * 0.85, 1)
    pen.fill(_oval(x, y, who.eye, height, tilt), np.array([240.0, 238, 234]), 1)
    iris = min(who.eye * 0.55, height)
    pen.fill(_oval(x, y, iris, iris), who.iris, 1)
    pen.fill(_oval(x, y, iris * 0.5, iris * 0.5), np.array([15.0, 12, 12]), 1)
    lid = _oval(x, y, who.eye * 1.05, height, tilt)
    pen.stroke(lid[len(lid) // 2 :], who.skin * 0.35, 0.022)


def _mouth(pen: _Pen) -> None:
    who, shot = pen.who, pen.shot
    wide, y = who.mouth * (1 + 0.18 * shot.smile), who.mouth_y
    x = np.linspace(-1, 1, 13)
    bend = y + 0.09 * shot.smile * (0.5 - x**2)
    gap = 0.14 * shot.open * (1 - x**2)
    upper = bend - gap / 2 - who.lip * (1 - x**2) * (0.7 + 0.4 * np.abs(x))
    lower = bend + gap / 2 + who.lip * 1.2 * (1 - x**2)
    line = np.stack([x * wide, bend], 1)
    pen.fill(_band(x * wide, upper, lower), who.lips, 1)
    if shot.open > 0.05:
        pen.fill(_band(x * wide * 0.92, bend - gap / 2, bend + gap / 2), np.array([70.0, 20, 24]), 1)
        teeth = _band(x * wide * 0.8, bend - gap / 2, bend - gap * 0.1)
        pen.fill(teeth, np.array([236.0, 232, 224]), 1)
    else:
        pen.stroke(line, who.lips * 0.55, 0.018)


def _back_hair(pen: _Pen) -> None:
    who = pen.who
    wide, top = who.width + who.volume, -1 - who.volume
    if who.style == "curls":
        for angle in np.linspace(0, 2 * np.pi, 15)[:-1]:
            x, y = (wide * 1.02) * np.cos(angle), -0.42 + 0.75 * np.sin(angle)
            pen.fill(_oval(x, y, 0.3, 0.3), who.hair * (0.85 + 0.1 * np.cos(5 * angle)))
    if who.style in ("long", "bob"):
        low = 1.5 if who.style == "long" else 0.75
        sides = _points((-wide, -0.3), (-wide * 1.12, low), (wide * 1.12, low), (wide, -0.3))
        pen.fill(np.vstack([_oval(0, -0.3, wide, -0.3 - top)[12:], sides[::-1]]), who.hair * 0.8)


def _front_hair(pen: _Pen) -> None:
    who = pen.who
    if who.style == "bald":
        return
    wide, top, line = who.width + 0.02 + who.volume * 0.5, -1 - who.volume, who.hairline
    x = np.linspace(-1, 1, 15)
    crown = np.stack([x * wide, -0.12 + (top + 0.12) * np.sqrt(1 - x**2 * 0.97)], 1)
    edge = {
        "part": line + 0.28 * np.abs(x - 0.45) - 0.05,
        "fringe": np.full_like(x, max(line + 0.24, -0.42)) + 0.03 * np.cos(9 * x),
        "curls": line + 0.05 * np.cos(14 * x),
    }.get(who.style, line + 0.1 * x**2)
    edge = np.where(np.abs(x) > 0.88, -0.12, edge)
    brow = np.stack([x * wide * 0.98, edge], 1)
    pen.fill(np.vstack([crown, brow[::-1]]), who.hair, 0.12)
    shine = 0.45 * wide * np.cos(np.linspace(0.75 * np.pi, 0.25 * np.pi, 7))
    arc = top + 0.14 + 0.35 * shine**2
    pen.stroke(np.stack([shine, arc], 1), who.hair * 1.2 + 12, 0.05, 0.12)


def _beard(pen: _Pen) -> None:
    who = pen.who
    colour = who.hair * 0.6 + who.skin * 0.25
    y = who.mouth_y
    if who.beard == "full":
        x = np.linspace(-0.97, 0.97, 15)
        chin = np.stack([x * who.width, _half_outline(np.abs(x), who.jaw)], 1)
        top = np.stack([x * who.width, 0.12 + (y - 0.2) * np.sqrt(1 - x**2)], 1)
        pen.fill(np.vstack([chin, top[::-1]]), colour, 0.05)
    if who.beard != "none":
        x = np.linspace(-1, 1, 9)
        top = y - 0.1 - 0.06 * (1 - np.abs(x))
        pen.fill(_band(x * who.mouth * 1.1, top, y - 0.02 + 0.06 * np.abs(x)), colour, 1.05)


def _freckles(pen: _Pen) -> None:
    rng = np.random.default_rng(pen.who.freckles)
    for x, y in rng.normal((0, 0.22), (0.32, 0.1), (pen.who.freckles, 2)):
        pen.fill(_oval(x, y, 0.018, 0.018), pen.who.skin * 0.7, 1)


def _profile(pen: _Pen) -> None:
    who, shot = pen.who, pen.shot
    dark, front = who.hair * 0.75, 0.62
    tip, eye, y = front + 0.12 + 0.5 * (who.nose - 0.3) + who.nose_width * 0.6, who.eye_y, who.mouth_y
    base, chin = eye + who.nose, 0.56 + 0.06 * who.jaw
    gap = 0.09 * shot.open
    skull = _points(
        (-0.2, -1), (0.35, -0.95), (front - 0.04, -0.6), (front, eye - 0.2), (front - 0.05, eye),
        (tip - 0.05, base - 0.14), (tip, base - 0.05), (front + 0.04, base + 0.03),
        (front + 0.03 + who.lip, y - 0.04 - gap / 2), (front - 0.03, y), (front + 0.02 + who.lip, y + 0.06 + gap),
        (front - 0.06, y + 0.15), (chin, 0.88), (chin - 0.14, 1.0), (0.1, 0.86), (-0.2, 0.6),
        (-0.7, 0.55), (-0.98, 0.1), (-0.95, -0.45), (-0.7, -0.85),
    )  # fmt: skip
    if who.style in ("long", "bob"):
        low = 1.5 if who.style == "long" else 0.75
        pen.fill(_points((-0.1, -0.9), (0.05, low), (-1.1 - who.volume, low), (-1.05, -0.4)), who.hair * 0.8)
    pen.fill(_smooth(skull), who.skin)
    if who.beard == "full":
        pen.fill(_smooth(_points((-0.15, 0.1), (0, 0.45), (0.45, y - 0.1), (front, y + 0.1), (chin, 0.9),
                                 (chin - 0.14, 1.02), (0.1, 0.9), (-0.22, 0.6))),
                 who.hair * 0.6 + who.skin * 0.25)  # fmt: skip
    elif who.beard == "moustache":
        pen.stroke(_points((front, y - 0.1), (front - 0.22, y)), who.hair * 0.7, 0.08, 0)
    corner = (front - who.mouth * 0.75, y - 0.08 * shot.smile)
    pen.fill(_points((front + who.lip, y - 0.05), corner, (front + who.lip, y + 0.07 + gap)), who.lips)
    at, height = front - 0.17, who.eye * 0.62 * shot.lids
    pen.fill(_oval(at, eye, who.eye * 0.8, height), np.array([240.0, 238, 234]))
    pen.fill(_oval(at + who.eye * 0.35, eye, height * 0.6, height * 0.9), who.iris)
    pen.fill(_oval(at + who.eye * 0.45, eye, height * 0.3, height * 0.5), np.array([15.0, 12, 12]))
    lift = eye - who.brow_lift - shot.brows
    pen.stroke(_points((at - 0.15, lift + 0.03), (at, lift - 0.03), (at + 0.15, lift + 0.03)), dark, who.brow, 0)
    pen.fill(_oval(front + 0.03, base - 0.01, 0.03, 0.018), who.skin * 0.5)
    _profile_hair(pen, front)
    pen.fill(_oval(-0.15, 0.05, who.ear * 0.7, who.ear * 1.3, -0.2), who.skin * 0.9)
    pen.fill(_oval(-0.14, 0.05, who.ear * 0.35, who.ear * 0.8, -0.2), who.skin * 0.72)
    if who.glasses:
        lens = _oval(at + 0.04, eye, who.glasses * 0.6, who.glasses * 0.8)
        pen.stroke(np.vstack([lens, lens[:1]]), who.frame, 0.035, 0)
        pen.stroke(_points((at - who.glasses * 0.5, eye), (-0.15, -0.03)), who.frame, 0.03, 0)


def _profile_hair(pen: _Pen, front: float) -> None:
    who, v = pen.who, pen.who.volume
    if who.style == "bald":
        return
    line = {"fringe": max(who.hairline + 0.24, -0.42)}.get(who.style, who.hairline)
    low = 0.3 if who.style in ("crop", "part") else 0.55
    cap = _points((front - 0.02, line), (front + 0.02, line - 0.15), (0.4, -1 - v), (-0.25, -1.03 - v),
                  (-0.8, -0.85 - v / 2), (-1.02 - v / 2, -0.3), (-1.0 - v / 2, 0.1), (-0.72, low),
                  (-0.35, low - 0.15), (-0.2, -0.15), (0.05, -0.2), (0.2, line + 0.05))  # fmt: skip
    pen.fill(_smooth(cap), who.hair)
    if who.style == "curls":
        for angle in np.linspace(0.5 * np.pi, 1.75 * np.pi, 12):
            x, y = -0.22 + 0.78 * np.cos(angle), -0.35 + 0.68 * np.sin(angle)
            pen.fill(_oval(x, y, 0.27, 0.27), who.hair * (0.85 + 0.1 * np.cos(5 * angle)))


def _clothes(pen: _Pen, rng: np.random.Generator) -> None:
    colour = rng.uniform(20, 235, 3)
    neck = 0.3 + 0.2 * pen.who.width
    body = _points((-neck, 1.05), (-1.25, 1.4), (-1.7, 3.2), (1.7, 3.2), (1.25, 1.4), (neck, 1.05))
    pen.fill(_smooth(body), colour)
    pen.fill(_points((-neck, 0.4), (-neck, 1.1), (0, 1.4), (neck, 1.1), (neck, 0.4)), pen.who.skin * 0.78)


def _backdrop(rng: np.random.Generator) -> Image.Image:
    """Blotches of colour, coarse or fine, over a random plain one."""
    cells = int(rng.integers(2, 14))
    plain = rng.uniform(30, 225) + rng.normal(0, 32, 3)
    blotches = plain + rng.normal(0, rng.uniform(5, 45), (cells, cells, 1)) * rng.uniform(0.5, 1.2, 3)
    small = Image.fromarray(np.clip(blotches, 0, 255).astype(np.uint8))
    return small.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)


def _photograph(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Shrink to the final size, then light from one side, exposure, colour cast, blur and noise."""
    side = int(rng.integers(110, 211))
    small = image.resize((side, side), Image.Resampling.BOX)
    if rng.uniform() < 0.3:
        small = small.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.6)))
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.45)
    light = 1 + np.float32(slope) * (np.cos(angle) * axis[:, None] + np.sin(angle) * axis).astype(np.float32)
    cast = (rng.uniform(0.6, 1.25) * rng.uniform(0.85, 1.15, 3)).astype(np.float32)
    noise = rng.standard_normal((side, side, 1), np.float32) * np.float32(rng.uniform(1, 9))
    pixels = np.asarray(small, np.float32) * light[:, :, None] * cast + noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _outline(who: Person) -> Points:
    x = np.cos(np.linspace(np.pi, 0, 24))
    upper = np.stack([x * who.width, -np.sqrt(1 - x**2)], 1)
    lower = np.stack([x * who.width, _half_outline(np.abs(x), who.jaw)], 1)
    return np.vstack([upper, lower[::-1]])


def _half_outline(x: NDArray[np.float64], jaw: float) -> NDArray[np.float64]:
    return np.asarray((1 - x**jaw) ** (1 / jaw))


def _oval(x: float, y: float, wide: float, high: float, tilt: float = 0.0) -> Points:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    across, down = wide * np.cos(angle), high * np.sin(angle)
    return np.stack(
        [x + across * np.cos(tilt) - down * np.sin(tilt), y + across * np.sin(tilt) + down * np.cos(tilt)], 1
    )


def _smooth(points: Points) -> Points:
    for _ in range(2):  # Chaikin's corner cutting of a closed polygon
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1).reshape(-1, 2)
    return points


def _band(x: NDArray[np.float64], upper: NDArray[np.float64], lower: NDArray[np.float64]) -> Points:
    return np.vstack([np.stack([x, upper], 1), np.stack([x, lower], 1)[::-1]])


def _points(*points: tuple[float, float]) -> Points:
    return np.array(points, float)


def _mirror(points: Points, side: int) -> Points:
    return points * np.array([side, 1])


def _between(palette: NDArray[np.float64], at: float) -> Colour:
    low = min(int(at), len(palette) - 2)
    return np.asarray(palette[low] + (at - low) * (palette[low + 1] - palette[low]))


def _rgb(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = np.clip(colour, 0, 255).astype(int).tolist()
    return red, green, blue
