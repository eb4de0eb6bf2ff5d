"""What is drawn: labels that can be read, beside each other and not on top of each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from facesiam.config import TrialConfig
from search.report import figures, style

FILE = Path("never-written.png")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would be saved."""
    found: list[Figure] = []
    monkeypatch.setattr(style, "save", lambda figure, path, title: found.append(figure))
    return found


def overlapping(axes: Axes) -> bool:
    """Whether two neighbouring labels of the x axis touch."""
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    boxes = [tick.label1.get_tightbbox() for tick in ticks]
    if any(tick.label1.get_rotation() for tick in ticks):  # of slanting words the boxes overlap
        return any(one.x1 >= other.x1 - 10 for one, other in zip(boxes, boxes[1:], strict=False))
    return any(one.x1 >= other.x0 for one, other in zip(boxes, boxes[1:], strict=False))


def test_the_scores_of_a_net_that_hardly_learned_have_room_for_their_numbers(
    drawn: list[Figure],
) -> None:
    odds = np.linspace(-0.0178, -0.0076, 200)
    scores = pd.DataFrame({"same_person": [0, 1] * 100, "log_odds": odds})
    figures.verification(FILE, "Test pairs", {"frontal-triplets": scores})
    FigureCanvasAgg(drawn[0]).draw()
    assert not any(overlapping(axes) for axes in drawn[0].axes)


def test_long_names_of_nets_have_room_too(drawn: list[Figure]) -> None:
    nets = ["alexnet", "vgg16_bn", "efficientnet_lite0", "resnet18", "mobilenet_v3_large"]
    rows = [TrialConfig(net=net).to_dict() for net in nets]
    trials = pd.DataFrame(rows).assign(trial=nets, val_acc=0.8, val_acc_low=0.7, val_acc_high=0.9)
    figures.scatter(FILE, trials, ["net", "dropout", "loss"], set())
    FigureCanvasAgg(drawn[0]).draw()
    assert not any(overlapping(axes) for axes in drawn[0].axes)
