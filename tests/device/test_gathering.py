"""Batches that are gathered ahead of the step; the CPU stands in for a GPU, as tests have none."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.device import image_store
from facesiam.device.gathering import AHEAD, gathered
from facesiam.device.image_store import ImageStore
from facesiam.training.loop import Training

CPU = torch.device("cpu")


@pytest.fixture
def source(tmp_path: Path) -> NDArray[np.uint8]:
    """100 images of 8×8 pixels, mapped."""
    images = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3), np.uint8)
    np.save(tmp_path / "a.npy", images)
    return np.load(tmp_path / "a.npy", mmap_mode="r")


def parts(*sizes: int) -> list[torch.Tensor]:
    rng = np.random.default_rng(1)
    return [torch.from_numpy(rng.integers(0, 100, size)) for size in sizes]


def threads() -> int:
    return sum(thread.name == "images" for thread in threading.enumerate())


def test_batches_come_in_order_with_the_images_asked_for(source: NDArray[np.uint8]) -> None:
    wanted = parts(16, 16, 5, 32, 16, 1, 16)  # buffers are used again, and grow
    found = list(gathered(source, enumerate(wanted), CPU))
    assert [number for number, _ in found] == list(range(7))
    for (_, images), indices in zip(found, wanted, strict=True):
        assert (images.numpy() == source[indices.numpy()]).all()
    assert not threads()


def test_no_more_is_gathered_ahead_than_is_said(source: NDArray[np.uint8]) -> None:
    asked: list[int] = []

    def batches() -> Iterator[tuple[int, torch.Tensor]]:
        for number, indices in enumerate(parts(*[4] * 50)):
            asked.append(number)
            yield number, indices

    ahead = gathered(source, batches(), CPU)
    next(ahead)
    assert len(asked) <= 1 + AHEAD + 2  # one is used, AHEAD wait, one waits for a place
    ahead.close()
    assert not threads() and len(asked) < 50


def test_an_error_comes_where_the_batch_is_waited_for(source: NDArray[np.uint8]) -> None:
    def batches() -> Iterator[tuple[int, torch.Tensor]]:
        yield 0, torch.arange(4)
        raise ValueError("no more")

    ahead = gathered(source, batches(), CPU)
    assert next(ahead)[0] == 0
    with pytest.raises(ValueError, match="no more"):
        next(ahead)
    assert not threads()


@pytest.mark.parametrize("loss", ["two", "triplet"])
def test_an_epoch_is_the_same_with_images_gathered_ahead(
    data: FaceData, tiny: TrialConfig, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(tiny, augment=True, epochs=1)
    if loss == "triplet":
        config = dataclasses.replace(config, loss=loss, join="cosine", images_per_person=2)
    config = dataclasses.replace(config, batch_size=8)
    found = []
    for streams in (False, True):
        training = Training(config, data, device="cpu")
        training.pixels.streams = streams
        if streams:  # everything has to come gathered
            monkeypatch.setattr(training.pixels, "source", _Unread(training.pixels.source))
        metrics = next(training)
        found.append((metrics.train_loss, metrics.val_loss, metrics.val_auc))
    assert found[0] == found[1] and np.isfinite(found[0]).all()
    assert not threads()


class _Unread:
    """Images that np.take may read, and an index may not."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images, self.shape = images, images.shape

    def __array__(self, *_: object, **__: object) -> NDArray[np.uint8]:
        return self.images


def test_a_gpu_holds_the_images_where_they_are_a_part_of_its_free_memory(
    source: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda, free = torch.device("cuda", 0), int(source.nbytes / image_store.HELD_SHARE)
    brought: list[int] = []
    monkeypatch.setattr(image_store, "_gpu_pixels", {})
    monkeypatch.setattr(image_store, "_on_gpu", lambda source, device: brought.append(len(source)))
    for room, held in ((free + 1, True), (free - 1, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, room=room: (room, 10**12))
        assert ImageStore(source, 8, cuda).streams is not held
    assert brought == [100]
    # What is held already needs no more room, and what takes its place gets its room.
    images = torch.from_numpy(source.copy())
    image_store._gpu_pixels[cuda] = source, None, images
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 10**12))
    assert not ImageStore(source, 8, cuda).streams
    assert ImageStore(source[:80], 8, cuda).streams
    assert not ImageStore(source[:50], 8, cuda).streams
