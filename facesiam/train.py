"""The trainer: ``epochs(config, data)`` yields one EpochMetrics after each epoch.

Everything random in an epoch (order, augmentation, dropout) is drawn from (seed, epoch) alone, so
a run that is resumed between two epochs goes on exactly as one that was never interrupted, and two
runs in one process do not disturb each other.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from facesiam.augment import AUGMENTS
from facesiam.config import EpochMetrics, TrialConfig
from facesiam.data import FaceData, Pairs
from facesiam.device import wants_bf16
from facesiam.losses import LOSSES
from facesiam.models import SiameseNet, WeightsError, build, read_weights
from facesiam.vitals import GradientWatch, LiveUnits, logit_spread

EVAL_IMAGES = 64
"""Images a forward pass of validation takes at once: enough for every net to be busy."""
EVAL_PAIRS = 512


class Batch(NamedTuple):
    """One update: each image once, and the pairs between them."""

    images: Tensor  # (B, 3, S, S) float in [0, 1]
    left: Tensor  # (P,) positions in images
    right: Tensor  # (P,)
    label: Tensor  # (P,) 0 same, 1 different


class Training(Iterator[EpochMetrics]):
    """A training run: iterate for its epochs, ``state`` between two of them to save it."""

    def __init__(
        self, config: TrialConfig, data: FaceData, weights: Mapping[str, str] | None = None,
        device: str | None = None,
    ) -> None:
        self.config = config
        self.epoch = 0
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.bf16 = wants_bf16(config, self.device)
        if self.device.type == "cpu":
            _keep_freed_memory()
        net = build(config, weights).to(self.device)
        self.net: SiameseNet = net.to(memory_format=torch.channels_last)
        trained = [p for p in self.net.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(
            trained, lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        limits: dict[str, Any] = {"people": config.people, "seed": config.pair_seed}
        self.train_pairs = data.pairs(config.protocol, "train", **limits)
        self.val_pairs = data.pairs(config.protocol, "val", **limits)
        source = data.pixels(self.train_pairs.geometry)
        self.pixels = Pixels(source, config.image_size, self.device)

    def __next__(self) -> EpochMetrics:
        """Train and validate one epoch.

        The first loss that is not finite ends the epoch early; it is reported as it is, and what
        to do about it is the caller's decision.
        """
        if self.epoch >= self.config.epochs:
            raise StopIteration
        _reset_peak_memory(self.device)
        start = time.perf_counter()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            training, pairs = self._train()
        trained = time.perf_counter()
        validation = self._validate()
        metrics = EpochMetrics(
            epoch=self.epoch,
            **training, **validation,
            val_pairs=len(self.val_pairs.label),
            seconds=time.perf_counter() - start,
            samples_per_second=pairs / (trained - start),
            peak_memory_mib=_peak_memory_mib(self.device),
        )
        self.epoch += 1
        return metrics

    def state(self) -> dict[str, Any]:
        """Return what ``load`` needs to go on after the last epoch: tensors, plain values."""
        return {
            "config": self.config.to_dict(), "epoch": self.epoch,
            "model": self.net.state_dict(), "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state`` of a run with the same settings (`epochs` may differ).

        Raises:
            ValueError: the state belongs to other settings.
        """
        mine, theirs = self.config.to_dict(), dict(state["config"])
        differ = [k for k in mine if k != "epochs" and mine[k] != theirs.get(k)]
        if differ:
            raise ValueError(f"the saved state has other settings: {', '.join(differ)}")
        self.net.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = int(state["epoch"])

    def _train(self) -> tuple[dict[str, Any], int]:
        """Train an epoch; return the metrics of its steps and how many pairs they had."""
        config = self.config
        seeds = np.random.SeedSequence([config.seed, self.epoch]).generate_state(2)
        torch.manual_seed(int(seeds[0]))  # dropout
        generator = torch.Generator().manual_seed(int(seeds[1]))
        loss_of, autocast = LOSSES[config.loss], self._autocast()
        self.net.train()
        total = torch.zeros(2, dtype=torch.float64, device=self.device)  # loss, right answers
        seen, watch = 0, GradientWatch(self.net.trunk, self.device)
        for batch in self._batches(generator):
            with autocast:
                features = self.net.embed(batch.images)
                logits = self.net.judge(features[batch.left], features[batch.right]).float()
            loss = loss_of(logits, batch.label)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            watch.look()
            self.optimizer.step()
            with torch.no_grad():
                right = judged_right(logits, batch.label).sum()
                pairs = len(batch.label)
                total += torch.stack([loss.detach() * pairs, right])
            seen += pairs
            # Asking a GPU for the value would make it wait each step; there the epoch runs out.
            if self.device.type == "cpu" and not torch.isfinite(loss):
                break
        mean = (total / seen).tolist()
        return {"train_loss": mean[0], "train_acc": mean[1], **watch.report()}, seen

    def _batches(self, generator: torch.Generator) -> Iterator[Batch]:
        pairs, size = self.train_pairs, self.config.batch_size
        move = AUGMENTS[self.config.protocol] if self.config.augment else None
        for chosen in torch.split(_order(pairs, self.config.loss, generator), size):
            indices, left, right, label = _wire(pairs, chosen)
            images = self.pixels.batch(indices)
            if move:
                images = move(images, generator)
            yield Batch(images, *(t.to(self.device) for t in (left, right, label)))

    def _validate(self) -> dict[str, Any]:
        with LiveUnits(self.net) as live:
            logits = pair_logits(self.net, self.pixels, self.val_pairs, self._autocast())
        label = torch.from_numpy(self.val_pairs.label)
        loss, right = F.cross_entropy(logits, label), judged_right(logits, label).double().mean()
        return {
            "val_loss": loss.item(), "val_acc": right.item(),
            **live.report(), "logit_spread": logit_spread(logits),
        }

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


def epochs(
    config: TrialConfig, data: FaceData, weights: Mapping[str, str] | None = None,
    device: str | None = None,
) -> Training:
    """Train with `config` on `data`, yielding the metrics of each epoch.

    Args:
        config: every setting of the run.
        data: opened, packed data.
        weights: file of pretrained weights per net name; needed where `pretrained`.
        device: cuda or cpu; None: CUDA where there is one.

    Raises:
        WeightsError: pretrained weights are missing or do not fit.
        DataError: a part has no pairs under these settings.
    """
    return Training(config, data, weights, device)


class Pixels:
    """The packed images on the device that trains, handed out as float batches."""

    def __init__(
        self, source: NDArray[np.uint8], image_size: int, device: torch.device
    ) -> None:
        self.source = source  # (N, 224, 224, 3), usually memory-mapped
        self.image_size, self.device = image_size, device
        self.resident = _on_gpu(source, device) if device.type == "cuda" else None

    def batch(self, indices: Tensor) -> Tensor:
        """Gather images: (B,) int64 → (B, 3, S, S) float32 in [0, 1], channels last."""
        if self.resident is not None:
            raw = self.resident[indices.to(self.device)]
        else:
            raw = torch.from_numpy(self.source[indices.numpy()])
        images = raw.permute(0, 3, 1, 2).float().div_(255)
        if self.image_size < images.shape[-1]:
            images = F.interpolate(images, size=self.image_size, mode="area")
        return images.contiguous(memory_format=torch.channels_last)


_gpu_pixels: dict[str, Tensor] = {}


def _on_gpu(source: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Copy the packed images to the GPU once a process; one geometry is kept."""
    key = str(getattr(source, "filename", id(source)))
    if key not in _gpu_pixels:
        _gpu_pixels.clear()
        _gpu_pixels[key] = torch.from_numpy(np.array(source)).to(device)
    return _gpu_pixels[key]


@torch.inference_mode()
def pair_logits(
    net: SiameseNet, pixels: Pixels, pairs: Pairs, autocast: torch.autocast
) -> Tensor:
    """Return logits (P, 2) float32 on the CPU; each image passes the trunk once."""
    net.eval()
    images, where = np.unique(np.concatenate([pairs.left, pairs.right]), return_inverse=True)
    left, right = torch.from_numpy(where.reshape(2, -1)).to(pixels.device)
    with autocast:
        features = torch.cat(
            [
                net.embed(pixels.batch(part))
                for part in torch.split(torch.from_numpy(images), EVAL_IMAGES)
            ]
        )
        logits = [
            net.judge(features[a], features[b]).float()
            for a, b in zip(
                torch.split(left, EVAL_PAIRS), torch.split(right, EVAL_PAIRS), strict=True
            )
        ]
    return torch.cat(logits).cpu()


def predict(
    net: SiameseNet, config: TrialConfig, source: NDArray[np.uint8], pairs: Pairs
) -> NDArray[np.float64]:
    """Return the probability of "same person" for each pair, (P,) in [0, 1].

    Args:
        net: on the device it shall run on.
        config: its settings.
        source: (N, 224, 224, 3) the images that `pairs` points into.
        pairs: the pairs to judge.
    """
    device = next(net.parameters()).device
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=wants_bf16(config, device))
    logits = pair_logits(net, Pixels(source, config.image_size, device), pairs, autocast)
    same = torch.sigmoid((logits[:, 0] - logits[:, 1]).double())
    return same.numpy()


def judged_right(logits: Tensor, label: Tensor) -> Tensor:
    """Say per pair whether the verdict is right, (P, 2) and (P,) → (P,) bool.

    The verdict is "same" where the first logit is higher, else "different"; NaN is never right.
    """
    same, different = logits[:, 0] > logits[:, 1], logits[:, 0] <= logits[:, 1]
    return torch.where(label == 0, same, different)


def save_model(path: Path, net: SiameseNet, config: TrialConfig, **info: float | str) -> None:
    """Write weights, settings and `info` to one file, atomically; ``load_model`` reads it."""
    save_atomically({"config": config.to_dict(), "model": net.state_dict(), **info}, path)


def load_model(path: str | Path) -> tuple[SiameseNet, TrialConfig, dict[str, Any]]:
    """Read a file of ``save_model``: the net in evaluation mode, its settings, the rest.

    Raises:
        WeightsError: no such file, code in it, or not written by this project.
    """
    state = read_weights(Path(path))
    if not isinstance(state, dict) or not {"config", "model"} <= state.keys():
        raise WeightsError(f"{path}: not a model file of facesiam (it lacks config and model)")
    config = TrialConfig.from_dict(state.pop("config"))
    with torch.random.fork_rng(devices=[]):  # its first weights are replaced at once
        net = SiameseNet(config)
    try:
        net.load_state_dict(state.pop("model"))
    except RuntimeError as error:
        raise WeightsError(f"{path}: weights and settings disagree ({error})") from None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return net.to(device, memory_format=torch.channels_last).eval(), config, state  # type: ignore[call-overload]


def save_atomically(state: Mapping[str, Any], path: Path) -> None:
    """torch.save to `path` by way of a neighbour, so that a kill never leaves half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(dict(state), partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _order(pairs: Pairs, loss: str, generator: torch.Generator) -> Tensor:
    """Shuffle triplets or pairs; under the loss `two` positives and negatives alternate."""
    if pairs.triplets is not None:
        return torch.randperm(len(pairs.triplets), generator=generator)
    if loss == "single":
        return torch.randperm(len(pairs.label), generator=generator)
    kinds = [torch.from_numpy(np.flatnonzero(pairs.label == kind)) for kind in (0, 1)]
    shuffled = [kind[torch.randperm(len(kind), generator=generator)] for kind in kinds]
    even = min(len(kind) for kind in shuffled)
    return torch.stack([kind[:even] for kind in shuffled], 1).flatten()


def _wire(pairs: Pairs, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the images of a batch, each once, and left, right and label of its pairs."""
    n = len(chosen)
    position = torch.arange(n)
    if pairs.triplets is not None:
        indices = torch.from_numpy(pairs.triplets)[chosen].T.flatten()  # anchors, same, other
        left, right = position.repeat(2), torch.cat([position + n, position + 2 * n])
        return indices, left, right, torch.arange(2).repeat_interleave(n)
    ends = [torch.from_numpy(side)[chosen] for side in (pairs.left, pairs.right)]
    return torch.cat(ends), position, position + n, torch.from_numpy(pairs.label)[chosen]


@functools.cache
def _keep_freed_memory() -> None:
    """Have glibc keep freed memory instead of handing it back to the kernel at every step.

    The gradient of a head layer is 150 MB: returned and asked for again each step, its page faults
    took a third of the time (AlexNet difference, 2 cores: 0.91 s a step before, 0.61 s after).
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for name, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1)):
        libc.mallopt(name, value)


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def _reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM
        except OSError:
            pass  # a hardened kernel: the peak is then that of the whole process


def _peak_memory_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes
