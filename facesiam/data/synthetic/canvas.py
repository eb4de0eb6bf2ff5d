"""A pen that draws in face coordinates, and the shapes that faces consist of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from facesiam.data.synthetic.person import Colour, Person, Shot

Numbers = NDArray[np.float64]
Points = NDArray[np.float64]
"""(K, 2) x and y, in half-heights of the head."""


class Pen:
    """Draws shapes given in face coordinates, turned and placed as the shot says."""

    def __init__(self, image: Image.Image, who: Person, shot: Shot) -> None:
        self.who, self.shot = who, shot
        self._half = image.width / 2
        self._draw = ImageDraw.Draw(image)

    def fill(self, shape: Points, colour: Colour, lift: float = 0.0) -> None:
        """Fill a polygon. ``lift``: how far it stands out, and so moves as the head turns."""
        self._draw.polygon(self._place(shape, lift), _rgb(colour))

    def stroke(self, line: Points, colour: Colour, width: float, lift: float = 0.0) -> None:
        """Draw an open line of a width in face units."""
        pixels = max(1, round(width * self.shot.scale * self._half))
        self._draw.line(self._place(line, lift), _rgb(colour), pixels, joint="curve")

    def _place(self, shape: Points, lift: float) -> list[tuple[float, float]]:
        shot, (x, y) = self.shot, shape.T
        bulge = np.clip(1 - (x / self.who.width) ** 2 - 0.4 * y**2, 0.04, 1)
        depth = lift * 0.75 * np.sqrt(bulge)
        x = x * (np.cos(shot.yaw) if lift else 1) + depth * np.sin(shot.yaw)
        y = y + depth * np.sin(shot.pitch)
        x = -x if shot.flip else x
        cos, sin = np.cos(shot.roll) * shot.scale, np.sin(shot.roll) * shot.scale
        across = (x * cos - y * sin + shot.shift[0] + 1) * self._half
        down = (x * sin + y * cos + shot.shift[1] + 1) * self._half
        return list(zip(across.tolist(), down.tolist(), strict=True))


def points(*pairs: tuple[float, float]) -> Points:
    """Return the points as an array."""
    return np.array(pairs, float)


def oval(x: float, y: float, wide: float, high: float, tilt: float = 0.0) -> Points:
    """Return an ellipse around (x, y) by its half-axes, turned by ``tilt`` radians: 24 points."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    across, down = wide * np.cos(angle), high * np.sin(angle)
    cos, sin = np.cos(tilt), np.sin(tilt)
    return np.stack([x + across * cos - down * sin, y + across * sin + down * cos], 1)


def closed(shape: Points) -> Points:
    """Return the outline with its first point again at the end, to be stroked."""
    return np.vstack([shape, shape[:1]])


def band(x: Numbers, upper: Numbers, lower: Numbers) -> Points:
    """Return the shape between two curves over the same x."""
    return np.vstack([np.stack([x, upper], 1), np.stack([x, lower], 1)[::-1]])


def smooth(shape: Points) -> Points:
    """Round a closed polygon off: Chaikin's corner cutting, twice."""
    for _ in range(2):
        after = np.roll(shape, -1, axis=0)
        shape = np.stack([0.75 * shape + 0.25 * after, 0.25 * shape + 0.75 * after], 1)
        shape = shape.reshape(-1, 2)
    return shape


def _rgb(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = np.clip(colour, 0, 255).astype(int).tolist()
    return red, green, blue
