"""The loss of a batch, and how many of its pairs were predicted right."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from facesiam.evaluation.predict import is_correct
from facesiam.nets.losses import LOSSES, mean_of_kinds, pairs_of
from facesiam.nets.siamese import SiameseNet
from facesiam.training.batches import Batches


def batch_loss(
    net: SiameseNet, batches: Batches, features: Tensor, chosen: Tensor, indices: Tensor
) -> tuple[Tensor, Tensor, int]:
    """Return the loss of a batch, its right predictions and its number of pairs.

    Args:
        net: the net in training.
        batches: what the batch is of.
        features: of its images, (B, E), as ``net.vectors`` returns them.
        chosen: its triplets, pairs or images, (n,), as ``Batches.epoch`` yields them.
        indices: of its images, (B,), as ``Batches.images`` returns them.

    Returns:
        The mean loss, (), float32; the right predictions, (), of a batch by identity the share
        of right ones times the pairs; and the pairs.
    """
    if net.embeds:
        return _of_people(net, batches, features, batches.person[indices])
    return _of_pairs(net, batches, features, chosen)


def _of_pairs(
    net: SiameseNet, batches: Batches, features: Tensor, chosen: Tensor
) -> tuple[Tensor, Tensor, int]:
    n, label = len(chosen), batches.labels[chosen].T.flatten()
    # A triplet's anchor is compared with both others: three images make two pairs.
    left, right = features[:n], features[n:]
    logits = net.logits(left.repeat(len(right) // n, 1), right).float()
    loss = LOSSES[batches.config.loss](logits, label, batches.config.label_smoothing)
    return loss, is_correct(logits.detach(), label).sum(), len(label)


def _of_people(
    net: SiameseNet, batches: Batches, vectors: Tensor, person: Tensor
) -> tuple[Tensor, Tensor, int]:
    """Return the same for a batch by identity, of which all pairs of images have a loss."""
    assert net.criterion is not None
    embeddings = F.normalize(vectors, dim=1)
    more = [vectors.norm(dim=1)] if getattr(net.criterion, "takes_norms", False) else []
    loss: Tensor = net.criterion(embeddings, person, *more)
    with torch.no_grad():
        left, right, same = pairs_of(person)
        logits = net.embedding_logits(net.score_matrix(embeddings, embeddings)[left, right])
        share = mean_of_kinds(is_correct(logits, (~same).long()).double(), same)
    images = 1 if batches.config.images_per_person else batches.units.shape[1]
    pairs = len(person) // images * batches.pairs_of_each
    return loss, share * pairs, pairs
