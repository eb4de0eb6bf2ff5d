"""The training loop of the 2019 study's notebooks, in plain torch: the benchmarks' reference.

fp32, contiguous tensors, each image of a pair through the net on its own, every JPEG decoded at
each access, Adam parameter by parameter, the loss fetched at every step. Nets that are trained on
people, which the study did not have, are the project's own modules in the same loop.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesiam.config import TrialConfig
from facesiam.data.archive import Source
from facesiam.data.dataset import FaceData
from facesiam.data.geometry import GEOMETRIES, decode
from facesiam.nets import models, siamese


class Notebook:
    """The notebooks' training loop."""

    def __init__(self, config: TrialConfig, data: FaceData, source: Source, device: str) -> None:
        self.config, self.data, self.source, self.device = config, data, source, device
        self.pairs = data.pairs(config.protocol, "train", people=config.people)
        images = data.images_of(self.pairs, config.views)
        people = np.unique(data.person[images])
        self.of_person = [images[data.person[images] == person] for person in people]
        by_person = bool(config.images_per_person)
        net = siamese.SiameseNet(config, len(people)) if by_person else PlainNet(config)
        self.net = net.to(device)
        self.adam = torch.optim.Adam(
            self.net.parameters(), lr=config.lr, foreach=False, fused=False
        )
        self.order = np.random.default_rng(config.seed)

    def measure(self, steps: int) -> float:
        """Train so many updates; return pairs a second."""
        start, pairs = time.perf_counter(), 0
        for _ in range(steps):
            pairs += self._update()
        return pairs / (time.perf_counter() - start)

    def _update(self) -> int:
        triplets, size = self.pairs.triplets, self.config.batch_size
        if self.config.images_per_person:
            losses = [self._loss_of_people()]
        elif triplets is not None:
            chosen = triplets[self.order.choice(len(triplets), size)]
            anchor, same, other = (self._load(column) for column in chosen.T)
            kinds = [(anchor, same, 0), (anchor, other, 1)]
            losses = [self._loss(a, b, torch.full((size,), kind)) for a, b, kind in kinds]
        else:
            chosen = self.order.choice(len(self.pairs.label), size)
            left, right = (
                self._load(side[chosen]) for side in (self.pairs.left, self.pairs.right)
            )
            losses = [self._loss(left, right, torch.from_numpy(self.pairs.label[chosen]))]
        loss = torch.stack(losses).mean()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        loss.item()
        return size * len(losses)

    def _loss_of_people(self) -> Tensor:
        """Return the loss of a batch of some people, of each of them some images."""
        each = self.config.images_per_person
        some = self.order.integers(len(self.of_person), size=self.config.batch_size // each)
        images = [self.order.choice(self.of_person[person], each) for person in some]
        criterion, person = self.net.criterion, torch.from_numpy(some).repeat_interleave(each)
        assert criterion is not None
        loss: Tensor = criterion(
            self.net.embed(self._load(np.concatenate(images))), person.to(self.device)
        )
        return loss

    def _loss(self, left: Tensor, right: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(self.net(left, right), label.to(self.device))

    def _load(self, indices: np.ndarray[Any, np.dtype[np.int64]]) -> Tensor:
        """Decode, fit and scale each image, (B, 3, S, S)."""
        geometry, side = self.config.packing
        fit = GEOMETRIES[geometry]
        images = [
            torch.from_numpy(
                np.array(fit(decode(self.source.read(self.data.names[i]), side), side))
            )
            .permute(2, 0, 1)
            .contiguous()
            .float()
            .div(255)
            for i in indices
        ]
        return torch.stack(images).to(self.device)


class PlainNet(nn.Module):
    """Torchvision's trunk, run on each image of a pair, and the notebooks' head."""

    def __init__(self, config: TrialConfig) -> None:
        super().__init__()
        net = siamese.SiameseNet(config)
        self.trunk = models.MODELS[config.net].make().features
        self.reduce, self.join, self.head = net.reduce, siamese.JOINS[net.join], net.head
        self.grid = net.grid

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, F); what smaller images give is averaged onto the usual grid."""
        found = self.trunk(images)
        if self.grid and found.shape[2:] != self.grid:
            found = F.adaptive_avg_pool2d(found, self.grid)
        return self.reduce(found.flatten(1))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, 3, S, S) twice → (B, 2)."""
        return self.head(self.join(self.features(left), self.features(right)))
