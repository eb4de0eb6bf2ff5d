"""Alignment of faces to one template: by CFP's 30 landmarks of an image, or by five of any data.

The 30 are of one half of the face, in profile the half that is seen: 1 to 9 along the jaw from ear
to chin, 10 to 12 the eyebrow, 13 to 18 around the eye, 19 to 22 down the nose, 23 to 25 under it,
26 the corner and 27 to 30 the middle of the mouth. This numbering was read off the images, as the
dataset does not document it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesiam.errors import DataError

Floats = NDArray[np.float64]

POINTS = 30
GROUPS = ((12, 18), (18, 19), (21, 22), (26, 30), (8, 9))
"""Landmarks, from 0, whose means are aligned: eye, bridge and tip of the nose, mouth, chin."""
SHAPES = {
    True: ((-0.266, 0.009), (0.0, 0.0), (-0.002, 0.317), (-0.001, 0.600), (0.0, 1.0)),
    False: ((-0.242, 0.041), (0.0, 0.0), (0.179, 0.311), (0.060, 0.636), (0.0, 1.0)),
}
"""Where those five are, for frontal faces and for profiles that look to the right: in units of the
distance from bridge to chin, from the bridge, x to the right and y down. Mean shapes (generalised
Procrustes analysis) of people 1 to 300, who train in both protocols' own splits; in the ten folds
they test as well, so there the template has seen five points of those who are tested."""
LENGTH = 0.58
"""Distance from bridge to chin, as a share of the image's side."""
BRIDGE = {True: (0.5, 0.36), False: (0.78, 0.36)}
"""Where the bridge of the nose is put, as shares of the side: a profile keeps its ear."""
FIVE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Where the left eye in the image, the right one, the tip of the nose and the corners of the mouth
are put, in pixels of an image of FIVE_SIDE. Source: the reference points of ArcFace
(Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019), on
which insightface's weights were trained."""
FIVE_SIDE = 112


def file_of(name: str) -> str:
    """Return the file of an image's landmarks, both under the dataset's root."""
    return name.replace("/Images/", "/Fiducials/").rpartition(".")[0] + ".txt"


def parse(text: str, where: str) -> Floats:
    """Return the landmarks (30, 2) or (5, 2) of a text of so many lines "x,y".

    Raises:
        DataError: it is something else; begins with `where`.
    """
    try:
        lines = filter(None, (line.strip("\ufeff\0\x1a \t") for line in text.splitlines()))
        points = np.array([line.replace(",", " ").split() for line in lines], np.float64)
    except ValueError:
        points = np.empty(0)
    if points.shape not in ((POINTS, 2), (len(FIVE), 2)) or not np.isfinite(points).all():
        raise DataError(
            f"{where}: expected {POINTS} lines with two numbers as in 27.5,63.0, or {len(FIVE)}: "
            "eyes, nose, corners of the mouth"
        )
    return points


def is_frontal(landmarks: Floats) -> bool:
    """Return whether landmarks are of a frontal face, where the nose's tip is below its bridge.

    The tip's distance from the line of bridge and chin is compared with that of the templates.
    """
    points = _complex(np.stack([landmarks[start:end].mean(0) for start, end in GROUPS]))
    tip = (points[2] - points[1]) / (points[4] - points[1])  # along and across that line
    return bool(abs(tip.imag) < (abs(SHAPES[True][2][0]) + abs(SHAPES[False][2][0])) / 2)


def aligned(image: Image.Image, landmarks: Floats, frontal: bool, side: int) -> Image.Image:
    """Return an RGB image of this side with the face on the template; black outside the image.

    The image is turned, scaled, moved and, where the landmarks are of the right half, mirrored by
    the similarity that brings the five points nearest to the template by least squares. Source: S.
    Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    1991, in the plane, where it is one complex number for turn and scale.

    Args:
        image: RGB.
        landmarks: (30, 2), or (5, 2) as FIVE, in pixels of `image`.
        frontal: whether the template is that of a frontal face; does nothing with five landmarks.
        side: in pixels.
    """
    if len(landmarks) == len(FIVE):
        turn, start = _similarity(landmarks, np.array(FIVE) * side / FIVE_SIDE)
        # Detectors count from a pixel's centre, Pillow from its corner.
        half = (0.5 + 0.5j) * (1 - 1 / turn)
        return _warped(image, 1 / turn, half - start / turn, 1.0, side)
    points = np.stack([landmarks[start:end].mean(0) for start, end in GROUPS])
    # A face's middle is right of its eye in the template; one annotated on its other half is not.
    mirror = -1.0 if points[0, 0] > points[1:4, 0].mean() else 1.0
    there = side * (np.array(BRIDGE[frontal]) + LENGTH * np.array(SHAPES[frontal]))
    turn, start = _similarity(there, points * (mirror, 1.0))
    return _warped(image, turn, start, mirror, side)


def _similarity(points: Floats, goal: Floats) -> tuple[complex, complex]:
    """Return what complex `points` are multiplied by, and then moved by, to be near `goal`."""
    here, there = _complex(points), _complex(goal)
    offset = here - here.mean()
    turn = complex((offset.conj() * there).sum() / (abs(offset) ** 2).sum())
    return turn, complex(there.mean() - turn * here.mean())


def _warped(
    image: Image.Image, turn: complex, start: complex, mirror: float, side: int
) -> Image.Image:
    """Return the image of this side whose pixel z comes from turn · z + start, mirrored by -1."""
    matrix = np.array(
        [
            [mirror * turn.real, -mirror * turn.imag, mirror * start.real],
            [turn.imag, turn.real, start.imag],
        ]
    )
    if abs(turn) > 1:  # it shrinks: averaged first, as bilinear sampling would skip pixels
        size = [max(1, round(length / abs(turn))) for length in image.size]
        shrunk = np.array(size) / image.size
        image = image.resize((size[0], size[1]), Image.Resampling.BOX)
        matrix *= shrunk[:, None]
    return image.transform(
        (side, side), Image.Transform.AFFINE, tuple(matrix.ravel()), Image.Resampling.BILINEAR
    )


def _complex(points: Floats) -> NDArray[np.complex128]:
    return points[:, 0] + 1j * points[:, 1]
