"""Refuses to test a net on people, or on copies of pictures, that it was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facesiam.data.dataset import FaceData, Pairs
from facesiam.errors import DataError


def refuse_leak(data: FaceData, train: Pairs, test: Pairs, protocol: str) -> None:
    """Refuse to test on people who were trained on, or on copies of their images.

    Raises:
        DataError: names some of them.
    """
    tested = np.unique(np.concatenate([test.left, test.right]))
    refuse_leaked_images(data, train, tested, protocol)


def refuse_leaked_images(
    data: FaceData, train: Pairs, tested: NDArray[np.int64], protocol: str
) -> None:
    """Refuse the same where the test is on these images, (N,)."""
    trained = np.unique(np.concatenate([train.left, train.right]))
    everyone = np.flatnonzero(np.isin(data.person, data.person[trained]))
    both = np.intersect1d(data.person[everyone], data.person[tested])
    if len(both):
        some = ", ".join(map(data.name_of, both[:5].tolist()))
        raise DataError(
            f"{protocol}: tests {len(both)} people that this trial was trained on: {some}"
        )
    copied = np.intersect1d(data.content[everyone], data.content[tested])
    if len(copied):
        name = data.names[int(tested[np.isin(data.content[tested], copied)][0])]
        raise DataError(
            f"{protocol}: {len(copied)} test images are byte-identical to images of people who "
            f"train, the first {name}"
        )
