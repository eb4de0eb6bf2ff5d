"""Losses over a batch of judged pairs. Class 0 is "same person", class 1 "different people"."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def single(logits: Tensor, label: Tensor) -> Tensor:
    """Return the mean cross-entropy of the whole batch, in nats.

    Args:
        logits: (P, 2) float.
        label: (P,) int64, 0 or 1.
    """
    return F.cross_entropy(logits, label)


def two(logits: Tensor, label: Tensor) -> Tensor:
    """Return the mean of two cross-entropies, that of the positive and that of the negative pairs.

    Each kind of pair has half of the say, however many there are of it; a kind that the batch
    lacks is left out. Where both are equally many this equals ``single``. Source: the documents'
    "decision network with the average of two losses".

    Args:
        logits: (P, 2) float.
        label: (P,) int64, 0 or 1.
    """
    each = F.cross_entropy(logits, label, reduction="none")
    kinds = torch.stack([label == 0, label == 1])  # (2, P)
    counts = kinds.sum(1)
    means = (kinds * each).sum(1) / counts.clamp(min=1)
    return means.sum() / (counts > 0).sum()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"single": single, "two": two}
