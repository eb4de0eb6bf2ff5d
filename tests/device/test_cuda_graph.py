"""When a step is run, recorded and replayed; torch's CUDA is stood in for, as tests have none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import LETTERBOX

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.device import cuda_graph, image_store
from facesiam.device.cuda_graph import WARM_UP, GraphedStep
from facesiam.training.loop import Training
from search.tuning.ray_environment import runtime_env


class Recorder:
    """Counts what CUDA is asked for; a replay runs the step that was recorded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recording = self.replays = 0
        self.fails: Exception | None = None
        monkeypatch.setattr(GraphedStep, "_aside", lambda captured, step, *inputs: step(*inputs))
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: self)
        monkeypatch.setattr(torch.cuda, "graph", self.record)

    @contextmanager
    def record(self, graph: Any, stream: Any) -> Iterator[None]:
        """Begin and end a recording."""
        self.recording += 1
        if self.fails:
            raise self.fails
        yield

    def replay(self) -> None:
        """Run what was recorded."""
        self.replays += 1


def test_a_step_is_run_warm_recorded_once_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, captured, seen = Recorder(monkeypatch), GraphedStep(), []

    def step(x: torch.Tensor) -> None:
        seen.append(x.tolist())

    for n in range(WARM_UP + 3):
        captured.run(step, torch.tensor([n, n]))
    # The recording runs Python once more, with the inputs that the replays then read.
    assert seen == [[n, n] for n in range(WARM_UP + 1)]
    assert (cuda.recording, cuda.replays) == (1, 3)
    assert captured.inputs[0].tolist() == [WARM_UP + 2] * 2
    captured.run(step, torch.tensor([9]))  # the smaller last batch of an epoch
    assert seen[-1] == [9] and (cuda.recording, cuda.replays) == (1, 3)


def test_a_recording_without_room_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial is tried again with a larger share."""
    cuda, captured = Recorder(monkeypatch), GraphedStep()
    cuda.fails = torch.cuda.OutOfMemoryError("CUDA out of memory")
    for _ in range(WARM_UP):
        captured.run(lambda x: None, torch.zeros(2))
    with pytest.raises(torch.cuda.OutOfMemoryError, match="^CUDA out of memory"):
        captured.run(lambda x: None, torch.zeros(2))


def test_a_recording_that_fails_leaves_the_steps_to_run_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The step whose recording failed runs once, on its own inputs, after its half is undone."""
    said: list[str] = []
    done: list[Any] = []
    cuda = Recorder(monkeypatch)
    captured = GraphedStep(undo=lambda: done.append("undone"), say=said.append)
    cuda.fails = RuntimeError("operation not permitted when stream is capturing\nmore")
    for n in range(WARM_UP + 3):
        captured.run(lambda x: done.append(int(x[0])), torch.tensor([n, n]))
    assert done == [0, 1, 2, "undone", 3, 4, 5]
    assert said == [
        "no CUDA graph, steps are launched one by one: operation not permitted when "
        "stream is capturing"
    ]
    assert (cuda.recording, cuda.replays) == (1, 0)


@pytest.mark.parametrize("smaller", [1, 2, WARM_UP, WARM_UP + 2])
def test_full_batches_are_captured_though_a_smaller_one_came_first(
    monkeypatch: pytest.MonkeyPatch, smaller: int
) -> None:
    """A trial that is taken up before an epoch's last batch meets that one first."""
    cuda, captured, run = Recorder(monkeypatch), GraphedStep(), []
    step = lambda x, draws: run.append(len(x))  # noqa: E731
    for _ in range(smaller):
        captured.run(step, torch.zeros(4), torch.zeros(0, 3))
    before = cuda.recording, cuda.replays
    assert before == ((1, smaller - WARM_UP) if smaller > WARM_UP else (0, 0))
    run.clear()
    for _ in range(6):
        for _ in range(5):
            captured.run(step, torch.zeros(16), torch.zeros(0, 3))
        captured.run(step, torch.zeros(4), torch.zeros(0, 3))
    # Of 30 full ones 3 warm it up and 27 are replays; one more run of Python is the recording.
    assert (cuda.recording, cuda.replays) == (before[0] + 1, before[1] + 27)
    assert (run.count(16), run.count(4)) == (WARM_UP + 1, 6)


def test_all_trials_of_a_process_warm_up_on_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Stream:
        def __init__(self) -> None:
            made.append(self)

        def wait_stream(self, other: Any) -> None:
            pass

    @contextmanager
    def on(stream: Any) -> Iterator[None]:
        yield

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None if not made else made[0])
    monkeypatch.setattr(cuda_graph, "_streams", {})
    for _ in range(3):
        captured = GraphedStep()
        captured.run(lambda x: None, torch.zeros(2))
        assert captured.stream is made[0]
    assert len(made) == 1


def test_a_step_that_failed_leaves_no_gradient(tiny: TrialConfig, data: FaceData) -> None:
    training = Training(tiny, data)
    for parameter in training.net.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    training.optimizer.drop_gradients()
    assert all(p.grad is None for p in training.net.parameters() if p.requires_grad)


def test_workers_of_a_cluster_know_what_the_driver_was_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACESIAM_GRAPHS", "0")
    monkeypatch.setenv("FACESIAM_CACHE", "/of/this/machine")
    assert runtime_env()["env_vars"] == {"FACESIAM_GRAPHS": "0"}
    monkeypatch.delenv("FACESIAM_GRAPHS")
    assert runtime_env()["env_vars"] == {}


def test_an_array_at_the_address_of_one_that_is_gone_is_another() -> None:
    """Of what is freed the next array gets the place, and the id: often, not always."""
    device = torch.device("cpu")
    for value in range(20):
        assert (
            image_store._on_gpu(np.full((2, 8, 8, 3), value, np.uint8), device).unique() == value
        )


def test_pixels_are_brought_to_a_device_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "cuda" is "cuda:0", and a part of a mapped file is not the whole of it."""
    brought: list[str] = []
    monkeypatch.setattr(image_store, "_gpu_pixels", {})
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, device: brought.append(str(device)) or self
    )
    np.save(tmp_path / "a.npy", np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    first = image_store._on_gpu(mapped, torch.device("cuda"))
    assert image_store._on_gpu(mapped, torch.device("cuda:0")) is first and brought == ["cuda:0"]
    assert image_store._on_gpu(mapped[1:], torch.device("cuda")).tolist() == mapped[1:].tolist()
    image_store._on_gpu(mapped, torch.device("cuda:1"))
    assert brought == ["cuda:0", "cuda:0", "cuda:1"]


def test_what_is_written_into_an_array_is_brought_again() -> None:
    images, device = np.zeros((2, 8, 8, 3), np.uint8), torch.device("cpu")
    view = images[:]
    view.flags.writeable = False
    for array in (images, view):
        first = image_store._on_gpu(array, device)
        assert image_store._on_gpu(array, device) is first
        images[0, 0, 0, 0] += 1
        assert image_store._on_gpu(array, device)[0, 0, 0, 0] == images[0, 0, 0, 0]


def test_the_mapped_pixels_of_a_dataset_are_one_object(data: FaceData) -> None:
    """By which they are known to be on a GPU already, for the next trial."""
    assert data.pixels(LETTERBOX) is data.pixels(LETTERBOX)
