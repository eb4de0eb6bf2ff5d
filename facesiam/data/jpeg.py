"""Completeness of a JPEG: whether its file has all of the picture.

libjpeg accepts a JPEG that was cut short and closed by an end marker, as recovery tools and some
downloads do: the missing part becomes grey, or stays blurred in a progressive file.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

_START, _SCAN, _END, _RESTARTS = 0xD8, 0xDA, 0xD9, range(0xD0, 0xD8)
_BARE = {0x01, _START, *_RESTARTS}
"""Markers without a length."""
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE, _ARITHMETIC = {0xC2, 0xC6, 0xCA, 0xCE}, range(0xC9, 0xD0)
_FILLER = bytes(byte % 255 for byte in random.Random(0).randbytes(256))
"""Codes that mean something else than the zeros with which libjpeg goes on; no marker in them."""


@dataclass
class _Frame:
    """What the headers of a JPEG promise, and what its scans bring of it."""

    marker: int = 0
    size: tuple[int, int] = (0, 0)
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    interval: int = 0
    """Coded units between restart markers; 0: there are none."""
    exact: dict[int, set[int]] = field(default_factory=dict)
    """Per component, the coefficients that came to their last bit."""


def extended(content: bytes) -> bytes:
    """Return a JPEG with other codes after its last ones, and an end marker.

    Where its scans are whole nobody reads them, and both decode to the same picture.

    Raises:
        ValueError: it shows by its headers alone that a part of the picture is missing, or it is
            coded in a way in which that cannot be told.
    """
    frame = _Frame()
    at = ends = 2
    while True:
        at = content.find(b"\xff", at)
        if at < 0 or at + 2 > len(content):
            break
        marker = content[at + 1]
        at += 2 if marker != 0xFF else 1  # fill bytes may stand before a marker
        if marker == _END:
            break
        if marker in (0x00, 0xFF) or marker in _BARE:
            continue
        length = int.from_bytes(content[at : at + 2])
        _read_segment(frame, marker, content[at + 2 : at + length])
        at += length
        if marker == _SCAN:
            begins, at = at, _scan_end(content, at)
            _check_restarts(frame, content[begins:at], content[begins - length + 2 : begins])
            ends = at
    _check_frame(frame)
    return content[:ends] + _FILLER + b"\xff\xd9"


def _read_segment(frame: _Frame, marker: int, body: bytes) -> None:
    if marker == 0xDD and len(body) >= 2:
        frame.interval = int.from_bytes(body[:2])
    elif marker in _FRAMES and len(body) >= 6:
        frame.marker = marker
        frame.size = int.from_bytes(body[3:5]), int.from_bytes(body[1:3])
        for at in range(6, min(len(body), 6 + 3 * body[5]) - 2, 3):
            frame.sampling[body[at]] = body[at + 1] >> 4, body[at + 1] & 15
    elif marker == _SCAN and body:
        count = body[0]
        first, last, exactness = body[1 + 2 * count : 4 + 2 * count] or (0, 63, 0)
        for component in body[1 : 1 + 2 * count : 2]:
            known = frame.exact.setdefault(component, set())
            if frame.marker not in _PROGRESSIVE:
                known.update(range(64))
            elif not exactness & 15:
                known.update(range(first, last + 1))


def _scan_end(content: bytes, at: int) -> int:
    """Return where the codes of a scan end: at a marker that is no restart."""
    while (at := content.find(b"\xff", at)) >= 0 and at + 1 < len(content):
        if content[at + 1] and content[at + 1] not in _RESTARTS:
            return at
        at += 2
    return len(content)


def _check_restarts(frame: _Frame, codes: bytes, header: bytes) -> None:
    if not frame.interval or not frame.sampling:
        return
    components = list(header[1 : 1 + 2 * header[0] : 2])
    across, down = (max(each) for each in zip(*frame.sampling.values(), strict=True))
    block: tuple[float, float] = 8 * across, 8 * down
    if len(components) == 1:  # one component's blocks stand by themselves
        own = frame.sampling.get(components[0], (1, 1))
        block = 8 * across / max(1, own[0]), 8 * down / max(1, own[1])
    units = math.prod(
        math.ceil(length / max(1, side)) for length, side in zip(frame.size, block, strict=True)
    )
    expected = math.ceil(units / frame.interval) - 1
    found = sum(codes.count(bytes((0xFF, marker))) for marker in _RESTARTS)
    if found < expected:
        raise ValueError(f"a damaged JPEG: {expected - found} of {expected} restarts are missing")


def _check_frame(frame: _Frame) -> None:
    if frame.marker in _ARITHMETIC:
        raise ValueError("a JPEG in arithmetic coding; save it in the usual, Huffman's")
    missing = [name for name in frame.sampling if len(frame.exact.get(name, ())) < 64]
    if missing:
        raise ValueError("a damaged JPEG: it ends before its last scan, its picture is not whole")
