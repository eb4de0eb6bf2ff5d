"""Losses of pairs, of a batch of embeddings, and of identities.

Losses of pairs, for decision nets, take two logits and a class, 0 "same person", 1 "different
people". The others take unit vectors (B, E) float32 and the number of each one's person, (B,)
int64 from 0; every pair of the batch counts. In the equations s is the cosine of two vectors, d =
sqrt(2 - 2s) their distance, m the setting `margin`, S the setting `loss_scale`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesiam.config import TrialConfig
from facesiam.config.rounding import SLACK
from facesiam.nets.margin_losses import AdaFace, SubCentreArcFace
from facesiam.nets.trunks import features_of
from facesiam.plugins import registry


def single(logits: Tensor, label: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy of the whole batch, in nats.

    Args:
        logits: (P, 2) float.
        label: (P,) int64, 0 or 1.
        smoothing: share of the target that both classes get in equal parts.
    """
    return F.cross_entropy(logits, label, label_smoothing=smoothing)


def two(logits: Tensor, label: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean of two cross-entropies, that of the positive and that of the negative pairs.

    Each class has half of the weight, whatever its number of pairs; a class that the batch lacks
    is left out. With equal numbers this equals ``single``. Source: the 2019 study's "decision
    network with the average of two losses".

    Args:
        logits: (P, 2) float.
        label: (P,) int64, 0 or 1.
        smoothing: as in ``single``.
    """
    each = F.cross_entropy(logits, label, reduction="none", label_smoothing=smoothing)
    return mean_of_kinds(each, label == 0)


LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"single": single, "two": two}
"""Of pairs: logits (P, 2), labels (P,), label smoothing."""


class Contrastive(nn.Module):
    """Mean over same pairs of d² and over different pairs of max(0, m - d)², half of each.

    Of this loss and the next two, `hard_negatives` limits the different pairs to the most alike.

    Source: R. Hadsell, S. Chopra, Y. LeCun, "Dimensionality reduction by learning an invariant
    mapping", CVPR 2006, equation 4 (there halved).
    """

    def __init__(self, config: TrialConfig, people: int) -> None:
        super().__init__()
        self.margin, self.share = config.margin, config.hard_negatives

    def forward(self, embeddings: Tensor, person: Tensor) -> Tensor:
        """Return the loss, (), of (B, E) unit vectors of (B,) people."""
        cosine, same, counted = _pairs(embeddings, person, self.share)
        squared = 2 - 2 * cosine
        distance = squared.clamp(min=1e-12).sqrt()  # whose slope is infinite at 0
        each = torch.where(same, squared, F.relu(self.margin - distance).square())
        return mean_of_kinds(each, same, counted)


class CosineEmbedding(nn.Module):
    """Mean over same pairs of 1 - s and over different pairs of max(0, s - m), half of each.

    Source: torch.nn.CosineEmbeddingLoss, which gives every pair the same weight instead.
    """

    def __init__(self, config: TrialConfig, people: int) -> None:
        super().__init__()
        self.margin, self.share = config.margin, config.hard_negatives

    def forward(self, embeddings: Tensor, person: Tensor) -> Tensor:
        """Return the loss, (), of (B, E) unit vectors of (B,) people."""
        cosine, same, counted = _pairs(embeddings, person, self.share)
        each = torch.where(same, 1 - cosine, F.relu(cosine - self.margin))
        return mean_of_kinds(each, same, counted)


class Logistic(nn.Module):
    """Mean of log(1 + exp(-y(as + b))), y = 1 for same pairs and -1 for others, half of each.

    a and b are learned; a begins at S and b at -S / 2, a threshold of s = 1/2. The loss is the
    cross-entropy of a logistic regression on s. With all pairs of a batch it is that of X. Zhai
    et al., "Sigmoid loss for language image pre-training", ICCV 2023, but for the weights.
    """

    def __init__(self, config: TrialConfig, people: int) -> None:
        super().__init__()
        self.smoothing, self.share = config.label_smoothing, config.hard_negatives
        self.log_scale = nn.Parameter(torch.tensor(math.log(config.loss_scale)))
        self.bias = nn.Parameter(torch.tensor(-config.loss_scale / 2))

    def forward(self, embeddings: Tensor, person: Tensor) -> Tensor:
        """Return the loss, (), of (B, E) unit vectors of (B,) people."""
        cosine, same, counted = _pairs(embeddings, person, self.share)
        target = same.float() * (1 - self.smoothing) + self.smoothing / 2
        logit = self.log_scale.exp() * cosine + self.bias
        each = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
        return mean_of_kinds(each, same, counted)


def _triplet(config: TrialConfig, people: int) -> nn.Module:
    """Return the mean of max(0, d(a, p) - d(a, n) + m) over triplets of a batch that are not 0.

    `mining` takes all of them; of each anchor the farthest p and the nearest n (hard); or those
    with d(a, p) < d(a, n) < d(a, p) + m (semihard). Sources: F. Schroff et al., "FaceNet", CVPR
    2015, equation 2 (on squared distances); A. Hermans et al., "In defense of the triplet loss
    for person re-identification", 2017, for batch-hard.
    """
    from pytorch_metric_learning import losses, miners

    miner = {
        "all": None,
        "hard": miners.BatchHardMiner(),
        "semihard": miners.TripletMarginMiner(config.margin, "semihard"),
    }[config.mining]
    return _Mined(losses.TripletMarginLoss(config.margin), miner)


def _supcon(config: TrialConfig, people: int) -> nn.Module:
    """Return the mean over anchors a and their positives p of -log(e^Ss(a, p) / Σ e^Ss(a, x)).

    x goes through all images of the batch but a. Source: P. Khosla et al., "Supervised contrastive
    learning", NeurIPS 2020, equation 2; S is one over their temperature.
    """
    from pytorch_metric_learning import losses

    return _Mined(losses.SupConLoss(1 / config.loss_scale), None)


def _length(config: TrialConfig) -> int:
    """Return the length of an embedding."""
    return config.embedding or features_of(config.net)


def _arcface(config: TrialConfig, people: int) -> nn.Module:
    """Return the cross-entropy over the training people of S·cos(angle + m·[own class]).

    The angle is that between the embedding and the class's learned vector. Source: J. Deng et al.,
    "ArcFace", CVPR 2019, equation 3.
    """
    from pytorch_metric_learning import losses

    made = losses.ArcFaceLoss(
        people, _length(config), margin=math.degrees(config.margin), scale=config.loss_scale
    )
    return _of_identities(made, config)


def _cosface(config: TrialConfig, people: int) -> nn.Module:
    """Return the cross-entropy over the training people of S·(cos(angle) - m·[own class]).

    Source: H. Wang et al., "CosFace: large margin cosine loss for deep face recognition", CVPR
    2018, equation 4.
    """
    from pytorch_metric_learning import losses

    made = losses.CosFaceLoss(
        people, _length(config), margin=config.margin, scale=config.loss_scale
    )
    return _of_identities(made, config)


EMBEDDING_LOSSES: dict[str, Callable[[TrialConfig, int], nn.Module]] = {
    "contrastive": Contrastive,
    "triplet": _triplet,
    "cosine_embedding": CosineEmbedding,
    "logistic": Logistic,
    "supcon": _supcon,
    "arcface": _arcface,
    "cosface": _cosface,
    "subcenter_arcface": lambda config, people: SubCentreArcFace(config, people, _length(config)),
    "adaface": lambda config, people: AdaFace(config, people, _length(config)),
}
"""Of embeddings: makes a module (B, E), (B,) → () for so many identities; one with a true
`takes_norms` is given the vectors' norms (B,) too, from before they had length 1."""


def embedding_loss(config: TrialConfig, people: int) -> nn.Module:
    """Return the loss of an embedding net for so many identities, built in or of a plugin.

    Raises:
        PluginError: the loss's plugin was not loaded.
    """
    if made := EMBEDDING_LOSSES.get(config.loss):
        return made(config, people)
    module: nn.Module = registry.part("loss", config.loss).made(config, people)
    return module


def check_loss(name: str) -> None:
    """Refuse a loss of a plugin that gives no gradient for a batch of four images of two people.

    Raises:
        PluginError: says what is wrong, with file and line.
    """
    if name in LOSSES or name in EMBEDDING_LOSSES:
        return
    part = registry.part("loss", name)
    settings: dict[str, Any] = {"join": "cosine", "loss": name, "embedding": 8}
    with registry.blamed(part), torch.random.fork_rng(devices=[]):
        module = part.made(TrialConfig(**settings), 2)
        if not isinstance(module, nn.Module):
            raise TypeError(f"must make an nn.Module, got {type(module).__name__}")
        places = torch.randn(4, 8).requires_grad_()
        loss = module(F.normalize(places, dim=1), torch.tensor([0, 0, 1, 1]))
        if not isinstance(loss, Tensor) or loss.shape != ():
            raise TypeError("must return one number as a tensor: the loss of the batch")
        loss.backward()  # type: ignore[no-untyped-call]
        if places.grad is None or not torch.isfinite(places.grad).all():
            raise ValueError("gives no finite gradient")


class _Mined(nn.Module):
    """A loss of pytorch-metric-learning with the miner of its triplets."""

    def __init__(self, loss: nn.Module, miner: nn.Module | None) -> None:
        super().__init__()
        self.loss, self.miner = loss, miner

    def forward(self, embeddings: Tensor, person: Tensor) -> Tensor:
        mined = self.miner(embeddings, person) if self.miner else None
        loss: Tensor = self.loss(embeddings, person, mined)
        return loss


def _of_identities(loss: nn.Module, config: TrialConfig) -> nn.Module:
    smoothing = config.label_smoothing
    loss.cross_entropy = nn.CrossEntropyLoss(reduction="none", label_smoothing=smoothing)
    return _Mined(loss, None)


def pairs_of(person: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return every pair of a batch once: two positions (P,) and whether they are of one person."""
    left, right = torch.triu_indices(len(person), len(person), 1, device=person.device)
    return left, right, person[left] == person[right]


def _pairs(
    embeddings: Tensor, person: Tensor, share: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cosine (P,) of the pairs of a batch, which are of one person, and what counts.

    What counts (P,) are all same pairs, and this share of the different ones: the most alike, one
    at least, with all that are as alike as the last of them.
    """
    left, right, same = pairs_of(person)
    cosine = (embeddings @ embeddings.T)[left, right]
    if share == 1:
        return cosine, same, torch.ones_like(same)
    others = cosine.detach().masked_fill(same, -math.inf).sort(descending=True).values
    # As ``rounded_up``, at the device.
    count = ((~same).sum(0, keepdim=True).double() * share - SLACK).ceil().long()
    least = others.gather(0, (count - 1).clamp(min=0))
    return cosine, same, same | (cosine.detach() >= least)


def mean_of_kinds(each: Tensor, same: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return the mean of two means, over the same pairs and over the different ones, ().

    A class without pairs is left out. No shape depends on a value, for which a GPU would wait.

    Args:
        each: a number of each pair, (P,) float.
        same: whether it is of one person, (P,) bool.
        counted: whether it counts, (P,) bool; None: all do.
    """
    kinds = torch.stack([same, ~same])  # (2, P)
    if counted is not None:
        kinds = kinds & counted
    counts = kinds.sum(1)
    means = (kinds * each).sum(1) / counts.clamp(min=1)
    return means.sum() / (counts > 0).sum()
