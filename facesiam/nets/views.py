"""The views of an image whose embeddings are averaged for a prediction: mirrored, and zoomed."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


class Views:
    """Yields an image, its mirror image, and both zoomed in and out.

    Args:
        flip: mirror the image too.
        scale: zoom by a factor of 1 / (1 - scale) either way; 0: not.
    """

    def __init__(self, flip: bool, scale: float) -> None:
        self.flip = flip
        self.factors = (1 / (1 - scale), 1 - scale) if scale else ()

    @property
    def count(self) -> int:
        """Number of views, each of which costs a forward pass."""
        return (1 + self.flip) * (1 + len(self.factors))

    def of(self, images: Tensor) -> Iterator[Tensor]:
        """Yield each view of a batch, (B, 3, S, S); the images as they are come first."""
        for factor in (None, *self.factors):
            view = images if factor is None else zoomed(images, factor)
            yield view
            if self.flip:
                yield view.flip(3)


def zoomed(images: Tensor, factor: float) -> Tensor:
    """Return images enlarged about their centre, bilinear, black outside: (B, 3, S, S) → the same.

    As ``training.augment.resample`` does, but by a matrix for the rows and one for the columns,
    which ONNX has.
    """
    matrix = _resampling(images.shape[-1], factor).to(images)
    found = matrix @ images @ matrix.T
    return found.contiguous(memory_format=torch.channels_last)


def _resampling(side: int, factor: float) -> Tensor:
    """Return the matrix (side, side) whose rows are the weights of an output position."""
    at = torch.arange(side, dtype=torch.float64)
    read = (at + 0.5 - side / 2) / factor + side / 2 - 0.5  # where in the input, in pixels
    return (1 - (read[:, None] - at).abs()).clamp(min=0).float()
