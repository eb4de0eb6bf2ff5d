"""The arithmetic of a trial: device, threads, precision and processor, which change its numbers.

The number of threads decides the order in which a sum is computed, so one thread and two give two
different nets. What a trial was computed with is recorded with its epochs, and used again where
the trial is resumed or trained again.

    ran = [{"epoch": 0, "device": "cpu", "threads": 2, "precision": "fp32", "processor": "AVX512"}]

There is a second entry where it had to change within a trial, from that epoch on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from facesiam.device.cores import cores
from facesiam.device.hardware import precision_of

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
        some = f"{self.threads} thread{'s' * (self.threads != 1)}, "
        where = f"{self.device} ({self.processor})"
        return f"{some * (self.device == 'cpu')}{self.precision}, {where}"


def current_arithmetic(
    net: str, precision: str, device: str, threads: int | None = None
) -> Arithmetic:
    """Return what this machine would compute a trial with.

    Args:
        net: its name.
        precision: fp32, bf16 or auto.
        device: cpu or cuda.
        threads: of torch; None: as many as it has now.
    """
    if device == "cuda":
        processor = torch.cuda.get_device_name() if torch.cuda.is_available() else "unknown"
    else:
        processor = torch.backends.cpu.get_cpu_capability()
    threads = threads or torch.get_num_threads()
    return Arithmetic(device, threads, precision_of(precision, net, device), processor)


def extend_history(ran: ComputeHistory, now: Arithmetic, epoch: int) -> list[dict[str, Any]]:
    """Return the history of a trial that goes on with `now` from an epoch on."""
    before = [dict(part) for part in ran if part["epoch"] < epoch]
    if before and _of(before[-1]) == now:
        return before
    return [*before, {"epoch": epoch, **now._asdict()}]


def reproduce(
    ran: ComputeHistory, now: Arithmetic, part: int, threads: int | None = None
) -> tuple[Arithmetic, str | None]:
    """Return the arithmetic of an earlier computation, as far as this machine has it.

    Args:
        ran: what the trial was computed with; empty: nothing yet, or not known.
        now: what this machine would compute it with.
        part: which entry of `ran`: 0 to train it again, -1 to resume it.
        threads: number of threads whatever it had before; None: as many as before.

    Returns:
        The arithmetic, and a sentence about what differs, or None where nothing does.
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
    """Return the parts of a trial's history that its key contains.

    The processor is not among them: on a cluster it is not known before the trial runs, and
    results of another machine may be reused.
    """
    return [
        [int(p["epoch"]), p["device"], p["threads"] * (p["device"] == "cpu"), p["precision"]]
        for p in ran
    ]


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Within its ``with``, have torch compute with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _of(part: Mapping[str, Any]) -> Arithmetic:
    return Arithmetic(*(part[name] for name in Arithmetic._fields))
