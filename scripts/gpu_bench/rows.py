"""Rows of the 2019 study through a search on Ray, and how many trials share the GPU."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from facesiam.training.throughput import share_of
from search.resources import sharing
from search.resources.allocation import this_machine

from .plan import Plan, code2
from .searches import most_at_once, searched, trials_of

SECONDS_OF_A = 60.0
"""What row A's 60 epochs are asked to take at most."""
ROWS = "B,I,L,M"


def row_a(plan: Plan, _figures: dict[str, Any]) -> dict[str, Any]:
    """Return what row A comes to in all its epochs, alone on the GPU."""
    run = searched(plan, "code2", "row-A", plan.minutes(), rows="A", set=_set(plan))
    found = trials_of(run)["A"]
    return {
        **found,
        **_published("A", found),
        "asked_seconds": SECONDS_OF_A,
        "reached": found["status"] == "done" and found["training_seconds"] < SECONDS_OF_A,
    }


def shares(plan: Plan, _figures: dict[str, Any]) -> dict[str, Any]:
    """Return how many trials are best on the GPU, as a search of the rows would measure it."""
    configs = [plan.config(**code2().row_settings(row)).to_dict() for row in ROWS.split(",")]
    settings = max(configs, key=sharing.step_cost)
    node = this_machine()[0]
    data, gpu = str(plan.packed.folder), not plan.rehearsal
    with patch.object(subprocess, "DEVNULL", None):  # errors of what is measured are shown
        share = share_of(settings, data, {}, int(node.cpus), gpu)
    alone = share.tried[0].pairs_per_second
    if not alone:
        raise RuntimeError("not even one trial alone came up")
    return {
        "best": share.best.at_once,
        "brings": share.best.pairs_per_second / alone,
        "tried": [way._asdict() for way in share.tried],
    }


def rows(plan: Plan, _figures: dict[str, Any]) -> dict[str, Any]:
    """Return what the other rows come to, as many at once as a search chooses.

    A search of some minutes is not worth the measuring to it; here it has been measured already.
    """
    with patch.object(sharing, "WORTH_SECONDS", 0.0):
        run = searched(plan, "code2", "rows", plan.minutes(), rows=ROWS, set=_set(plan))
    found = trials_of(run)
    return {
        "at_once": most_at_once(found),
        "complete": run.finished,
        "wall_seconds": max(each["ended"] for each in found.values())
        - min(each["began"] for each in found.values()),
        "training_seconds": sum(each["training_seconds"] for each in found.values()),
        "rows": {name: {**each, **_published(name, each)} for name, each in found.items()},
    }


def _set(plan: Plan) -> dict[str, Any]:
    """Return the settings that a rehearsal changes."""
    return plan.small()


def _published(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the study's validation accuracy and how far a trial's is from it, in points."""
    published, score = code2().rows[name].published["val"], found["val_acc"]
    more = None if score is None else 100 * score - published
    return {"published": published, "points_more": more}
