"""The packed images on the device that trains, gathered into batches there."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


class ImageStore:
    """Hands out batches of a dataset's images.

    A GPU holds all bytes, one copy a process; on a CPU they stay in the mapped file, which all
    processes of the machine share.

    Args:
        source: (N, S, S, 3) uint8, usually memory-mapped.
        image_size: side of the returned images, in pixels; larger ones are averaged down.
        device: of the returned images.
    """

    def __init__(self, source: NDArray[np.uint8], image_size: int, device: torch.device) -> None:
        self.source = source
        self.image_size, self.device = image_size, device
        self.resident = _on_gpu(source, device) if device.type == "cuda" else None

    def batch(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return images: (B,) int64 → (B, 3, S, S) in [0, 1], channels last.

        A byte becomes byte / 255 rounded to `dtype`, on every device.
        """
        if self.resident is not None:
            raw = self.resident.index_select(0, indices)
        else:
            raw = torch.from_numpy(self.source[indices.numpy()])
        images = raw.permute(0, 3, 1, 2)  # already channels last in memory
        if self.image_size == images.shape[-1]:
            return images.to(dtype).div_(255)  # bytes are whole numbers that bf16 has
        images = F.interpolate(images.float().div_(255), size=self.image_size, mode="area")
        return images.to(dtype, memory_format=torch.channels_last)


_gpu_pixels: dict[torch.device, tuple[NDArray[np.uint8], str | None, Tensor]] = {}
"""By device the images that are on it: what they were copied from, its digest where it may be
written to, and the copy. One geometry a device is kept."""


def _on_gpu(source: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Copy the packed images to a GPU once a process.

    The source is kept as long as its copy, so that it can be recognised by identity. An array that
    may be written to is compared by its content as well; packed images are mapped read-only.
    """
    device = _numbered(device)
    digest = None
    if _writable(source):
        digest = hashlib.sha256(source.tobytes()).hexdigest()
    held, known, _ = _gpu_pixels.get(device, (None, None, None))
    if held is not source or known != digest:
        _gpu_pixels.pop(device, None)  # before the copy: there may be no room for two
        _gpu_pixels[device] = source, digest, torch.from_numpy(np.array(source)).to(device)
    return _gpu_pixels[device][2]


def _writable(source: NDArray[np.uint8]) -> bool:
    """Return whether an array, or one that it is a view of, can be written to."""
    array: object = source
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return True
        array = array.base
    return False


def _numbered(device: torch.device) -> torch.device:
    """Return a device with its number: "cuda" is the current one, mostly "cuda:0"."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())
