"""CUDA graphs: the kernels of a step, recorded once and launched as one.

AlexNet at batch 16 is some 200 kernels of a few microseconds each; launched one by one they leave
the GPU waiting for the host.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3
"""Steps run one by one before the recording, as torch asks for: libraries choose kernels there."""


class Captured:
    """Runs a step as a CUDA graph once it is warm; inputs of another shape run one by one.

    A recording that fails leaves gradients and generators half way, so it ends the trial.
    FACESIAM_GRAPHS=0 in the environment does without graphs.
    """

    def __init__(self) -> None:
        self.shapes: list[torch.Size] | None = None
        self.warm = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []
        self.stream: torch.cuda.Stream | None = None

    def run(self, step: Callable[..., None], *inputs: Tensor) -> None:
        """Run ``step(*inputs)``, which must be the same step each time, on the device alone."""
        shapes = [value.shape for value in inputs]
        self.shapes = self.shapes or shapes
        if shapes != self.shapes:
            step(*inputs)
        elif self.warm < WARM_UP:
            self.warm += 1
            self._aside(step, *inputs)
        else:
            if self.graph is None:
                self._record(step, *inputs)
            self._replay(*inputs)

    def _aside(self, step: Callable[..., None], *inputs: Tensor) -> None:
        """Run a step on a stream of its own, as before a recording."""
        if self.stream is None:  # one for all: the allocator keeps memory by stream
            self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream = self.stream
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            step(*inputs)
        torch.cuda.current_stream().wait_stream(stream)

    def _record(self, step: Callable[..., None], *inputs: Tensor) -> None:
        self.inputs = [value.clone() for value in inputs]
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self.stream):  # recorded, not run
                step(*self.inputs)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            first = str(error).splitlines()[0]
            raise RuntimeError(f"no CUDA graph, try FACESIAM_GRAPHS=0: {first}") from error
        self.graph = graph

    def _replay(self, *inputs: Tensor) -> None:
        assert self.graph is not None
        for mine, value in zip(self.inputs, inputs, strict=True):
            mine.copy_(value)
        self.graph.replay()
