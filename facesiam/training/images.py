"""The training images of a trial: at the size of their epoch, augmented."""

from __future__ import annotations

import torch
from torch import Tensor

from facesiam.config import TrialConfig
from facesiam.config.image_sizes import side_of
from facesiam.device.image_store import ImageStore
from facesiam.training.augment import augmented


class TrainingImages:
    """Hands out batches of training images as a net takes them.

    Args:
        config: the trial's settings.
        pixels: the packed images.
        turnable: (N,) bool, whether an image may be mirrored.
        dtype: of the batches.
    """

    def __init__(
        self, config: TrialConfig, pixels: ImageStore, turnable: Tensor, dtype: torch.dtype
    ) -> None:
        self.config, self.pixels, self.turnable, self.dtype = config, pixels, turnable, dtype
        self.side = side_of(config.to_dict(), 0)
        """Of the present epoch's images, in pixels."""

    def begin(self, epoch: int) -> bool:
        """Begin an epoch, from 0; return whether its images have another size than before."""
        before, self.side = self.side, side_of(self.config.to_dict(), epoch)
        return self.side != before

    def batch(self, indices: Tensor, draws: Tensor, raw: Tensor | None) -> Tensor:
        """Return images, (B,) → (B, 3, S, S) in [0, 1], channels last.

        Args:
            indices: of the images.
            draws: random numbers of their augmentation, (B, D); (0, 3): they stay as they are.
            raw: their bytes, where they were gathered ahead.
        """
        if not len(draws):
            return self.pixels.batch(indices, self.dtype, raw, side=self.side)
        images = self.pixels.batch(indices, raw=raw, side=self.side)
        images = augmented(images, draws, self.turnable[indices], self.config)
        return images.to(self.dtype, memory_format=torch.channels_last)
