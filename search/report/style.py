"""The colours and sizes that all pictures of a report share.

Training is blue and validation orange everywhere; what the 2019 study recorded is the same colour,
thin and dashed. Every picture is 9 inches wide, so that text is 10 pt at 900 pixels.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

TRAIN, VAL, GREY, BEST = "#2f6db3", "#d9661f", "#9a9a9a", "#1b1b1b"
RANKED = ("#d9661f", "#2f6db3", "#2a8c5a", "#8a4fb0", "#b58900", "#c2387a")
"""The best trials, in order; all others are grey."""
WIDTH, DPI = 9.0, 150


def new(height: float) -> Figure:
    """Return an empty picture of this height in inches."""
    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


def save(figure: Figure, path: Path, title: str) -> None:
    """Finish a picture and write it as a PNG; the same picture gives the same bytes."""
    figure.suptitle(title, fontsize=11)
    for axes in figure.axes:
        axes.grid(True, color="#e6e6e6", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    figure.savefig(path, metadata={"Software": None})  # which has the version of matplotlib
