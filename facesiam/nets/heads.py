"""The layers of a Siamese net between its trunk and its two logits or its embedding."""

from __future__ import annotations

import torch
from torch import nn

from facesiam.config import TrialConfig
from facesiam.config.constraints import EMBEDDING_JOINS
from facesiam.nets.trunks import features_of

DROPOUT = 0.2
"""Rate before an embedding head, whose features are few, unlike those of a decision net."""


def widths(config: TrialConfig) -> dict[str, torch.Size]:
    """Return the shapes of the parameters whose width a setting decides, by name."""
    features = features_of(config.net)
    with torch.device("meta"):
        parts = {"reduce": reduce_of(features, config), "head": head_of(features, config)}
    return {
        f"{part}.{name}": value.shape
        for part, layer in parts.items()
        for name, value in layer.state_dict().items()
    }


def reduce_of(features: int, config: TrialConfig) -> nn.Module:
    """Return the layer of each image's features before the join."""
    return nn.Linear(features, config.hidden) if config.join == "linear" else nn.Identity()


def head_of(features: int, config: TrialConfig) -> nn.Module:
    """Return the head of a net whose trunk gives so many features an image."""
    if config.join in EMBEDDING_JOINS:
        return _embedding_head(features, config)
    embedded = config.hidden if config.join == "linear" else features
    joined = embedded if config.join == "difference" else 2 * embedded
    return _head(joined, config.hidden, 1 if config.join == "linear" else 2, config.dropout)


def _head(width: int, hidden: int, depth: int, dropout: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, hidden), nn.ReLU(inplace=True)]
        layers += [nn.Dropout(0.5)] if dropout else []
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, 2))


def _embedding_head(features: int, config: TrialConfig) -> nn.Sequential:
    """Return dropout, linear layer and batch-norm, as ArcFace's authors end their nets.

    With `embedding: 0` dropout alone: the trunk's features are the embedding.

    Source: J. Deng et al., "ArcFace: additive angular margin loss for deep face recognition",
    CVPR 2019, section 3.2 (their last batch-norm and the dropout before the layer).
    """
    dropout = nn.Dropout(DROPOUT if config.dropout else 0.0)
    if not config.embedding:
        return nn.Sequential(dropout)
    return nn.Sequential(
        dropout,
        nn.Linear(features, config.embedding, bias=False),
        nn.BatchNorm1d(config.embedding),
    )
