"""The best configuration of spaces/cpu.yaml with other nets, in the minutes that the GPU has.

A one-cycle schedule needs to know its epochs, so they are chosen by the speed that was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from facesiam.config import Value
from search.resources.cost import GIGA_MACS
from search.space import load
from search.space.shipped import SPACES

from .plan import Plan
from .searches import searched, trials_of

CHOSEN: dict[str, Value] = {
    "loss": "supcon",
    "lr": 1.8e-3,
    "weight_decay": 0.01,
    "erase": 0.0,
    "freeze_stages": 2,
}
"""What the recorded search of the space found (trial 0004 of ray_results/reference/cpu)."""
FROM_SCRATCH: dict[str, Value] = {"pretrained": False, "freeze_stages": 0, "head_lr": 1.0}
IMAGES = 4200
"""Training images of an epoch: all views of CFP's 300 people."""
FEWEST, MOST, UNKNOWN = 4, 60, 12
"""Epochs at least, at most, and where the speed was not measured."""
START, SHARE = 10.0, 0.7
"""Seconds that the start of a trial takes, and the share of the others that is for training:
validation takes the rest."""


def net(
    name: str, pretrained: bool, parts: int, like: str = ""
) -> Callable[[Plan, dict[str, Any]], dict[str, Any]]:
    """Return the function that trains a net by the best configuration.

    Args:
        name: of the net.
        pretrained: whether from ImageNet weights.
        parts: how many nets share what is left of the part, this one included.
        like: the net whose measured speed, by the multiply-adds of both, decides the epochs; "":
            its own.
    """

    def trained(plan: Plan, figures: dict[str, Any]) -> dict[str, Any]:
        minutes, other = plan.minutes(parts), like or name
        speed = figures.get(f"speed/{other}/supcon", {}).get("ours_pairs_per_second", 0.0)
        speed *= GIGA_MACS[other] / GIGA_MACS[name]
        settings: dict[str, Value] = {
            **load(SPACES / "cpu.yaml").fixed,
            **CHOSEN,
            **({} if pretrained else FROM_SCRATCH | {"stochastic_depth": 0.0}),
            "net": name,
            "epochs": _epochs(60 * minutes, speed),
        }
        space = {"fixed": plan.small(**settings), "rows": {name: {"settings": {"seed": 0}}}}
        run = searched(plan, space, f"best-{name}", minutes)
        planned = run.space.fixed["epochs"]  # of the first session, where it was resumed
        return {**trials_of(run)[name], "epochs_planned": planned, "minutes": minutes}

    return trained


def _epochs(seconds: float, images_a_second: float) -> int:
    """Return how many epochs fit; UNKNOWN where the speed is 0, which is not known."""
    if not images_a_second:
        return UNKNOWN
    images = SHARE * (seconds - START) * images_a_second
    return max(FEWEST, min(MOST, int(images / IMAGES)))
