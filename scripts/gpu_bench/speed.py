"""Pairs a second of the trainer beside the notebooks' loop, and as shares of the GPU's rates."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

import timed_sides
import torch
from bench_train import measure_config

from facesiam.config import Value
from search.resources.cost import seconds_of_rows
from search.space import load
from search.space.shipped import SPACES

from . import facts
from .plan import Plan, row

RECIPE: dict[str, Value] = {
    "protocol": "frontal-triplets",
    "image_size": 160,
    "join": "cosine",
    "loss": "supcon",
    "dropout": True,
    "optimizer": "adamw",
    "batch_size": 64,
    "images_per_person": 4,
    "views": "all",
}
"""A step of spaces/cpu.yaml, without augmentation, which the reference does not have."""
ROUNDS = 4
ASKED = {"alexnet/difference": {"ratio": 10.0}, "vgg16_bn/difference": {"product_share": 0.6}}
"""What issues ask for, at least."""


def of_row(net: str, join: str) -> dict[str, Value]:
    """Return the settings of the study's row A with another net or join."""
    return {**row("A"), "net": net, "join": join}


def of_people(net: str) -> dict[str, Value]:
    """Return the settings of a net that is trained on people."""
    return {**RECIPE, "net": net}


def all_rows(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the 19 rows of the study would train at these rates, one after the other."""
    rates = {
        name.removeprefix("speed/"): figure["ours_pairs_per_second"]
        for name, figure in figures.items()
        if name.startswith("speed/") and "ours_pairs_per_second" in figure
    }
    spaces = [load(SPACES / f"code{number}.yaml") for number in (1, 2)]
    return {"estimated_seconds": seconds_of_rows(spaces, rates)}


def case(
    settings: Callable[[], dict[str, Value]],
    steps: int,
    reference: int = 3,
    without: str = "nothing",
    asked: Mapping[str, float] | None = None,
) -> Callable[[Plan, dict[str, Any]], dict[str, Any]]:
    """Return the function that measures a configuration.

    Args:
        settings: returns those of the configuration.
        steps: of a block of ours: an epoch at most.
        reference: steps of a block of the reference.
        without: one of ours' measures that is left out.
        asked: of ASKED.
    """

    def measured(plan: Plan, figures: dict[str, Any]) -> dict[str, Any]:
        small = plan.rehearsal
        blocks = {"ours": 1 if small else steps, "reference": 1 if small else reference}
        options = Namespace(
            device=plan.device,
            threads=torch.get_num_threads(),
            without=without,
            rounds=1 if small else ROUNDS,
        )
        rates = figures.get("machine/rates") or facts.rates(plan, figures)
        with patch.object(timed_sides, "WARM_UP", 0 if small else timed_sides.WARM_UP):
            found = measure_config(
                plan.config(**settings()), options, blocks, plan.packed, plan.data, rates
            )
        wanted = asked or {}
        return {
            **found,
            "without": without,
            "steps": blocks,
            "rounds": options.rounds,
            "asked": wanted,
            "reached": {figure: found[figure] >= least for figure, least in wanted.items()},
        }

    return measured
