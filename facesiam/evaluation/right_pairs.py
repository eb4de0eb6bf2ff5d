"""The pairs that a net predicted right, one bit each, as text for a line of a journal."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]


def pack(right: Sequence[bool] | Bools) -> str:
    """Return as text which of n pairs were predicted right, (n,): 8 pairs a byte, in base64."""
    return base64.b64encode(np.packbits(np.asarray(right, dtype=bool)).tobytes()).decode("ascii")


def unpack(text: object, n: int, right: int) -> Bools | None:
    """Return what ``pack`` wrote, (n,); None where the text is not of these pairs.

    Args:
        text: from a journal.
        n: pairs.
        right: how many of them are right; a text with another number is of another epoch.
    """
    if not isinstance(text, str):
        return None
    try:
        bits = np.unpackbits(np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8))
    except (binascii.Error, ValueError):
        return None
    if len(bits) != -(-n // 8) * 8 or bits[n:].any() or int(bits.sum()) != right:
        return None
    return bits[:n].astype(bool)
