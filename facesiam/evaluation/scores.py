"""The scores file of a test: a line for each pair, its two images, the truth and the score.

    left,right,same_person,log_odds
    Data/Images/001/frontal/01.jpg,Data/Images/001/frontal/07.jpg,1,4.2177734375
    Data/Images/001/frontal/01.jpg,Data/Images/450/profile/02.jpg,0,-3.90625

`left` and `right` are the images' paths in the dataset, `same_person` is 1 for the same person and
0 for two people, `log_odds` is the net's score: the log-odds of "same person", higher where the
two are more alike, above 0 where "same" is predicted.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facesiam.data.dataset import Pairs
from facesiam.files import write_text

COLUMNS = ("left", "right", "same_person", "log_odds")


def write(path: Path, names: Sequence[str], pairs: Pairs, log_odds: NDArray[np.float64]) -> None:
    """Write the scores (P,) of P pairs, atomically.

    Args:
        path: the CSV.
        names: paths of the dataset's images, which the pairs point into.
        pairs: the P pairs.
        log_odds: of "same person", (P,).
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    left, right = ([names[at] for at in side.tolist()] for side in (pairs.left, pairs.right))
    same_person = (pairs.label == 0).astype(int).tolist()
    writer.writerows(zip(left, right, same_person, log_odds.tolist(), strict=True))
    write_text(path, text.getvalue())
