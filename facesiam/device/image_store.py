"""The packed images on the device that trains, gathered into batches there."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from facesiam.device import gpu_memory
from facesiam.device.gathering import gathered

Item = TypeVar("Item")


class ImageStore:
    """Hands out batches of a dataset's images.

    A GPU holds all bytes, one copy a process; where they are more than HELD_SHARE of its free
    memory, they are gathered ahead of the steps (``gathering``). On a CPU they stay in the mapped
    file, which all processes of the machine share.

    Args:
        source: (N, S, S, 3) uint8, usually memory-mapped.
        image_size: side of the returned images, in pixels; larger ones are averaged down.
        device: of the returned images.
    """

    def __init__(self, source: NDArray[np.uint8], image_size: int, device: torch.device) -> None:
        self.source = source
        self.image_size, self.device = image_size, device
        self.streams = device.type == "cuda" and not _fits(source, device)
        """Whether the images are gathered ahead of the steps."""
        held = device.type == "cuda" and not self.streams
        self.resident = _on_gpu(source, device) if held else None

    def ahead(
        self, batches: Iterable[tuple[Item, Tensor]]
    ) -> Generator[tuple[Item, tuple[Tensor, ...]], None, None]:
        """Yield each item with the bytes of its images where they are gathered ahead, else ().

        Args:
            batches: items with the indices of their images, (B,) on the CPU.
        """
        if self.streams:
            for item, raw in gathered(self.source, batches, self.device):
                yield item, (raw,)
        else:
            for item, _ in batches:
                yield item, ()

    def batch(
        self,
        indices: Tensor,
        dtype: torch.dtype = torch.float32,
        raw: Tensor | None = None,
        *,
        side: int | None = None,
    ) -> Tensor:
        """Return images: (B,) int64 → (B, 3, S, S) in [0, 1], channels last.

        A byte becomes byte / 255 rounded to `dtype`, on every device.

        Args:
            indices: of the images.
            dtype: of the result.
            raw: their bytes, (B, S, S, 3), where they were gathered ahead.
            side: of the result, in pixels; None: `image_size`.
        """
        side = side or self.image_size
        if raw is None and self.resident is not None:
            raw = self.resident.index_select(0, indices)
        elif raw is None:
            raw = torch.from_numpy(self.source[indices.cpu().numpy()]).to(self.device)
        images = raw.permute(0, 3, 1, 2)  # already channels last in memory
        if side == images.shape[-1]:
            return images.to(dtype).div_(255)  # bytes are whole numbers that bf16 has
        images = F.interpolate(images.float().div_(255), size=side, mode="area")
        return images.to(dtype, memory_format=torch.channels_last)


HELD_SHARE = 0.6
"""Share of the memory free to this process that images may take; the rest is for the trial."""


def _fits(source: NDArray[np.uint8], device: torch.device) -> bool:
    """Return whether a GPU holds the images already, or has room for them."""
    held = _gpu_pixels.get(_numbered(device))
    if held and held[0] is source:
        return True
    room = gpu_memory.room(device) + (held[2].nbytes if held else 0)
    return source.nbytes <= HELD_SHARE * room


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
