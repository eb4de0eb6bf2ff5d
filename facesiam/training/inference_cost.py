"""The cost of a net in use: its parameters, and the multiply-accumulates and latency of a pair.

A pair is two images through the trunk, as a batch of two, and their comparison, in evaluation
mode and in the precision of the trial, so that decision and embedding nets compare. Convolutions,
linear layers and attention count, without their biases; pooling, normalisation and activations do
not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from facesiam.device.hardware import is_out_of_memory
from facesiam.errors import named
from facesiam.nets.siamese import SiameseNet
from facesiam.training.loop import Training

FORWARDS = 20
"""How many forwards the latency is the median of, where they take less than MOST_SECONDS."""
MOST_SECONDS = 0.5


def inference_cost(net: SiameseNet, side: int, device: torch.device) -> dict[str, float]:
    """Return what a net costs in use, by the names of ``facesiam.config.costs``.

    The net and all random generators are left as they were.

    Args:
        net: on its device, in the precision that it is used in.
        side: pixels of a side of its images.
        device: of the net.
    """
    values = torch.linspace(0, 1, 2 * 3 * side * side, device=device)
    images = values.reshape(2, 3, side, side).to(net.dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    with _untouched(net, device):
        return {
            "params": params_of(net),
            "macs": _macs(net, images),
            "latency_ms": _latency_ms(net, images, device),
        }


def cost_in_training(training: Training) -> dict[str, float]:
    """Return the cost of the net of a training; nothing, and a note, where it cannot be measured.

    Raises:
        RuntimeError: the device has failed, or has no memory left.
    """
    try:
        return inference_cost(training.net, training.config.image_size, training.device)
    except Exception as error:
        if is_out_of_memory(error) or "cuda" in str(error).lower():
            raise
        training.notes.append(f"params, macs and latency_ms: not measured ({named(error)})")
        return {}


def params_of(net: SiameseNet) -> int:
    """Return the number of a net's parameters, without those of its loss."""
    own = set() if net.criterion is None else set(net.criterion.parameters())
    return sum(one.numel() for one in net.parameters() if one not in own)


def _compare(net: SiameseNet, images: Tensor) -> None:
    features = net.describe(images)
    net.logits(features[:1], features[1:])


class _Flops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what is computed within its ``with``, as torch's FlopCounterMode does.

    That one imports torch's compiler, which takes 1.7 s of a core in each worker.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Have torch not wrap the next method, which would import its compiler."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operator and count its products and sums."""
        out = func(*args, **(kwargs or {}))
        if flops_of := flop_registry.get(func._overloadpacket):
            self.total += int(flops_of(*args, **(kwargs or {}), out_val=out))
        return out


def _macs(net: SiameseNet, images: Tensor) -> int:
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the counter knows no fused attention
    counted = _Flops()
    try:
        with counted:
            _compare(net, images)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counted.total // 2  # a product and a sum


def _latency_ms(net: SiameseNet, images: Tensor, device: torch.device) -> float:
    """Return the median of FORWARDS forwards; of at least one, where they are slow."""

    def seconds() -> float:
        """Return the seconds of one forward."""
        begun = time.perf_counter()
        _compare(net, images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begun

    until = time.perf_counter() + MOST_SECONDS
    seconds()  # a first one allocates, and waits for what the GPU still has to do
    taken = [seconds()]
    while len(taken) < FORWARDS and time.perf_counter() < until:
        taken.append(seconds())
    return round(1000 * statistics.median(taken), 4)


@contextmanager
def _untouched(net: SiameseNet, device: torch.device) -> Iterator[None]:
    """Within its ``with``, have the net in evaluation mode; leave it and the generators as before.

    Without gradients, but not in inference mode: what a net of a plugin might keep of a forward
    could then not be trained with.
    """
    modes = [(part, part.training) for part in net.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        net.eval()
        try:
            yield
        finally:
            for part, mode in modes:
                part.training = mode
            for buffer, before in buffers:
                buffer.copy_(before)
