"""CPU seconds of each part of a training step, and of an epoch, with the settings of a space file.

    python scripts/bench_parts.py spaces/cpu.yaml --set freeze_stages=2 --set precision=bf16

One thread is used and CPU time counted, so that other programs disturb little. The settings are
those of the space's first example. Pretrained weights change no time and are not loaded.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from contextlib import nullcontext
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from facesiam.config import TrialConfig, Value
from facesiam.config.settings import positive
from facesiam.data.preparation import prepare
from facesiam.errors import UserError
from facesiam.evaluation.predict import EVAL_IMAGES
from facesiam.nets import convolutions
from facesiam.training import loop
from facesiam.training.augment import augmented
from facesiam.training.batch_loss import batch_loss
from search.space import load
from search.space.overrides import assigned

PARTS = ("fetch", "augment", "frozen", "forward", "loss", "backward", "update")
"""Pixels as floats of `image_size`; augmentation; the trunk before its first layer that trains,
and from there on; the loss; its gradients; the optimizer."""


def parts_of(training: loop.Training, steps: int) -> dict[str, float]:
    """Return the median CPU seconds of each part, of so many steps after two more."""
    now, net, batches = time.process_time, training.net, training.batches
    net.train()
    times: dict[str, list[float]] = defaultdict(list)
    began = [0.0]
    first = first_that_trains(net.trunk)
    hook = first.register_forward_pre_hook(lambda *_: began.__setitem__(0, now()))
    order = training._batches()
    for number in range(2 + steps):
        (chosen, draws), _ = next(order)
        indices = batches.images(chosen)
        at = [now()]
        images = training.pixels.batch(indices)
        at.append(now())
        if len(draws):
            images = augmented(images, draws, batches.turnable[indices], training.config)
        images = images.to(training.dtype, memory_format=torch.channels_last)
        at.append(now())
        features = net.vectors(images)
        at += [began[0], now()]
        loss, _, _ = batch_loss(net, batches, features, chosen, indices)
        at.append(now())
        loss.backward()
        at.append(now())
        training.optimizer.step()
        at.append(now())
        if number >= 2:
            for part, (start, end) in zip(PARTS, pairwise(at), strict=True):
                times[part].append(end - start)
    hook.remove()
    return {part: statistics.median(values) for part, values in times.items()}


def first_that_trains(trunk: nn.Module) -> nn.Module:
    """Return the first layer with a parameter of its own that gets a gradient."""
    return next(
        layer
        for layer in trunk.modules()
        if any(parameter.requires_grad for parameter in layer.parameters(recurse=False))
    )


def validation_of(training: loop.Training) -> float:
    """Return the CPU seconds of a validation, by those of one batch of its images."""
    pairs, pixels, few = training.val_pairs, training.pixels, EVAL_IMAGES["cpu"]
    images = np.unique(np.concatenate([pairs.left, pairs.right]))
    part = torch.from_numpy(images[:few])
    training.net.eval()
    times = []
    with torch.inference_mode():
        for _ in range(4):
            start = time.process_time()
            training.net.describe(pixels.batch(part, training.net.dtype))
            times.append(time.process_time() - start)
    return statistics.median(times[1:]) * len(images) / len(part)


def config_of(space: str, assignments: list[str]) -> TrialConfig:
    """Return the settings to time."""
    settings: dict[str, Value] = next(load(space).examples())
    pinned, _ = assigned(assignments)
    return TrialConfig.from_dict({**settings, **pinned, "pretrained": False})


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("space", help="a space file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data", default="drawn", help="CFP zip or folder; default: drawn")
    parser.add_argument("--steps", type=positive, default=6, help="steps that count")
    parser.add_argument("--without-pieces", action="store_true", help="with torch's own gradients")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        config = config_of(args.space, args.set)
        data = prepare(args.data, [config.packing], progress=False)
        training = loop.Training(config, data, device="cpu")
    except UserError as error:
        parser.exit(2, f"{error}\n")
    plain: Any = patch.object(convolutions, "is_slow", lambda *_: False)
    with plain if args.without_pieces else nullcontext():
        found = parts_of(training, args.steps)
    step, validation = sum(found.values()), validation_of(training)
    steps = training.batches.per_epoch
    print("  ".join(f"{part} {seconds:.3f}" for part, seconds in found.items()))
    print(
        f"step {step:.3f} s, validation {validation:.1f} s, epoch of {steps} steps "
        f"{steps * step + validation:.1f} s"
    )


if __name__ == "__main__":
    main()
