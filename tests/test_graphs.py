"""When a step is run, recorded and replayed; torch's CUDA is stood in for, as tests have none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from facesiam.graphs import WARM_UP, Captured


class Recorder:
    """Counts what CUDA is asked for; a replay runs the step that was recorded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recording = self.replays = 0
        self.fails: Exception | None = None
        monkeypatch.setattr(Captured, "_aside", lambda captured, step, *inputs: step(*inputs))
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
    cuda, captured, seen = Recorder(monkeypatch), Captured(), []

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


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), "^CUDA out of memory"),
        (RuntimeError("operation not permitted\nmore"), "FACESIAM_GRAPHS=0: operation not perm"),
    ],
)
def test_a_recording_that_fails_ends_the_trial(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: str
) -> None:
    cuda, captured = Recorder(monkeypatch), Captured()
    cuda.fails = error
    for _ in range(WARM_UP):
        captured.run(lambda x: None, torch.zeros(2))
    with pytest.raises(RuntimeError, match=expected):
        captured.run(lambda x: None, torch.zeros(2))
