"""What a trial is computed with, as it changes its numbers: device, threads, precision, processor.

The number of threads decides the order in which a sum is computed, so one thread and two give two
different nets. What a trial was computed with is recorded with its epochs, and used again where
the trial is resumed or trained again (``facesiam.device.reproducibility``).

    ran = [{"epoch": 0, "device": "cpu", "threads": 2, "precision": "fp32", "processor": "AVX512"}]

There is a second entry where it had to change within a trial, from that epoch on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from facesiam.errors import counted

ComputeHistory = Sequence[Mapping[str, Any]]
"""What a trial was computed with: entries of ``epoch``, the first one, and Arithmetic's fields."""


class Arithmetic(NamedTuple):
    """What a step is computed with; nothing is `auto` any more."""

    device: str
    """cpu or cuda."""
    threads: int
    """Of torch, within an operation."""
    precision: str
    """fp32 or bf16."""
    processor: str
    """Instructions that the CPU has for vectors, such as AVX2, or the GPU's name."""

    def describe(self) -> str:
        """Return it in words, for a message."""
        some = f"{counted(self.threads, 'thread')}, "
        where = f"{self.device} ({self.processor})"
        return f"{some * (self.device == 'cpu')}{self.precision}, {where}"


def extend_history(ran: ComputeHistory, now: Arithmetic, epoch: int) -> list[dict[str, Any]]:
    """Return the history of a trial that goes on with `now` from an epoch on."""
    before = [dict(part) for part in ran if part["epoch"] < epoch]
    if before and arithmetic_of(before[-1]) == now:
        return before
    return [*before, {"epoch": epoch, **now._asdict()}]


def key_parts(ran: ComputeHistory) -> list[list[Any]]:
    """Return the parts of a trial's history that its key contains.

    The processor is not among them: on a cluster it is not known before the trial runs, and
    results of another machine may be reused.
    """
    return [
        [int(p["epoch"]), p["device"], p["threads"] * (p["device"] == "cpu"), p["precision"]]
        for p in ran
    ]


def describe_history(ran: ComputeHistory) -> str:
    """Return a trial's history in words: ``2 threads, bf16, cpu (AVX512)``; "" without any."""
    parts = [
        arithmetic_of(part).describe() + (f" from epoch {part['epoch']} on" if at else "")
        for at, part in enumerate(ran)
    ]
    return "; ".join(parts)


def arithmetic_of(part: Mapping[str, Any]) -> Arithmetic:
    """Return the arithmetic of one entry of a history."""
    return Arithmetic(*(part[name] for name in Arithmetic._fields))
