"""Portraits: a face of some forty shapes, from the front or from the side.

Lengths are in half-heights of the head, and were chosen by eye on contact sheets.
"""

from __future__ import annotations

import numpy as np

from facesiam.data.synthetic.canvas import Numbers, Pen, Points, band, closed, oval, points, smooth
from facesiam.data.synthetic.person import Colour, Person

WHITE = np.array([240.0, 238.0, 234.0])
BLACK = np.array([15.0, 12.0, 12.0])
MOUTH = np.array([70.0, 20.0, 24.0])
BLUSH = np.array([1.0, 0.93, 0.92])
BACK = {"long": 1.5, "bob": 0.75}
"""How far down hair hangs behind the head, by style."""
SIDES = (-1, 1)


def clothes(pen: Pen, colour: Colour) -> None:
    """Draw shoulders and neck."""
    neck = 0.3 + 0.2 * pen.who.width
    right = points((neck, 1.05), (1.25, 1.4), (1.7, 3.2))
    pen.fill(smooth(_symmetric(right)), colour)
    pen.fill(_symmetric(points((neck, 0.4), (neck, 1.1), (0.02, 1.4))), pen.who.skin * 0.78)


def frontal(pen: Pen) -> None:
    """Draw the head from the front, back to front."""
    who = pen.who
    _back_hair(pen)
    for side in SIDES:
        pen.fill(oval(side * who.width, 0.05, who.ear * 0.6, who.ear * 1.3), who.skin * 0.9)
        pen.fill(oval(side * who.width, 0.05, who.ear * 0.3, who.ear * 0.8), who.skin * 0.82)
    pen.fill(_outline(who), who.skin)
    for side in SIDES:
        pen.fill(oval(side * 0.42, 0.32, 0.17, 0.13), who.skin * BLUSH, 1)
    _freckles(pen)
    _beard(pen)
    for side in SIDES:
        _eye(pen, side)
        _brow(pen, side)
    _nose(pen)
    _mouth(pen)
    _front_hair(pen)
    _glasses(pen)


def profile(pen: Pen) -> None:
    """Draw the head from the side, looking right (left where the shot is flipped)."""
    who = pen.who
    chin = 0.56 + 0.06 * who.jaw
    if who.style in BACK:
        low, behind = BACK[who.style], -1.1 - who.volume
        fall = points((-0.1, -0.9), (0.05, low), (behind, low), (-1.05, -0.4))
        pen.fill(fall, who.hair * 0.8)
    pen.fill(smooth(_silhouette(pen, chin)), who.skin)
    _side_beard(pen, chin)
    _side_features(pen)
    _side_hair(pen)
    pen.fill(oval(-0.15, 0.05, who.ear * 0.7, who.ear * 1.3, -0.2), who.skin * 0.9)
    pen.fill(oval(-0.14, 0.05, who.ear * 0.35, who.ear * 0.8, -0.2), who.skin * 0.72)
    if who.glasses:
        lens = oval(0.49, who.eye_y, who.glasses * 0.6, who.glasses * 0.8)
        pen.stroke(closed(lens), who.frame, 0.035)
        arm = points((0.45 - who.glasses * 0.5, who.eye_y), (-0.15, -0.03))
        pen.stroke(arm, who.frame, 0.03)


def _outline(who: Person) -> Points:
    x = np.cos(np.linspace(np.pi, 0, 24))
    return band(x * who.width, -np.sqrt(1 - x**2), _jaw_line(x, who.jaw))


def _jaw_line(x: Numbers, jaw: float) -> Numbers:
    return np.asarray((1 - np.abs(x) ** jaw) ** (1 / jaw))


def _eye(pen: Pen, side: int) -> None:
    who, high = pen.who, pen.who.eye * 0.62 * pen.shot.lids
    x, y, tilt = side * who.eye_x, who.eye_y, side * who.slant
    pen.fill(oval(x, y, who.eye * 1.25, high * 1.5, tilt), who.skin * 0.85, 1)
    pen.fill(oval(x, y, who.eye, high, tilt), WHITE, 1)
    iris = min(who.eye * 0.55, high)
    pen.fill(oval(x, y, iris, iris), who.iris, 1)
    pen.fill(oval(x, y, iris * 0.5, iris * 0.5), BLACK, 1)
    lid = oval(x, y, who.eye * 1.05, high, tilt)[12:]
    pen.stroke(lid, who.skin * 0.35, 0.022, 1)


def _brow(pen: Pen, side: int) -> None:
    who = pen.who
    y = who.eye_y - who.brow_lift - pen.shot.brows
    x = side * (who.eye_x + np.array([-0.14, 0.05, 0.17]))
    bow = np.stack([x, y + np.array([0.03, -0.04, 0.03])], 1)
    pen.stroke(bow, who.hair * 0.75, who.brow, 1)


def _nose(pen: Pen) -> None:
    who, bottom = pen.who, pen.who.eye_y + pen.who.nose
    bridge = points((0.05, who.eye_y + 0.05), (0.08, bottom - 0.12))
    pen.stroke(bridge, who.skin * 0.82, 0.035, 1)
    pen.fill(oval(0, bottom - 0.03, who.nose_width, 0.07), who.skin * 0.93, 1.25)
    for side in SIDES:
        nostril = oval(side * who.nose_width * 0.6, bottom, 0.035, 0.02)
        pen.fill(nostril, who.skin * 0.5, 1.2)


def _mouth(pen: Pen) -> None:
    who, shot = pen.who, pen.shot
    x = np.linspace(-1, 1, 13)
    wide = x * who.mouth * (1 + 0.18 * shot.smile)
    middle = who.mouth_y + 0.09 * shot.smile * (0.5 - x**2)
    gap = 0.07 * shot.open * (1 - x**2)
    upper = middle - gap - who.lip * (1 - x**2) * (0.7 + 0.4 * np.abs(x))
    lower = middle + gap + who.lip * 1.2 * (1 - x**2)
    pen.fill(band(wide, upper, lower), who.lips, 1)
    if shot.open > 0.05:
        pen.fill(band(wide * 0.92, middle - gap, middle + gap), MOUTH, 1)
        pen.fill(band(wide * 0.8, middle - gap, middle - gap * 0.2), WHITE, 1)
    else:
        pen.stroke(np.stack([wide, middle], 1), who.lips * 0.55, 0.018, 1)


def _back_hair(pen: Pen) -> None:
    who = pen.who
    wide = who.width + who.volume
    if who.style == "curls":
        for angle in np.linspace(0, 2 * np.pi, 14, endpoint=False):
            x, y = wide * 1.02 * np.cos(angle), -0.42 + 0.75 * np.sin(angle)
            pen.fill(oval(x, y, 0.3, 0.3), who.hair * (0.85 + 0.1 * np.cos(5 * angle)))
    if who.style in BACK:
        low = BACK[who.style]
        crown = oval(0, -0.3, wide, 0.7 + who.volume)[12:]
        pen.fill(
            np.vstack([crown, [(wide, -0.3), (wide * 1.12, low), (-wide * 1.12, low)]]),
            who.hair * 0.8,
        )


def _front_hair(pen: Pen) -> None:
    who, line = pen.who, pen.who.hairline
    if who.style == "bald":
        return
    wide, top = who.width + 0.02 + who.volume * 0.5, -1 - who.volume
    x = np.linspace(-1, 1, 15)
    crown = -0.12 + (top + 0.12) * np.sqrt(1 - x**2 * 0.97)
    edge = {
        "part": line + 0.28 * np.abs(x - 0.45) - 0.05,
        "fringe": max(line + 0.24, -0.42) + 0.03 * np.cos(9 * x),
        "curls": line + 0.05 * np.cos(14 * x),
    }.get(who.style, line + 0.1 * x**2)
    edge = np.where(np.abs(x) > 0.88, -0.12, edge)  # down to the ears
    pen.fill(band(x * wide, crown, edge), who.hair, 0.12)
    shine = wide * np.linspace(-0.32, 0.32, 7)
    pen.stroke(np.stack([shine, top + 0.14 + 0.35 * shine**2], 1), who.hair * 1.2 + 12, 0.05, 0.12)


def _beard(pen: Pen) -> None:
    who, y = pen.who, pen.who.mouth_y
    colour = who.hair * 0.6 + who.skin * 0.25
    if who.beard == "full":
        x = np.linspace(-0.97, 0.97, 15)
        top = 0.12 + (y - 0.2) * np.sqrt(1 - x**2)
        pen.fill(band(x * who.width, _jaw_line(x, who.jaw), top), colour, 0.05)
    if who.beard != "none":
        x = np.linspace(-1, 1, 9)
        top = y - 0.1 - 0.06 * (1 - np.abs(x))
        pen.fill(band(x * who.mouth * 1.1, top, y - 0.02 + 0.06 * np.abs(x)), colour, 1.05)


def _freckles(pen: Pen) -> None:
    rng = np.random.default_rng(pen.who.freckles)
    for x, y in rng.normal((0, 0.22), (0.25, 0.1), (pen.who.freckles, 2)).clip(-0.5, 0.5):
        pen.fill(oval(x, y, 0.018, 0.018), pen.who.skin * 0.7, 1)


def _glasses(pen: Pen) -> None:
    who = pen.who
    if not who.glasses:
        return
    for side in SIDES:
        lens = oval(side * who.eye_x, who.eye_y, who.glasses, who.glasses * 0.8)
        pen.stroke(closed(lens), who.frame, 0.035, 1)
        hinge = side * (who.eye_x + who.glasses)
        pen.stroke(points((hinge, who.eye_y), (side * who.width, 0)), who.frame, 0.03, 0.5)
    gap = who.eye_x - who.glasses
    pen.stroke(points((-gap, who.eye_y), (gap, who.eye_y)), who.frame, 0.035, 1)


def _silhouette(pen: Pen, chin: float) -> Points:
    who, gap = pen.who, 0.09 * pen.shot.open
    eye, mouth, base = who.eye_y, who.mouth_y, who.eye_y + who.nose
    tip = 0.59 + 0.5 * who.nose + who.nose_width * 0.6
    lips = 0.64 + who.lip
    return points(
        (-0.2, -1),
        (0.35, -0.95),
        (0.58, -0.6),
        (0.62, eye - 0.2),
        (0.57, eye),
        (tip - 0.05, base - 0.14),
        (tip, base - 0.05),
        (0.66, base + 0.03),
        (lips + 0.01, mouth - 0.04 - gap / 2),
        (0.59, mouth),
        (lips, mouth + 0.06 + gap),
        (0.56, mouth + 0.15),
        (chin, 0.88),
        (chin - 0.14, 1.0),
        (0.1, 0.86),
        (-0.2, 0.6),
        (-0.7, 0.55),
        (-0.98, 0.1),
        (-0.95, -0.45),
        (-0.7, -0.85),
    )


def _side_features(pen: Pen) -> None:
    who, shot, x = pen.who, pen.shot, 0.45
    front, y = 0.62 + who.lip, who.mouth_y
    corner = (0.62 - who.mouth * 0.75, y - 0.08 * shot.smile)
    pen.fill(points((front, y - 0.05), corner, (front, y + 0.07 + 0.09 * shot.open)), who.lips)
    high = who.eye * 0.62 * shot.lids
    pen.fill(oval(x, who.eye_y, who.eye * 0.8, high), WHITE)
    pen.fill(oval(x + who.eye * 0.35, who.eye_y, high * 0.6, high * 0.9), who.iris)
    pen.fill(oval(x + who.eye * 0.45, who.eye_y, high * 0.3, high * 0.5), BLACK)
    brow = who.eye_y - who.brow_lift - shot.brows
    bow = points((x - 0.15, brow + 0.03), (x, brow - 0.03), (x + 0.15, brow + 0.03))
    pen.stroke(bow, who.hair * 0.75, who.brow)
    pen.fill(oval(0.65, who.eye_y + who.nose - 0.01, 0.03, 0.018), who.skin * 0.5)


def _side_beard(pen: Pen, chin: float) -> None:
    who, y = pen.who, pen.who.mouth_y
    if who.beard == "full":
        jaw = points(
            (-0.15, 0.1),
            (0, 0.45),
            (0.45, y - 0.1),
            (0.62, y + 0.1),
            (chin, 0.9),
            (chin - 0.14, 1.02),
            (0.1, 0.9),
            (-0.22, 0.6),
        )
        pen.fill(smooth(jaw), who.hair * 0.6 + who.skin * 0.25)
    if who.beard == "moustache":
        pen.stroke(points((0.62, y - 0.1), (0.4, y)), who.hair * 0.7, 0.08)


def _side_hair(pen: Pen) -> None:
    who, v = pen.who, pen.who.volume
    if who.style == "bald":
        return
    line = max(who.hairline + 0.24, -0.42) if who.style == "fringe" else who.hairline
    low = 0.3 if who.style in ("crop", "part") else 0.55
    cap = points(
        (0.6, line),
        (0.64, line - 0.15),
        (0.4, -1 - v),
        (-0.25, -1.03 - v),
        (-0.8, -0.85 - v / 2),
        (-1.02 - v / 2, -0.3),
        (-1 - v / 2, 0.1),
        (-0.72, low),
        (-0.35, low - 0.15),
        (-0.2, -0.15),
        (0.05, -0.2),
        (0.2, line + 0.05),
    )
    pen.fill(smooth(cap), who.hair)
    if who.style == "curls":
        for angle in np.linspace(0.5 * np.pi, 1.75 * np.pi, 12):
            x, y = -0.22 + 0.78 * np.cos(angle), -0.35 + 0.68 * np.sin(angle)
            pen.fill(oval(x, y, 0.27, 0.27), who.hair * (0.85 + 0.1 * np.cos(5 * angle)))


def _symmetric(right: Points) -> Points:
    return np.vstack([right, (right * [-1, 1])[::-1]])
