"""The parts of the benchmark in their order, the most important first, and the running of one."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from facesiam import cli
from facesiam.errors import named

from . import best, correctness, facts, rows, speed
from .plan import Plan
from .record import Record

Job = Callable[[Plan, dict[str, Any]], Mapping[str, Any]]
"""Takes the plan and the figures so far; returns what the file is to say of one figure."""
Summary = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Takes the figures so far; returns what is worked out from them."""


@dataclass(frozen=True)
class Part:
    """Figures that share a budget of time."""

    share: float
    """Of the minutes, in proportion to the other parts'."""
    jobs: Mapping[str, Job]
    """By name of the figure, in their order."""
    summaries: Mapping[str, Summary] = field(default_factory=dict)
    """Figures that are worked out from the others each time the part has ended, or was cut."""


PARTS: dict[str, Part] = {
    "machine": Part(
        0.5, {"versions": facts.versions, "rates": facts.rates, "packing": facts.packing}
    ),
    "correctness": Part(
        1.5,
        {
            "bf16": correctness.epoch("bf16"),
            "bf16 without graphs": correctness.epoch("bf16", graphs=False),
            "fp32": correctness.epoch("fp32"),
            "cpu fp32": correctness.epoch("fp32", "cpu"),
            "bf16 resumed": correctness.resumed,
            "bf16 again": correctness.epoch("bf16"),
            "bf16 sharing": correctness.sharing,
            "cpu bf16": correctness.epoch("bf16", "cpu"),
        },
        {"verdict": correctness.verdict},
    ),
    "speed": Part(
        2.5,
        {
            name: speed.case(settings, steps, asked=speed.ASKED.get(name))
            for name, settings, steps in (
                ("alexnet/difference", lambda: speed.of_row("alexnet", "difference"), 180),
                ("vgg16_bn/difference", lambda: speed.of_row("vgg16_bn", "difference"), 20),
                ("alexnet/concat", lambda: speed.of_row("alexnet", "concat"), 180),
                ("efficientnet_lite0/supcon", lambda: speed.of_people("efficientnet_lite0"), 60),
                ("resnet50/supcon", lambda: speed.of_people("resnet50"), 60),
            )
        }
        | {
            f"alexnet/difference without {what}": speed.case(
                lambda: speed.of_row("alexnet", "difference"), 180, reference=1, without=what
            )
            for what in ("graphs", "bf16", "blocks")
        }
        | {
            "vgg16_bn/concat": speed.case(
                lambda: speed.of_row("vgg16_bn", "concat"), 20, reference=1
            ),
        },
        {"19 rows": speed.all_rows},
    ),
    "rows": Part(3.5, {"A": rows.row_a, "shares": rows.shares, rows.ROWS: rows.rows}),
    "best": Part(
        2.0,
        {
            "efficientnet_lite0": best.net("efficientnet_lite0", True, 3),
            "resnet50": best.net("resnet50", False, 2),
            "iresnet50": best.net("iresnet50", False, 1, like="resnet50"),
        },
    ),
}


def measure(name: str, plan: Plan, record: Record) -> bool:
    """Measure what is missing of a part, figure by figure; return whether all of it is there.

    Its summaries are left to the caller: a part that is cut has no time for them.
    """
    part = PARTS[name]
    for figure, job in part.jobs.items():
        full = f"{name}/{figure}"
        if record.has(full):
            continue
        began = time.perf_counter()
        try:
            values = job(plan, record.figures)
        except Exception as error:  # the other figures do not depend on it
            traceback.print_exc(file=sys.stderr)
            record.fail(full, named(error))
            cli.say(f"{full}: {named(error)}")
            continue
        record.add(full, time.perf_counter() - began, values)
        cli.say(line_of(full, record.figures[full]))
    return all(record.has(f"{name}/{figure}") for figure in part.jobs)


def summarise(name: str, record: Record) -> None:
    """Work out the summaries of a part from the figures that are there."""
    for figure, work in PARTS[name].summaries.items():
        full, began = f"{name}/{figure}", time.perf_counter()
        try:
            values = work(record.figures)
        except Exception as error:  # the other parts do not depend on it
            record.fail(full, named(error))
            cli.say(f"{full}: {named(error)}")
            continue
        record.add(full, time.perf_counter() - began, values)
        cli.say(line_of(full, record.figures[full]))


def missing(name: str, record: Record) -> list[str]:
    """Return the figures of a part that are not there, or not complete."""
    part = PARTS[name]
    figures = (*part.jobs, *part.summaries)
    return [one for one in figures if not record.has(f"{name}/{one}")]


def line_of(name: str, figure: Mapping[str, Any]) -> str:
    """Return a figure in a line: its numbers, truths and short texts."""
    said = []
    for key, value in figure.items():
        if isinstance(value, bool | int) or (isinstance(value, str) and len(value) < 30):
            said.append(f"{key} {value}")
        elif isinstance(value, float):
            said.append(f"{key} {value:.4g}")
    return f"{name}: {', '.join(said)}"
