"""What this machine computes a trial with, and what of an earlier computation it can repeat.

See ``facesiam.device.arithmetic``, which needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from facesiam.device.arithmetic import Arithmetic, ComputeHistory, arithmetic_of
from facesiam.device.cores import cores
from facesiam.device.hardware import cpu_multiplies_bf16, precision_of


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
    was = arithmetic_of(ran[part])
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


def emulation(now: Arithmetic) -> str | None:
    """Return a sentence where a CPU without instructions for bf16 computes in it; None elsewhere.

    A `precision: bf16` of a space, or of the machine that a trial began on, is kept all the same:
    the trial's numbers depend on it.
    """
    if now.device != "cpu" or now.precision != "bf16" or cpu_multiplies_bf16():
        return None
    return (
        f"bf16 is emulated by this processor ({now.processor}), which takes several times as long "
        "as fp32"
    )


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Within its ``with``, have torch compute with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
