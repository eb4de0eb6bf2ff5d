"""A greedy soup of trained nets: one net whose weights are the mean of theirs.

Source: M. Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves
accuracy without increasing inference time", ICML 2022, recipe 1. Their nets have no batch-norm;
the running statistics of ours are measured anew on the training images, as P. Izmailov et al. do,
"Averaging weights leads to wider optima and better generalization", UAI 2018, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facesiam.config import TrialConfig
from facesiam.config.metrics import ENDS
from facesiam.data.dataset import FaceData
from facesiam.device.image_store import ImageStore
from facesiam.errors import DataError
from facesiam.nets.checkpoint import load_model, model_of
from facesiam.nets.siamese import SiameseNet
from facesiam.objective import Objective
from facesiam.training.validation import Validation

ALWAYS = ("val_acc", "val_auc")
"""What is noted of a soup besides the metric that decides."""
VALIDATED = ("threshold", "slope", "cohort")
"""What belongs to a net's weights, and is set anew before each validation."""
LEAST_IMAGES = 64
"""Images of a batch, or more, over which batch-norm's statistics are measured."""


@dataclass
class Soup:
    """The mean of some nets, and how it came about."""

    config: TrialConfig
    """Of the first net; the others' settings of training may differ."""
    weights: dict[str, Tensor]
    """In full precision, with the threshold that the validation pairs decide."""
    scores: dict[str, float]
    """On validation pairs: what decides, the ends of its interval, and what is ALWAYS noted."""
    members: list[str]
    tried: list[dict[str, Any]] = field(default_factory=list)
    """Of each net after the first: its `trial`, the `score` with it, whether it was `added`."""


def greedy_soup(
    files: Mapping[str, Path],
    data: FaceData,
    objective: Objective,
    show: Callable[[str, Mapping[str, float], bool], None] = lambda trial, scores, added: None,
) -> Soup:
    """Begin with the first net, and add each of the others if validation is not worse with it.

    Args:
        files: model file by trial, the best first; nets of one architecture and of the same pairs.
        data: opened data.
        objective: what decides, a metric of validation or of a plugin; the settings of the first
            net say on which pairs and at which rate of false accepts.
        show: called with each net after the first, the scores with it, and whether it was added.

    Raises:
        DataError: the first net's score is no number.
        WeightsError: a file is missing, or is no model file.
    """
    (first, file), *others = files.items()
    net, config, _ = load_model(file)
    judge = _Judge(config, data, objective.metric)
    soup = Soup(config, _full(file), judge(net), [first])
    best = soup.scores[objective.metric]
    if math.isnan(best):
        raise DataError(f"{file}: its {objective.metric} on the validation pairs is no number")
    soup.weights |= _threshold(net)
    parts = [soup.weights]
    for trial, file in others:
        mean = mean_of([*parts, _full(file)])
        net, _, _ = model_of(file, {"config": config.to_dict(), "model": dict(mean)})
        mean |= renew_statistics(net, config, data)
        scores = judge(net)
        score = scores[objective.metric]
        added = objective.key(score) >= objective.key(best)
        soup.tried.append({"trial": trial, "score": score, "added": added})
        show(trial, scores, added)
        if added:
            parts.append(_full(file))
            soup.members.append(trial)
            soup.weights, soup.scores, best = mean | _threshold(net), scores, score
    return soup


class _Judge:
    """Sets a net's cohort and threshold, where it has them; validates it as a training does."""

    def __init__(self, config: TrialConfig, data: FaceData, metric: str) -> None:
        self._validation = Validation(config, data)
        self._source, self._side = data.pixels(config.packing), config.image_size
        self._noted = dict.fromkeys([metric, *ENDS.get(metric, ()), *ALWAYS])

    def __call__(self, net: SiameseNet) -> dict[str, float]:
        """Return what is noted of a soup, by name."""
        pixels = ImageStore(self._source, self._side, next(net.parameters()).device)
        measured, _ = self._validation.measure(net, pixels, lambda: None)
        found = measured | measured["own"]
        return {name: float(found[name]) for name in self._noted}


def mean_of(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of state dicts; counters and what is VALIDATED are the first's.

    All else has the same names and shapes in each. Nets of other `calibrate` and `cohort` have
    other names among the VALIDATED.
    """
    return {
        name: torch.stack([state[name] for state in states]).mean(0)
        if first.is_floating_point() and name not in VALIDATED
        else first.clone()
        for name, first in states[0].items()
    }


def renew_statistics(net: SiameseNet, config: TrialConfig, data: FaceData) -> dict[str, Tensor]:
    """Measure the running statistics of a net's batch-norms on its training images.

    They are the mean over batches in random order, of images that are not augmented; dropout and
    stochastic depth act as in training. Layers that stood still in training keep theirs.

    Returns:
        The statistics by the names of the net's state dict; empty without batch-norm.
    """
    layers = {
        name: layer
        for name, layer in net.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer not in net.still
    }
    if not layers:
        return {}
    device = next(net.parameters()).device
    pixels = ImageStore(data.pixels(config.packing), config.image_size, device)
    images = data.images_of(data.pairs_of(config, "train"), config.views)
    order = torch.from_numpy(np.random.default_rng(config.seed).permutation(images))
    parts = torch.split(order, max(LEAST_IMAGES, config.batch_size))
    parts = tuple(part for part in parts if len(part) > 1)  # one has no variance
    with _measuring(net, layers.values(), config.seed):
        for part, raw in pixels.ahead((part, part) for part in parts):
            net.vectors(pixels.batch(part.to(device), net.dtype, *raw))
    return {
        f"{name}.{kind}": value.cpu()
        for name, layer in layers.items()
        for kind, value in layer.named_buffers(recurse=False)
    }


@contextmanager
def _measuring(net: SiameseNet, layers: Any, seed: int) -> Iterator[None]:
    """Within its ``with``, batch-norms take the mean over all batches for their statistics."""
    before = {layer: layer.momentum for layer in layers}
    net.train()
    for layer in before:
        layer.reset_running_stats()
        layer.momentum = None
    device = next(net.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(seed)
        yield
    for layer, momentum in before.items():
        layer.momentum = momentum
    net.eval()


def _full(file: Path) -> dict[str, Tensor]:
    """Return the weights of a model file in fp32, on the CPU."""
    net, _, _ = load_model(file, torch.float32)
    return {name: value.cpu() for name, value in net.state_dict().items()}


def _threshold(net: SiameseNet) -> dict[str, Tensor]:
    """Return the threshold, slope and cohort that validation has set, by name."""
    known = net.state_dict()
    return {name: known[name].cpu().clone() for name in VALIDATED if name in known}
