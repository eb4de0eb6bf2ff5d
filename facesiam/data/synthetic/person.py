"""The traits of a drawn person, and those that differ from image to image.

Lengths are in half-heights of the head, with its centre as the origin, x to the right and y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

View = Literal["frontal", "profile"]
Colour = NDArray[np.float64]
"""Red, green and blue, 0 to 255."""

SKINS = np.array(
    [(250, 220, 196), (236, 190, 156), (205, 150, 110), (150, 98, 66), (92, 58, 42)], float
)
HAIRS = np.array(
    [(28, 24, 26), (66, 42, 28), (118, 74, 40), (160, 62, 28), (222, 184, 104), (172, 170, 168)],
    float,
)
IRISES = np.array(
    [(70, 46, 28), (110, 80, 40), (74, 110, 70), (76, 120, 170), (110, 120, 128)], float
)
STYLES = ("bald", "crop", "crop", "part", "part", "fringe", "long", "long", "curls", "bob")
BEARDS = ("none", "none", "none", "moustache", "full")


@dataclass(frozen=True)
class Person:
    """The lasting traits of a person."""

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
    """The traits of one image of a person. Angles in radians."""

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


def shot(rng: np.random.Generator, view: View) -> Shot:
    """Draw the passing traits of one image."""
    turn = 0.45 if view == "frontal" else 0.12
    return Shot(
        yaw=rng.uniform(-turn, turn),
        pitch=rng.uniform(-0.22, 0.22),
        roll=rng.normal(0, 0.1),
        scale=rng.uniform(0.56, 0.78),
        shift=(rng.uniform(-0.14, 0.14), rng.uniform(-0.1, 0.12)),
        flip=bool(rng.integers(2)),
        smile=rng.uniform(-0.35, 1),
        open=max(0.0, rng.uniform(-0.6, 0.6)),
        lids=rng.uniform(0.55, 1.1),
        brows=rng.uniform(-0.04, 0.05),
    )


def _between(palette: NDArray[np.float64], at: float) -> Colour:
    low = min(int(at), len(palette) - 2)
    return np.asarray(palette[low] + (at - low) * (palette[low + 1] - palette[low]))
