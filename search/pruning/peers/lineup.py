"""The peers that ``search.replay --peers`` compares ours with, and their settings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)

from facesiam.objective import Objective
from search.pruning.peers import ray_schedulers
from search.pruning.peers.optuna_pruners import OptunaPruner
from search.pruning.peers.pasha import Pasha
from search.pruning.simulator import Policy

OWN = "defaults"
"""Follows the name of a peer that has its own defaults; the others have our grace and factor."""


def peers(
    asha: Mapping[str, Any], objective: Objective, longest: int
) -> dict[str, Callable[[], Policy]]:
    """Return what makes each peer but Ray's ASHA with our settings, by its name.

    Args:
        asha: grace and factor of `prune.asha`.
        objective: what is compared.
        longest: the most epochs that a trial can have.
    """
    grace, factor = int(asha["grace"]), int(asha["factor"])
    rays = ray_schedulers
    found: dict[str, Callable[[], Policy]] = {
        f"Ray's ASHA, {OWN}": lambda: rays.RayAsha({"grace": 1, "factor": 4}, objective, longest),
        "Ray's HyperBand": lambda: rays.hyperband(objective, longest, factor),
        f"Ray's HyperBand, {OWN}": lambda: rays.hyperband(objective, longest),
        "Ray's median rule": lambda: rays.median(objective, grace),
        f"Ray's median rule, {OWN}": lambda: rays.median(objective),
    }
    for name, make in _pruners(grace, factor, longest).items():
        found[f"Optuna's {name}"] = partial(_optuna, make, objective)
    found["PASHA"] = lambda: Pasha(objective, longest, grace, factor)
    found[f"PASHA, {OWN}"] = lambda: Pasha(objective, longest)
    return found


def _optuna(make: Callable[[], BasePruner], objective: Objective) -> OptunaPruner:
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        return OptunaPruner(make(), objective)


def _pruners(grace: int, factor: int, longest: int) -> dict[str, Callable[[], BasePruner]]:
    """Return Optuna's pruners: with our grace as their warm-up and our factor, and by default.

    They count epochs from 0, so the first decision after ``grace`` epochs is at step grace - 1.
    Percentile and patience have no default: the examples of Optuna's documentation are taken.
    """
    warm, percentile = grace - 1, 100 / factor
    return {
        "median": lambda: MedianPruner(n_warmup_steps=warm),
        f"median, {OWN}": MedianPruner,
        "percentile": lambda: PercentilePruner(percentile, n_warmup_steps=warm),
        f"percentile, {OWN}": lambda: PercentilePruner(25.0),
        "successive halving": lambda: SuccessiveHalvingPruner(grace, factor),
        f"successive halving, {OWN}": SuccessiveHalvingPruner,
        "Hyperband": lambda: HyperbandPruner(grace, longest, factor),
        f"Hyperband, {OWN}": HyperbandPruner,
        "patient median": lambda: PatientPruner(MedianPruner(n_warmup_steps=warm), grace),
        f"patient median, {OWN}": lambda: PatientPruner(MedianPruner(), 1),
    }
