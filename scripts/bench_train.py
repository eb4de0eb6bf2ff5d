"""How fast we train, beside a notebook's loop, and beside what the hardware allows.

    python scripts/bench_train.py                          drawn faces, AlexNet, both joins
    python scripts/bench_train.py --data cfp-dataset.zip --cases alexnet/difference --rounds 10
    python scripts/bench_train.py --without allocator      what one of our measures brings
    python scripts/bench_train.py --device cuda --cases all --json
    python scripts/bench_train.py --cases nets --steps 2 --rounds 3       other nets, embeddings

The reference is what the documents' notebooks did: fp32, contiguous tensors, each image of a pair
through the net on its own, every JPEG decoded at each access, Adam parameter by parameter, the
loss fetched at every step. It and ours live in processes of their own, as allocator settings are a
process's, and take turns, a block of steps each, so that both meet the same machine. Both are
timed end to end, data included, without validation.

The roofline is arithmetic with rates that are measured first: the convolutions and products of a
step over the best rate of a matrix product in the type that we compute in, plus Adam's traffic (28
bytes a weight: weight, gradient and two moments read, all but the gradient written, in fp32) over
the bandwidth of a copy. Nothing is taken to overlap. `strict` takes the bandwidth of an update in
place instead, the fastest stream we know of.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from facesiam import device as devices
from facesiam import models, synthetic, train, trunks
from facesiam.archive import Source, open_source
from facesiam.config import ConfigError, TrialConfig, positive
from facesiam.data import DataError, FaceData, cache_root, open_packed, prepare
from facesiam.optimizer import Masters
from facesiam.packing import GEOMETRIES, decode

CASES = (
    "alexnet/difference", "alexnet/concat", "vgg16_bn/difference", "vgg16_bn/concat",
    "vgg16_bn/linear",
)
NETS = tuple(f"{net}/cosine" for net in (
    "resnet18", "resnet50", "resnext50_32x4d", "densenet121", "googlenet", "mobilenet_v3_large",
    "efficientnet_b0", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2",
    "convnext_tiny", "swin_t", "vit_b_16",
))  # fmt: skip
"""Embedding nets that `--cases nets` times, ours alone: ArcFace on batches of four images each of
some people, one image counting as a pair. Any other net of facesiam can be named so as well."""
BYTES_A_WEIGHT = 28
WARM_UP = 2
"""Blocks that are not counted."""


class Notebook:
    """The documents' training loop."""

    def __init__(self, config: TrialConfig, data: FaceData, source: Source, device: str) -> None:
        self.config, self.data, self.source, self.device = config, data, source, device
        self.net = PlainNet(config).to(device)
        self.adam = torch.optim.Adam(
            self.net.parameters(), lr=config.lr, foreach=False, fused=False
        )
        self.pairs = data.pairs(config.protocol, "train", people=config.people)
        self.order = np.random.default_rng(config.seed)

    def measure(self, steps: int) -> float:
        """Train so many updates; return pairs a second."""
        start, pairs = time.perf_counter(), 0
        for _ in range(steps):
            pairs += self._update()
        return pairs / (time.perf_counter() - start)

    def _update(self) -> int:
        triplets, size = self.pairs.triplets, self.config.batch_size
        if triplets is not None:
            chosen = triplets[self.order.choice(len(triplets), size)]
            anchor, same, other = (self._load(column) for column in chosen.T)
            kinds = [(anchor, same, 0), (anchor, other, 1)]
            losses = [self._loss(a, b, torch.full((size,), kind)) for a, b, kind in kinds]
        else:
            chosen = self.order.choice(len(self.pairs.label), size)
            sides = [self._load(side[chosen]) for side in (self.pairs.left, self.pairs.right)]
            losses = [self._loss(*sides, torch.from_numpy(self.pairs.label[chosen]))]
        loss = torch.stack(losses).mean()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        loss.item()
        return size * len(losses)

    def _loss(self, left: Tensor, right: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(self.net(left, right), label.to(self.device))

    def _load(self, indices: np.ndarray[Any, np.dtype[np.int64]]) -> Tensor:
        """Decode, fit and scale each image, (B, 3, 224, 224)."""
        fit = GEOMETRIES[self.config.geometry]
        images = [
            torch.from_numpy(np.array(fit(decode(self.source.read(self.data.names[i])))))
            .permute(2, 0, 1).contiguous().float().div(255)
            for i in indices
        ]
        return torch.stack(images).to(self.device)


class PlainNet(nn.Module):
    """Torchvision's trunk, run on each image of a pair, and the documents' head."""

    def __init__(self, config: TrialConfig) -> None:
        super().__init__()
        net = models.SiameseNet(config)
        self.trunk = trunks.MODELS[config.net].make().features
        self.reduce, self.join, self.head = net.reduce, models.JOINS[net.join], net.head

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, 3, 224, 224) twice → (B, 2)."""
        features = [self.reduce(self.trunk(images).flatten(1)) for images in (left, right)]
        return self.head(self.join(*features))


class Ours:
    """The product's trainer."""

    def __init__(self, config: TrialConfig, data: FaceData, source: Source, device: str) -> None:
        self.training = train.epochs(config, data, device=device)
        self.measure = self.training.measure


WITHOUT: dict[str, Callable[[], Any]] = {
    "allocator": lambda: patch.object(train, "keep_freed_memory", lambda: None),
    "early": lambda: patch.object(
        train, "Masters", lambda *a, trunk, early: Masters(*a, trunk)
    ),
    "blocks": lambda: patch.object(trunks, "_in_blocks", lambda conv: conv),
    "bf16": lambda: patch.object(train, "dtype_of", lambda *a: torch.float32),
    "graphs": lambda: patch.object(train, "Captured", lambda: None),
    "nothing": nullcontext,
}
"""Our measures that can be left out, each alone."""


def serve(
    pipe: Connection, kind: str, config: TrialConfig, folder: str, source: str, device: str,
    threads: int, without: str,
) -> None:
    """Run in a process of its own: train a block of steps for each number that comes in."""
    torch.set_num_threads(threads)
    side = {"ours": Ours, "reference": Notebook}[kind]
    with WITHOUT[without if kind == "ours" else "nothing"]():
        trainer = side(config, open_packed(folder), open_source(Path(source)), device)
    target = torch.device(device)
    while steps := pipe.recv():
        if isinstance(steps, int):
            pipe.send(trainer.measure(steps))
        else:
            pipe.send(devices.peak_memory_mib(target))
        devices.reset_peak_memory(target)


class Side:
    """The other end of ``serve``."""

    def __init__(self, kind: str, *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, kind, *args), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, what: int | str) -> float:
        """Return pairs a second over so many steps, or the peak of memory in MiB."""
        self.pipe.send(what)
        return float(self.pipe.recv())

    def stop(self) -> None:
        """End the process."""
        self.pipe.send(None)
        self.process.join(30)


def in_turn(sides: dict[str, Side], steps: int, rounds: int) -> dict[str, list[float]]:
    """Time blocks of `steps` steps of each side in turn; return pairs a second by side."""
    rates: dict[str, list[float]] = {kind: [] for kind in sides}
    for number in range(WARM_UP + rounds):
        for kind in sorted(sides, reverse=bool(number % 2)):
            rate = sides[kind].ask(steps)
            if number >= WARM_UP:
                rates[kind].append(rate)
    return rates


def best(work: Callable[[], Any], device: str, tries: int = 7) -> float:
    """Return the least seconds of some tries of `work`, after one to warm up."""
    seconds = []
    for _ in range(tries + 1):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def measure_machine(device: str) -> dict[str, float]:
    """Return the rates that the roofline is made of: products in FLOP/s, streams in bytes/s."""
    rates: dict[str, float] = {}
    sides = (2048, 4096) if device == "cpu" else (4096, 8192)
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        found = []
        for side in sides:
            a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
            out = torch.empty_like(a)
            work = lambda a=a, b=b, out=out: torch.mm(a, b, out=out)  # noqa: E731
            found.append(2 * side**3 / best(work, device))
        rates[f"{name}_product"] = max(found)
    a, b = (torch.ones(2**28, device=device) for _ in range(2))  # 1 GiB each
    rates["copy"] = 2 * a.nbytes / best(lambda: b.copy_(a), device)
    rates["update"] = 3 * a.nbytes / best(lambda: b.add_(a), device)
    return rates


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
            features = net.reduce(net.trunk(batch).flatten(1))  # type: ignore[operator]
            pairs = size * (images - 1)
            left, right = features[:size].repeat(images - 1, 1), features[size:]
            assert len(right) == pairs
            net.head(net.join(left, right)).sum().backward()  # type: ignore[operator]
    return float(counter.get_total_flops()), sum(p.numel() for p in net.parameters())


def work_of_a_trunk(config: TrialConfig) -> tuple[float, int]:
    """Return the FLOPs of an update of an embedding net, and its trunk's weights.

    Of convolutions and linear layers, three times the forward pass; FlopCounterMode takes grouped
    convolutions for whole ones.
    """
    found = 0.0

    def count(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal found
        found += 2 * output.numel() * layer.weight[0].numel()  # type: ignore[index, operator]

    with torch.device("meta"), torch.no_grad():
        trunk = trunks.Pooled(trunks.MODELS[config.net].make()).eval()
        for layer in trunk.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(count)
        trunk(torch.empty(config.batch_size, 3, config.image_size, config.image_size))
    return 3 * found, sum(p.numel() for p in trunk.parameters())


def measure_case(
    case: str, options: argparse.Namespace, data: FaceData, source: str,
    machine: dict[str, float],
) -> dict[str, Any]:
    """Time one net and join on both sides and hold ours against the roofline."""
    config = case_config(case, options)
    args = (config, str(data.folder), source, options.device, options.threads, options.without)
    alone = options.ours or config.join == "cosine"
    kinds = ["ours"] if alone else ["ours", "reference"]
    sides = {kind: Side(kind, *args) for kind in kinds}
    rates = in_turn(sides, options.steps, options.rounds)
    memory = {kind: side.ask("memory") for kind, side in sides.items()}
    for side in sides.values():
        side.stop()
    flops, weights = work_of_a_step(config)
    bf16 = devices.wants_bf16(config, torch.device(options.device)) and options.without != "bf16"
    product = machine["bf16_product" if bf16 else "fp32_product"]
    floors = {
        name: flops / product + BYTES_A_WEIGHT * weights / machine[stream]
        for name, stream in (("roofline", "copy"), ("strict", "update"))
    }
    triplets = config.protocol == "frontal-triplets" and not config.images_per_person
    pairs = config.batch_size * (2 if triplets else 1)
    step = pairs / statistics.median(rates["ours"])
    found: dict[str, Any] = {
        "case": case, "bf16": bf16, "gflop_per_step": flops / 1e9, "weights": weights,
        "step_seconds": step, "memory_mib": memory,
        "product_share": flops / product / step,
        **{f"{name}_share": floor / step for name, floor in floors.items()},
        **{f"{kind}_pairs_per_second": statistics.median(r) for kind, r in rates.items()},
    }
    if not alone:
        ratios = [a / b for a, b in zip(rates["ours"], rates["reference"], strict=True)]
        found |= {
            "ratio": statistics.mean(ratios),
            "ratio_std": statistics.stdev(ratios) if len(ratios) > 1 else None,
        }
    return found


def case_config(case: str, options: argparse.Namespace) -> TrialConfig:
    """Return the settings of NET/JOIN, as the documents' rows have them."""
    net, _, join = case.partition("/")
    if join == "cosine":
        return TrialConfig.from_dict({
            "net": net, "join": join, "loss": "arcface", "images_per_person": 4,
            "views": "all", "batch_size": options.batch, "augment": options.augment,
            "protocol": options.protocol, "people": options.people,
            "image_size": options.image_size, "optimizer": "adamw",
        })
    return TrialConfig.from_dict({
        "net": net, "join": join, "batch_size": options.batch, "augment": options.augment,
        "protocol": options.protocol,
        "loss": "two" if "triplets" in options.protocol else "single",
        "people": options.people, "image_size": options.image_size, "hidden": options.hidden,
    })


def as_text(found: dict[str, Any]) -> Iterator[str]:
    """Say the figures in a table."""
    machine = found["machine"]
    yield (
        "{device}, {threads} threads, batches of {batch} {protocol}, augment {augment}, without "
        "{without}; torch {torch}, Python {python}"
    ).format(**found)
    yield (
        f"measured: bf16 product {machine['bf16_product'] / 1e12:.2f} TFLOP/s, fp32 "
        f"{machine['fp32_product'] / 1e12:.2f}, copy {machine['copy'] / 1e9:.1f} GB/s, update in "
        f"place {machine['update'] / 1e9:.1f} GB/s"
    )
    yield f"n = {found['rounds']} rounds × {found['steps']} steps; ratio: mean ± std of rounds"
    for case in found["cases"]:
        ratio = ""
        if "ratio" in case:
            spread = f" ± {case['ratio_std']:.2f}" if case["ratio_std"] is not None else ""
            ratio = (
                f"; reference {case['reference_pairs_per_second']:.1f}, "
                f"{case['memory_mib']['reference']:.0f} MiB; ratio {case['ratio']:.2f}{spread}"
            )
        yield (
            f"{case['case']:20s} {case['ours_pairs_per_second']:7.1f} pairs/s, "
            f"{1000 * case['step_seconds']:.0f} ms a step, {case['memory_mib']['ours']:.0f} MiB"
            f"{ratio}; roofline {case['roofline_share']:.0%}, strict {case['strict_share']:.0%}"
        )


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="drawn", help="CFP zip or folder; default: drawn")
    parser.add_argument(
        "--cases", default=",".join(CASES[:2]),
        help=f"all, nets, or some of {', '.join(CASES)}, NET/cosine",
    )
    parser.add_argument("--protocol", default="frontal-triplets",
                        choices=["frontal-triplets", "cfp-pairs"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu",
                        choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=positive, default=torch.get_num_threads())
    parser.add_argument("--steps", type=positive, default=4, help="updates a block")
    parser.add_argument("--rounds", type=positive, default=8, help="blocks of each side")
    parser.add_argument("--batch", type=positive, default=16)
    parser.add_argument("--people", type=int, default=0, help="first N people; 0: everyone")
    parser.add_argument("--image-size", type=positive, default=224)
    parser.add_argument("--hidden", type=positive, default=4096)
    parser.add_argument("--augment", action="store_true", help="ours only; the reference never")
    parser.add_argument("--ours", action="store_true", help="no reference")
    parser.add_argument("--without", default="nothing", choices=WITHOUT)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    named = {"all": CASES, "nets": NETS}
    cases = list(named.get(options.cases, options.cases.split(",")))
    known = {*CASES, *(f"{net}/cosine" for net in trunks.MODELS)}
    if unknown := [case for case in cases if case not in known]:
        parser.error(f"--cases {unknown[0]}: not one of {', '.join(CASES)}, NET/cosine, nets, all")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is no GPU that torch can use")
    torch.set_num_threads(options.threads)
    try:
        configs = [case_config(case, options) for case in cases]
        geometries = ["letterbox" if "triplets" in options.protocol else "squeeze"]
        data = prepare(options.data, geometries, progress=not options.json)  # type: ignore[arg-type]
        source = options.data
        if source == "drawn":
            source = str(synthetic.draw(cache_root() / synthetic.folder_name(), progress=False))
    except (DataError, ConfigError) as error:
        print(error, file=sys.stderr)
        return 2
    machine = measure_machine(options.device)
    found = {
        **{name: getattr(options, name) for name in (
            "device", "threads", "protocol", "batch", "augment", "without", "rounds", "steps",
        )},
        "machine": machine, "torch": torch.__version__, "python": platform.python_version(),
        "gpu": devices.gpu_names()[:1], "seed": dataclasses.asdict(configs[0])["seed"],
        "cases": [measure_case(case, options, data, source, machine) for case in cases],
    }
    print(json.dumps(found) if options.json else "\n".join(as_text(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
