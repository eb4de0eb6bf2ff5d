"""The Siamese nets: a trunk that both images share, and a head that compares its outputs.

A decision net joins two images' features and has a head of two logits, the first of them "same
person". An embedding net maps each image to a unit vector, and compares two by their distance. A
new join is a line in JOINS or SCORES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesiam.config import TrialConfig
from facesiam.config.constraints import EMBEDDING_JOINS
from facesiam.config.trial import is_calibrated
from facesiam.nets.heads import head_of, reduce_of
from facesiam.nets.losses import embedding_loss
from facesiam.nets.models import Convolutions, kind_of
from facesiam.nets.normalisation import normalised
from facesiam.nets.pretrained import load_trunk
from facesiam.nets.trunks import features_of, make_trunk, set_stochastic_depth, stages_of
from facesiam.nets.views import Views

JOINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda left, right: torch.cat([left, right], 1),
    "difference": lambda left, right: (left - right).abs(),
    "linear": lambda left, right: torch.cat([left, right], 1),
}
"""Two (P, F) feature batches → (P, 2F) or (P, F), for a head."""
SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "cosine": lambda cosine: cosine,
    # 0 where they are equal, -2 where they are opposite.
    "distance": lambda cosine: -(2 - 2 * cosine).clamp(min=0).sqrt(),
}
"""Cosines (P,) of unit vectors → scores (P,), higher where they are more alike."""


class SiameseNet(nn.Module):
    """Trunk, join and head as `config` says, with fresh weights from torch's global generator.

    Args:
        config: the trial's settings.
        people: number of training identities, for losses with weights of their own; 0 for a net
            that is not going to train.
    """

    threshold: Tensor
    slope: Tensor
    mean: Tensor
    deviation: Tensor
    cohort: Tensor

    def __init__(self, config: TrialConfig, people: int = 0) -> None:
        super().__init__()
        kind = kind_of(config.net)
        features = features_of(config.net)
        self.trunk = make_trunk(config.net)
        set_stochastic_depth(self.trunk, config.net, config.stochastic_depth)
        # Smaller images give fewer positions; averaging onto the usual grid keeps one head size.
        self.grid = kind.shape[1:] if isinstance(kind, Convolutions) else None
        self.join = config.join
        self.reduce = reduce_of(features, config)
        self.embeds = config.join in EMBEDDING_JOINS
        self.head = head_of(features, config)
        self.calibrated = is_calibrated(config.to_dict())
        if self.calibrated:  # of scores: set after each epoch, and kept with the weights
            first = {"cosine": 0.5, "distance": -1.0}.get(config.join, 0.0)
            self.register_buffer("threshold", torch.tensor(first))
            self.register_buffer("slope", torch.ones(()))
        scale = _input_scale(config)
        self.scaled = scale is not None
        if scale is not None:
            for name, values in zip(("mean", "deviation"), scale, strict=True):
                shaped = torch.tensor(values)[:, None, None]
                self.register_buffer(name, shaped, persistent=False)
        self.criterion: nn.Module | None = None
        if self.embeds and people:
            self.criterion = embedding_loss(config, people)
        self.views = Views(config.flip_average, config.scale_average)
        self.nearest = config.cohort
        if self.nearest:  # embeddings of training people: set before each validation
            self.register_buffer("cohort", torch.zeros(people, config.embedding or features))
        for layer in _frozen(self.trunk, config):
            layer.requires_grad_(False)
        self.still = _still(self.trunk, config.freeze_batchnorm)

    def embed(self, images: Tensor) -> Tensor:
        """Return the features of images: (B, 3, S, S) in [0, 1] → (B, F); or unit vectors."""
        features = self.vectors(images)
        return F.normalize(features, dim=1) if self.embeds else features

    def vectors(self, images: Tensor) -> Tensor:
        """Return the same, but an embedding net's vectors before they have length 1."""
        if self.scaled:
            images = (images - self.mean.to(images)) / self.deviation.to(images)
        features = self.trunk(images)
        if self.grid and features.shape[2:] != self.grid:
            features = F.adaptive_avg_pool2d(features, self.grid)
        features = features.flatten(1)
        if isinstance(self.reduce, nn.Linear):  # a trunk that mixes may give fp32
            features = features.to(self.reduce.weight.dtype)
        features = self.reduce(features)
        if not self.embeds:
            return features  # type: ignore[no-any-return]
        own = next(self.head.parameters(), features)  # a head without a layer takes any dtype
        return self.head(features.to(own.dtype)).float()  # type: ignore[no-any-return]

    def describe(self, images: Tensor) -> Tensor:
        """Return the features for predictions: those of ``embed``, (B, 3, S, S) → (B, F).

        With `flip_average` and `scale_average`, the normalised mean of the embeddings of the
        image's views, each of which is a forward pass.
        """
        features: Tensor | None = None
        for view in self.views.of(images):
            of_view = self.embed(view)
            features = of_view if features is None else features + of_view
        assert features is not None
        return features if self.views.count == 1 else F.normalize(features, dim=1)

    def logits(self, left: Tensor, right: Tensor) -> Tensor:
        """Return logits (P, 2) for two (P, F) feature batches; the first is "same person".

        The difference of a calibrated net's logits is 0 at the threshold, which validation pairs
        decide; in training mode a decision net's logits are without it. In evaluation mode the
        last layer computes in fp32, as logits in bf16 are equal for many pairs.
        """
        if self.embeds:
            scores = self._normalised(SCORES[self.join]((left * right).sum(1)), left, right)
            return self.embedding_logits(scores)
        features = JOINS[self.join](left, right).to(next(self.head.parameters()).dtype)
        logits = self.head(features) if self.training else self._head_logits(features)
        return self._centred(logits) if self.calibrated and not self.training else logits

    def embedding_logits(self, score: Tensor) -> Tensor:
        """Return an embedding net's logits (P, 2) for scores (P,), as of ``score_matrix``."""
        return self._centred(torch.stack([score / 2, -score / 2], 1))

    def score_matrix(self, left: Tensor, right: Tensor) -> Tensor:
        """Return an embedding net's scores of every two: (A, F) and (B, F) → (A, B) float32."""
        return self._normalised(SCORES[self.join](left @ right.T), left, right)

    def calibrate(self, threshold: float, slope: float) -> None:
        """Set the threshold, in units of `scores`, and the slope."""
        self.threshold.fill_(threshold)
        self.slope.fill_(slope)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the images that the net takes."""
        rounded = (m for m in self.trunk.modules() if isinstance(m, nn.Conv2d | nn.Linear))
        first = next(rounded, None)
        return torch.float32 if first is None else first.weight.dtype

    def score_logits(self, scores: Tensor) -> Tensor:
        """Return the logits (P, 2) float32 of `scores` (P,), under the present threshold."""
        score = (scores - self.threshold.cpu()) * self.slope.cpu() / 2
        return torch.stack([score, -score], 1).float()

    def scores(self, logits: Tensor) -> Tensor:
        """Return the scores (P,), without any threshold, of what ``logits`` returned, (P, 2)."""
        same, different = logits.double().unbind(1)
        score = same - different
        if not self.calibrated:
            return score
        return score / self.slope.double().cpu() + self.threshold.double().cpu()

    def train(self, mode: bool = True) -> SiameseNet:
        """Set training mode, in which frozen modules stay in evaluation mode.

        Their batch-norm keeps its running statistics, and none of their branches is left out.
        """
        super().train(mode)
        for layer in self.still:
            layer.eval()
        return self

    def _head_logits(self, features: Tensor) -> Tensor:
        """Return a decision head's logits (P, 2) float32 of joined features, (P, F) or (P, 2F)."""
        assert isinstance(self.head, nn.Sequential)
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        hidden = self.head[:-1](features).float()
        return F.linear(hidden, last.weight.float(), last.bias.float())

    def _normalised(self, scores: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """Return scores (P,) or (A, B) as they are, or relative to the cohort's."""
        if not self.nearest:
            return scores
        of_left, of_right = (SCORES[self.join](side @ self.cohort.T) for side in (left, right))
        return normalised(scores, of_left, of_right, self.nearest)

    def _centred(self, logits: Tensor) -> Tensor:
        off = torch.stack([self.threshold, -self.threshold]) / 2
        return (logits.float() - off) * self.slope


def build(
    config: TrialConfig, weights: Mapping[str, str] | None = None, people: int = 0
) -> SiameseNet:
    """Build the net of `config`, seeded by `config.seed`; pretrained trunks are loaded.

    Args:
        config: the trial's settings.
        weights: file per net name, as ``find_weights`` returned it; needed where pretrained.
        people: number of identities that train.

    Raises:
        WeightsError: the file is missing, is no weights file, or belongs to another net.
        NetError: the package that the net comes from is not installed.
    """
    with torch.random.fork_rng(devices=[]):  # built on the CPU
        torch.manual_seed(config.seed)
        net = SiameseNet(config, people)
    if config.pretrained:
        load_trunk(net.trunk, config.net, Path((weights or {}).get(config.net, "")))
    return net


def _input_scale(config: TrialConfig) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and deviation that inputs are normalised by; None: they stay in [0, 1]."""
    kind = kind_of(config.net)
    chosen = config.input_scale
    if chosen == "auto":
        as_weights = config.pretrained and not isinstance(kind, Convolutions)
        chosen = "weights" if as_weights else "unit"
    return kind.scale if chosen == "weights" else None


def _still(trunk: nn.Module, freeze_batchnorm: bool) -> list[nn.Module]:
    """Return the modules that stay in evaluation mode.

    Those with frozen parameters only, and with `freeze_batchnorm` every batch-norm, whose scale
    and shift may train all the same.
    """

    def stands(layer: nn.Module) -> bool:
        parameters = list(layer.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            return True
        return freeze_batchnorm and isinstance(layer, nn.modules.batchnorm._BatchNorm)

    return [layer for layer in trunk.modules() if stands(layer)]


def _frozen(trunk: nn.Module, config: TrialConfig) -> list[nn.Module]:
    """Return the trunk's layers that get no gradient, in order."""
    kind = kind_of(config.net)
    chosen: list[nn.Module] = []
    if config.freeze and isinstance(kind, Convolutions):
        convolutions = kind.frozen_convs
        for layer in trunk.children():
            convolutions -= isinstance(layer, nn.Conv2d)
            if convolutions < 0:
                break
            chosen.append(layer)
    if config.freeze_stages:
        stages = stages_of(config.net)
        chosen += [
            trunk.get_submodule(name)
            for name, stage in stages.items()
            if stage <= config.freeze_stages
        ]
    return chosen
