"""Validation: what a net is measured by after each epoch, on the same pairs every time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.device.image_store import ImageStore
from facesiam.evaluation.calibration import calibration
from facesiam.evaluation.cohort import cohort_images, people_embeddings
from facesiam.evaluation.metrics import auc
from facesiam.evaluation.predict import described, is_correct, pair_logits
from facesiam.evaluation.rated_pairs import RatedPairs
from facesiam.evaluation.true_accepts import TrueAccepts
from facesiam.nets.siamese import SiameseNet
from facesiam.plugins import registry
from facesiam.training.gradient_health import LiveUnits, logit_spread


class Validation:
    """The validation pairs of a trial, and what nets are measured by on them.

    Args:
        config: the trial's settings.
        data: opened data.
    """

    def __init__(self, config: TrialConfig, data: FaceData) -> None:
        self.pairs = data.pairs_of(config, "val")
        self.distinct = len(np.unique(data.distinct(self.pairs)))
        """Number of pairs, those of the same two pictures counted once."""
        self.true_accepts = TrueAccepts(RatedPairs(config, data))
        self.cohort = cohort_images(config, data) if config.cohort else None
        """Images of the training people by whom scores are normalised; None: they are not."""

    def measure(
        self, net: SiameseNet, pixels: ImageStore, between: Callable[[], None]
    ) -> tuple[dict[str, Any], NDArray[np.bool_]]:
        """Set the threshold and the cohort of a net, where it has them, and measure it.

        Args:
            net: on the device of the images.
            pixels: all images.
            between: called before each batch of images; may raise to end the validation.

        Returns:
            What ``EpochMetrics`` has of validation, and whether each pair was predicted right,
            (P,).
        """
        if self.cohort is not None:
            net.cohort.copy_(people_embeddings(net, pixels, self.cohort, between))
        with LiveUnits(net) as live:
            logits, images, features = pair_logits(net, pixels, self.pairs, between)
        label = torch.from_numpy(self.pairs.label)
        scores = net.scores(logits).numpy()
        if net.calibrated and np.isfinite(scores).all():
            net.calibrate(*calibration(scores, self.pairs.label))
            logits = net.score_logits(torch.from_numpy(scores))
        right = is_correct(logits, label)
        others = partial(described, net, pixels, between=between)
        metrics = {
            "val_loss": F.cross_entropy(logits, label).item(),
            "val_acc": right.double().mean().item(),
            **live.report(),
            "logit_spread": logit_spread(logits),
            "val_auc": auc(scores, self.pairs.label),
            **self.true_accepts.measure(net, scores, images, features, others),
            "own": registry.measure(scores, self.pairs.label == 0),
        }
        return metrics, right.numpy()
