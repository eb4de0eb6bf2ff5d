"""CUDA graphs: the kernels of a step, recorded once and launched as one.

AlexNet at batch 16 is some 200 kernels of a few microseconds each; launched one by one they leave
the GPU waiting for the host.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import torch
from torch import Tensor

from facesiam.errors import first_line

WARM_UP = 3
"""Steps run one by one before the recording, as torch asks for: libraries choose kernels there."""

recording = threading.Lock()
"""Held while a step is recorded: another thread that asks the GPU for memory then breaks it."""
_streams: dict[int, torch.cuda.Stream] = {}
"""By device the stream that steps warm up and are recorded on. One a process: the allocator keeps
memory by stream, and cuBLAS a workspace."""


def wanted(device: torch.device) -> bool:
    """Return whether steps on a device are to be recorded."""
    return device.type == "cuda" and os.environ.get("FACESIAM_GRAPHS") != "0"


class GraphedStep:
    """Runs a step as a CUDA graph once it is warm; inputs of another shape run one by one.

    The largest batch so far is recorded: the last one of an epoch is smaller, and a trial may be
    resumed just before that one. Where a recording fails, the steps of this trial run one by one
    from then on. FACESIAM_GRAPHS=0 in the environment turns graphs off.

    Args:
        undo: drops the gradients that a failed recording left.
        say: called with one line on why there is no graph.
    """

    def __init__(
        self, undo: Callable[[], None] = lambda: None, say: Callable[[str], None] = print
    ) -> None:
        self.undo, self.say = undo, say
        self.shapes: list[torch.Size] | None = None
        self.warm = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []
        self.stream: torch.cuda.Stream | None = None
        self.failed = False

    def run(self, step: Callable[..., None], *inputs: Tensor) -> None:
        """Run ``step(*inputs)``, which must be the same step each time, on the device alone.

        Raises:
            torch.cuda.OutOfMemoryError: there is no room for a recording.
        """
        shapes = [value.shape for value in inputs]
        if self.shapes is None or _size(shapes) > _size(self.shapes):
            self.shapes, self.warm, self.graph, self.inputs = shapes, 0, None, []
        if shapes != self.shapes or self.failed:
            step(*inputs)
        elif self.warm < WARM_UP:
            self.warm += 1
            self._aside(step, *inputs)
        elif self.graph is not None or self._recorded(step, *inputs):
            self._replay(*inputs)
        else:
            step(*inputs)

    def _recorded(self, step: Callable[..., None], *inputs: Tensor) -> bool:
        """Record a step and return whether that succeeded; where not, undo what it left."""
        try:
            self._record(step, *inputs)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.failed, self.graph, self.inputs = True, None, []
            self.undo()
            if inputs[0].is_cuda:
                _renew_generator(inputs[0].device)
            self.say(f"no CUDA graph, steps are launched one by one: {first_line(error)}")
        return not self.failed

    def _aside(self, step: Callable[..., None], *inputs: Tensor) -> None:
        """Run a step on the stream of the recording, to warm up."""
        at = torch.cuda.current_device()
        if at not in _streams:
            _streams[at] = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.stream = stream = _streams[at]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            step(*inputs)
        torch.cuda.current_stream().wait_stream(stream)

    def _record(self, step: Callable[..., None], *inputs: Tensor) -> None:
        self.inputs = [value.clone() for value in inputs]
        graph = torch.cuda.CUDAGraph()
        with recording, torch.cuda.graph(graph, stream=self.stream):  # recorded, not run
            step(*self.inputs)
        self.graph = graph

    def _replay(self, *inputs: Tensor) -> None:
        assert self.graph is not None
        for mine, value in zip(self.inputs, inputs, strict=True):
            mine.copy_(value)
        self.graph.replay()


def free_workspaces() -> None:
    """Free the workspaces of cuBLAS, one for each stream; the next product allocates new ones.

    Must not be called while a graph is in use: a replay writes into the workspace of its
    recording.
    """
    if torch.cuda.is_available():
        torch._C._cuda_clearCublasWorkspaces()


def _size(shapes: list[torch.Size]) -> int:
    return sum(shape.numel() for shape in shapes)


def _renew_generator(device: torch.device) -> None:
    """Detach a generator from a recording that has failed; it goes on from where it was."""
    at = torch.cuda.current_device() if device.index is None else device.index
    generator = torch.cuda.default_generators[at]
    generator.graphsafe_set_state(generator.clone_state())
