"""The predictions of a net for pairs, as validation, tests and the demo use them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesiam.config import TrialConfig
from facesiam.data.dataset import Pairs
from facesiam.device.hardware import keep_freed_memory
from facesiam.device.image_store import ImageStore
from facesiam.nets.siamese import SiameseNet

EVAL_IMAGES = {"cpu": 64, "cuda": 256}
"""Images a forward pass takes at once: enough for every net to be busy."""
EVAL_PAIRS = 1024


@torch.inference_mode()
def described(
    net: SiameseNet,
    pixels: ImageStore,
    images: NDArray[np.int64],
    between: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return a net's features for predictions of some images, (N, F) on the images' device."""
    if pixels.device.type == "cpu":
        keep_freed_memory()  # a test of a net that was trained before has no training that asks
    net.eval()
    dtype, found = net.dtype, []
    parts = torch.split(torch.from_numpy(images), EVAL_IMAGES[pixels.device.type])
    for part, raw in pixels.ahead((part, part) for part in parts):
        between()
        found.append(net.describe(pixels.batch(part.to(pixels.device), dtype, *raw)))
    return torch.cat(found)


@torch.inference_mode()
def pair_logits(
    net: SiameseNet, pixels: ImageStore, pairs: Pairs, between: Callable[[], None] = lambda: None
) -> tuple[Tensor, NDArray[np.int64], Tensor]:
    """Return the logits of P pairs, (P, 2) float32 on the CPU; each image passes the trunk once.

    Whatever the trunk computes in, the last layer computes in fp32: bf16 has 8 bits, in which the
    logits of hundreds of pairs would be equal.

    Args:
        net: on the device of the images.
        pixels: the images that the pairs point into.
        pairs: P of them.
        between: called before each batch of images; may raise to end the prediction.

    Returns:
        The logits, the N images of the pairs, sorted, and their features, (N, F).
    """
    images, where = np.unique(np.concatenate([pairs.left, pairs.right]), return_inverse=True)
    left, right = torch.from_numpy(where.reshape(2, -1)).to(pixels.device)
    features = described(net, pixels, images, between)
    ends = zip(torch.split(left, EVAL_PAIRS), torch.split(right, EVAL_PAIRS), strict=True)
    logits = torch.cat([net.logits(features[a], features[b]).float() for a, b in ends]).cpu()
    return logits, images, features


def log_odds(
    net: SiameseNet, config: TrialConfig, source: NDArray[np.uint8], pairs: Pairs
) -> NDArray[np.float64]:
    """Return the log-odds of "same person" for each pair, (P,); above 0 "same" is predicted.

    Args:
        net: on its device and in its dtype, as ``load_model`` returns it.
        config: its settings.
        source: (N, S, S, 3) the images that `pairs` points into.
        pairs: the pairs to predict.
    """
    return log_odds_of(logits_of(net, config, source, pairs))


def logits_of(
    net: SiameseNet, config: TrialConfig, source: NDArray[np.uint8], pairs: Pairs
) -> Tensor:
    """Return the logits (P, 2) float32 of pairs of packed images; arguments as ``log_odds``."""
    device = next(net.parameters()).device
    return pair_logits(net, ImageStore(source, config.image_size, device), pairs)[0]


def log_odds_of(logits: Tensor) -> NDArray[np.float64]:
    """Return the log-odds (P,) of logits (P, 2): their difference, exact in double."""
    same, different = logits.double().unbind(1)
    return (same - different).numpy()


def predict(
    net: SiameseNet, config: TrialConfig, source: NDArray[np.uint8], pairs: Pairs
) -> NDArray[np.float64]:
    """Return the probability of "same person" for each pair, (P,) in [0, 1], to be shown.

    Metrics need ``log_odds``: probabilities of confident predictions are equal, 0 or 1.

    Args:
        net: as for ``log_odds``; so are the others.
        config: its settings.
        source: the images.
        pairs: the pairs to predict.
    """
    return torch.sigmoid(torch.from_numpy(log_odds(net, config, source, pairs))).numpy()


def is_correct(logits: Tensor, label: Tensor) -> Tensor:
    """Return for each pair whether the prediction is right: (P, 2) and (P,) → (P,) bool.

    "Same" is predicted where the first logit is higher, else "different"; NaN is never right.
    """
    same, different = logits[:, 0] > logits[:, 1], logits[:, 0] <= logits[:, 1]
    return torch.where(label == 0, same, different)
