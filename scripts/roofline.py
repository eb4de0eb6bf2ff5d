"""What the hardware allows: the work of a step, and the rates of this machine, both without us.

A roofline is the convolutions and products of a step over the best rate of a matrix product in the
type that we compute in, plus Adam's traffic over the bandwidth of a copy. Nothing is taken to
overlap. `strict` takes the bandwidth of an update in place instead, the fastest stream we know of.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from reference_loop import PlainNet
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from facesiam.config import TrialConfig
from facesiam.nets import trunks

BYTES_A_WEIGHT = 28
"""Adam's: weight, gradient and two moments read, all but the gradient written, in fp32."""


TRIES = {"cpu": (7, 3.0), "cuda": (1000, 0.5)}
"""How many tries of a product or stream there are at most, and after how many seconds there is no
further one. A GPU that has been idle raises its clock only while it works."""


def best(work: Callable[[], Any], device: str, enough: float | None = None) -> float:
    """Return the least seconds of some tries of `work`, after one to warm up.

    Args:
        work: what is timed.
        device: where it runs.
        enough: seconds of counted tries after which there is no further one; None: of TRIES.
    """
    tries, most = TRIES[device]
    enough = most if enough is None else enough
    seconds: list[float] = []
    while len(seconds) <= tries and (len(seconds) < 2 or sum(seconds[1:]) < enough):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


SIDES = {"cpu": (1024, 2048, 4096), "cuda": (4096, 8192)}
"""Sides of the square matrices whose products are tried."""


def measure_machine(
    device: str, sides: Sequence[int] = (), numbers: int = 2**28
) -> dict[str, float]:
    """Return the rates that the roofline is made of: products in FLOP/s, streams in bytes/s.

    Args:
        device: cpu or cuda.
        sides: of the matrices; none: SIDES.
        numbers: of fp32 in each of the two arrays that are streamed; 1 GiB.
    """
    rates = {
        f"{name}_product": best_product(dtype, device, sides or SIDES[device])
        for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32))
    }
    a, b = (torch.ones(numbers, device=device) for _ in range(2))
    rates["copy"] = 2 * a.nbytes / best(lambda: b.copy_(a), device)
    rates["update"] = 3 * a.nbytes / best(lambda: b.add_(a), device)
    return rates


def best_product(dtype: torch.dtype, device: str, sides: Sequence[int]) -> float:
    """Return the FLOP/s of the fastest product of square matrices of these sides.

    A processor without bf16 of its own takes minutes where others take a tenth of a second: what
    is slow when small is not tried larger.
    """
    found = 0.0
    for side in sides:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        seconds = best(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device)
        found = max(found, 2 * side**3 / seconds)
        if seconds > 1:
            break
    return found


def work_of_a_step(config: TrialConfig) -> tuple[float, int]:
    """Return the FLOPs of an update that computes each image once, and its trainable weights."""
    if config.join == "cosine":
        return work_of_a_trunk(config)
    with torch.device("meta"):
        net = PlainNet(config)
        triplets = config.protocol == "frontal-triplets"
        size, images = config.batch_size, 3 if triplets else 2
        batch = torch.empty(images * size, 3, config.image_size, config.image_size)
        with FlopCounterMode(display=False) as counter:
            features = net.features(batch)
            pairs = size * (images - 1)
            left, right = features[:size].repeat(images - 1, 1), features[size:]
            assert len(right) == pairs
            net.head(net.join(left, right)).sum().backward()
    return float(counter.get_total_flops()), sum(p.numel() for p in net.parameters())


def work_of_a_trunk(config: TrialConfig) -> tuple[float, int]:
    """Return the FLOPs of an update of an embedding net, and its trunk's weights.

    Of convolutions and products, attention's among them, three times the forward pass; a grouped
    convolution, which FlopCounterMode takes for a whole one, is worked out here.
    """
    convolutions = 0.0

    def count(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal convolutions
        convolutions += 2 * output.numel() * layer.weight[0].numel()

    trunk = trunks.without_values(config.net)
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    size = config.image_size
    # In training: attention that only predicts is one operation, which nobody counts.
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        trunk.train()(torch.empty(config.batch_size, 3, size, size, device="meta"))
    products = sum(
        flops
        for operation, flops in counter.get_flop_counts()["Global"].items()
        if "convolution" not in str(operation)
    )
    return 3 * (convolutions + products), sum(p.numel() for p in trunk.parameters())
