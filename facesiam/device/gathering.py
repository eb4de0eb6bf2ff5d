"""Batches of images gathered ahead of the step, for a GPU that cannot hold them all.

A thread copies the images of the next batches from the mapped file into pinned memory, from which
the GPU fetches them beside the running step.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesiam.device.cuda_graph import recording

AHEAD = 2
"""Batches that are ready, or on their way, while a step runs."""
Item = TypeVar("Item")


class _Batch(NamedTuple):
    """Images on the device, and what tells that they have arrived there."""

    images: Tensor
    arrived: torch.cuda.Event | None


class _Buffer:
    """Pinned memory for a batch; on a CPU, which stands in for a GPU in tests, plain memory."""

    def __init__(self, device: torch.device, stream: torch.cuda.Stream | None) -> None:
        self.device, self.stream = device, stream
        self.memory = torch.empty(0, dtype=torch.uint8)
        self.fetched: torch.cuda.Event | None = None
        """Tells that the device has what was in it."""

    def fetch(self, source: NDArray[np.uint8], indices: NDArray[np.int64]) -> _Batch:
        """Copy images into it, (B, S, S, 3), and have the device fetch them."""
        if self.fetched:
            with recording:  # a wait for the device may break it too
                self.fetched.synchronize()
        shape = len(indices), *source.shape[1:]
        if self.memory.numel() < (size := int(np.prod(shape))):
            with recording:
                self.memory = torch.empty(
                    size, dtype=torch.uint8, pin_memory=self.stream is not None
                )
        images = self.memory[:size].view(shape)
        # clip: any other mode gathers into a buffer of its own first
        np.take(source, indices, axis=0, out=images.numpy(), mode="clip")
        if self.stream is None:
            return _Batch(images.clone(), None)
        # Memory must not be asked for while another thread records a graph.
        with recording, torch.cuda.stream(self.stream):
            there = images.to(self.device, non_blocking=True)
            self.fetched = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.fetched.record(self.stream)
        return _Batch(there, self.fetched)


def gathered(
    source: NDArray[np.uint8],
    batches: Iterable[tuple[Item, Tensor]],
    device: torch.device,
) -> Generator[tuple[Item, Tensor], None, None]:
    """Yield (item, images) for each (item, indices), the images (B, S, S, 3) uint8 on the device.

    Args:
        source: (N, S, S, 3), mapped.
        batches: items with the indices of their images, (B,) on the CPU; read AHEAD of the steps.
        device: where the images go.
    """
    ready: queue.Queue[tuple[Item, _Batch] | BaseException | None] = queue.Queue(AHEAD)
    left = threading.Event()
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
    buffers = [_Buffer(device, stream) for _ in range(AHEAD + 1)]

    def put(value: tuple[Item, _Batch] | BaseException | None) -> None:
        while not left.is_set():
            try:
                ready.put(value, timeout=0.1)
                return
            except queue.Full:
                continue

    def gather() -> None:
        """Read the batches in the thread's own time, until their end or that of the reader."""
        try:
            for number, (item, indices) in enumerate(batches):
                if left.is_set():
                    return
                put((item, buffers[number % len(buffers)].fetch(source, indices.numpy())))
            put(None)
        except BaseException as error:  # raised where the batches are waited for
            put(error)

    thread = threading.Thread(target=gather, name="images", daemon=True)
    thread.start()
    try:
        while (found := ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            item, batch = found
            if batch.arrived:
                now = torch.cuda.current_stream(device)
                now.wait_event(batch.arrived)
                batch.images.record_stream(now)
            yield item, batch.images
    finally:
        left.set()
        thread.join()
