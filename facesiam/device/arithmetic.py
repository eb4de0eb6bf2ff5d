"""How a trial is computed: what decides its numbers besides its settings, its data and the code.

The order of a sum's parts follows from the number of threads, so a net that is trained by two of
them is another one than by one. What a trial ran with is part of it: noted with its epochs, and
used again where the trial goes on or is trained anew.

    ran = [{"epoch": 0, "device": "cpu", "threads": 2, "precision": "fp32", "processor": "AVX512"}]

A second part is there where it had to change within a trial: from that epoch on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from facesiam.device.cores import cores
from facesiam.device.hardware import precision_of

ComputeHistory = Sequence[Mapping[str, Any]]
"""What a trial ran with: parts of ``epoch``, its first one, and the fields of Arithmetic."""


class Arithmetic(NamedTuple):
    """What the numbers of a step depend on, resolved."""

    device: str
    """cpu or cuda."""
    threads: int
    """Of torch, within an operation."""
    precision: str
    """fp32 or bf16."""
    processor: str
    """Instructions that the CPU has for vectors, such as AVX2, or the GPU's name."""

    def describe(self) -> str:
        """Name it in words."""
        some = f"{self.threads} thread{'s' * (self.threads != 1)}, "
        where = f"{self.device} ({self.processor})"
        return f"{some * (self.device == 'cpu')}{self.precision}, {where}"


def current_arithmetic(
    net: str, precision: str, device: str, threads: int | None = None
) -> Arithmetic:
    """Return what this machine computes with: `precision` as a setting, auto resolved.

    Without a number of threads: as many as torch has now.
    """
    if device == "cuda":
        processor = torch.cuda.get_device_name() if torch.cuda.is_available() else "unknown"
    else:
        processor = torch.backends.cpu.get_cpu_capability()
    threads = threads or torch.get_num_threads()
    return Arithmetic(device, threads, precision_of(precision, net, device), processor)


def extend_history(ran: ComputeHistory, now: Arithmetic, epoch: int) -> list[dict[str, Any]]:
    """Return what a trial ran with, once it goes on with `now` from an epoch on."""
    before = [dict(part) for part in ran if part["epoch"] < epoch]
    if before and _of(before[-1]) == now:
        return before
    return [*before, {"epoch": epoch, **now._asdict()}]


def reproduce(
    ran: ComputeHistory, now: Arithmetic, part: int, threads: int | None = None
) -> tuple[Arithmetic, str | None]:
    """Return what a trial is computed with from here on, as nearly as before as this machine can.

    Args:
        ran: what the trial ran with; empty: nothing yet, or it is not known.
        now: what this machine would compute with.
        part: of `ran`, which one: 0 to train it anew, -1 to go on.
        threads: how many it shall have, whatever it had; None: as many as it had.

    Returns:
        It, and what is not as it was, None where all is.
    """
    if not ran:
        return now, None
    was = _of(ran[part])
    if threads is None:
        threads = was.threads if was.threads <= max(cores(), now.threads) else now.threads
    kept = now._replace(precision=was.precision)
    if now.device == was.device == "cpu":
        kept = kept._replace(threads=threads)
    elif now.device == was.device:  # a GPU's numbers do not depend on the CPU's threads
        kept = kept._replace(threads=was.threads)
    return (
        kept,
        None if kept == was else f"ran with {was.describe()}, and here with {kept.describe()}",
    )


def key_parts(ran: ComputeHistory) -> list[list[Any]]:
    """Return what a trial's numbers depend on, of what it ran with.

    Not the processor: that of a trial which has not run yet is not known on a cluster, and what is
    reused may come from another machine.
    """
    return [
        [int(p["epoch"]), p["device"], p["threads"] * (p["device"] == "cpu"), p["precision"]]
        for p in ran
    ]


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Have torch compute with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _of(part: Mapping[str, Any]) -> Arithmetic:
    return Arithmetic(*(part[name] for name in Arithmetic._fields))
