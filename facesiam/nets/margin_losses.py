"""Margin losses over the training people: sub-centre ArcFace and AdaFace.

In the equations θ_j is the angle between an image's embedding and the learned vector of person j,
y the image's own person, m the setting `margin` and S the setting `loss_scale`. The loss of an
image is the cross-entropy of its own person among all people's logits.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesiam.config import TrialConfig

SPREAD = 1 / 3
"""h of AdaFace: an image's norm counts up to 1 / h standard deviations from the mean."""
RENEWAL = 0.01
"""Share of a batch in AdaFace's running mean and deviation of the norms (the paper's 1 - α)."""
NEAR = 1e-6
"""Distance that a cosine keeps from 1 and -1, where the angle's slope is infinite."""


class SubCentreArcFace(nn.Module):
    """Cross-entropy of S·cos(θ_j + m·[j = y]), θ_j the smallest angle to K vectors of person j.

    K is the setting `sub_centres`. A person's odd images, such as profiles, gather at a vector of
    their own instead of drawing the others after them. Beyond θ = π - m, where the cosine would
    rise again, it goes on as cos θ - m·sin m, as ArcFace's authors do. Source: J. Deng et al.,
    "Sub-center ArcFace: boosting face recognition by large-scale noisy web faces", ECCV 2020,
    equation 2 and section 3.2.

    Args:
        config: `sub_centres`, `margin`, `loss_scale` and `label_smoothing`.
        people: number of training people.
        length: of an embedding, E.
    """

    def __init__(self, config: TrialConfig, people: int, length: int) -> None:
        super().__init__()
        self.margin, self.scale = config.margin, config.loss_scale
        self.smoothing = config.label_smoothing
        self.centres = nn.Parameter(torch.randn(people, config.sub_centres, length))

    def forward(self, embeddings: Tensor, person: Tensor) -> Tensor:
        """Return the loss, (), of (B, E) unit vectors of (B,) people."""
        every = F.normalize(self.centres, dim=2).flatten(0, 1)  # (people × K, E)
        cosine = (embeddings @ every.T).view(len(person), *self.centres.shape[:2]).amax(2)
        own = _own(cosine, person)
        angle = own.clamp(NEAR - 1, 1 - NEAR).acos()
        beyond = own - self.margin * math.sin(self.margin)
        moved = torch.where(angle + self.margin <= math.pi, (angle + self.margin).cos(), beyond)
        return _cross_entropy(cosine, moved, person, self.scale, self.smoothing)


class AdaFace(nn.Module):
    """Cross-entropy of S·(cos(θ_y - m·q) - m·q - m) for the own person, S·cos θ_j for the others.

    q, between -1 and 1, is the image's quality as the norm |z| of its embedding tells it: (|z| -
    mean) / (deviation / h), cut off. At q = -1 the margin is one of the angle, as ArcFace's, at 0
    one of the cosine, as CosFace's; at 1 it weighs hard images most. Mean and deviation of the
    norms are running ones, beginning with those of the first batch; no gradient goes through
    norms. Source: M. Kim, A. K. Jain, X. Liu, "AdaFace: quality adaptive margin for face
    recognition", CVPR 2022, section 3.3 (h = 0.33, m = 0.4, S = 64, α = 0.99 there).

    Args:
        config: `margin`, `loss_scale` and `label_smoothing`.
        people: number of training people.
        length: of an embedding, E.
    """

    takes_norms = True
    mean: Tensor
    deviation: Tensor
    batches: Tensor

    def __init__(self, config: TrialConfig, people: int, length: int) -> None:
        super().__init__()
        self.margin, self.scale = config.margin, config.loss_scale
        self.smoothing = config.label_smoothing
        self.centres = nn.Parameter(torch.randn(people, length))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, embeddings: Tensor, person: Tensor, norms: Tensor) -> Tensor:
        """Return the loss, (), of (B, E) unit vectors of (B,) people, whose norms were (B,)."""
        pull = self.margin * self._quality(norms.detach())
        cosine = embeddings @ F.normalize(self.centres, dim=1).T
        angle = _own(cosine, person).clamp(NEAR - 1, 1 - NEAR).acos()
        moved = (angle - pull).clamp(0, math.pi).cos() - pull - self.margin
        return _cross_entropy(cosine, moved, person, self.scale, self.smoothing)

    @torch.no_grad()
    def _quality(self, norms: Tensor) -> Tensor:
        """Return q of each image, (B,); in training the running statistics take the batch in."""
        if self.training:
            share = torch.where(self.batches == 0, 1.0, RENEWAL)
            self.mean.lerp_(norms.mean(), share)
            self.deviation.lerp_(norms.std(correction=0), share)
            self.batches += 1
        return ((norms - self.mean) * SPREAD / (self.deviation + 1e-3)).clamp(-1, 1)


def _own(cosine: Tensor, person: Tensor) -> Tensor:
    """Return each image's cosine with its own person, (B, people) → (B,)."""
    return cosine.gather(1, person[:, None])[:, 0]


def _cross_entropy(
    cosine: Tensor, moved: Tensor, person: Tensor, scale: float, smoothing: float
) -> Tensor:
    """Return the loss, (), of cosines (B, people) whose own person's are replaced by `moved`."""
    logits = scale * cosine.scatter(1, person[:, None], moved[:, None])
    return F.cross_entropy(logits, person, label_smoothing=smoothing)
