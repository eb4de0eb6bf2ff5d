"""CUDA graphs: the kernels of a step, recorded once and launched as one.

AlexNet at batch 16 is some 200 kernels of a few microseconds each; launched one by one they leave
the GPU waiting for the host.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3
"""Steps run one by one before the recording, as torch asks for: libraries choose kernels there."""


class Captured:
    """Runs a step as a CUDA graph once it is warm; inputs of another shape run one by one.

    A step that cannot be recorded is run one by one for good, which is said once.
    """

    def __init__(self) -> None:
        self.shapes: list[torch.Size] | None = None
        self.warm = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []

    def run(self, step: Callable[..., None], *inputs: Tensor) -> None:
        """Run ``step(*inputs)``, which must be the same step each time, on the device alone."""
        shapes = [value.shape for value in inputs]
        self.shapes = self.shapes or shapes
        if shapes != self.shapes or self.warm < 0:
            step(*inputs)
        elif self.warm < WARM_UP:
            self.warm += 1
            self._aside(step, *inputs)
        else:
            if self.graph is None:
                self._record(step, *inputs)
            self._replay(step, *inputs)

    def _aside(self, step: Callable[..., None], *inputs: Tensor) -> None:
        """Run a step on a stream of its own, as before a recording."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            step(*inputs)
        torch.cuda.current_stream().wait_stream(stream)

    def _record(self, step: Callable[..., None], *inputs: Tensor) -> None:
        self.inputs = [value.clone() for value in inputs]
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):  # recorded, not run
                step(*self.inputs)
        except RuntimeError as error:
            self.warm = -1
            first = str(error).splitlines()[0]
            print(f"steps are launched one by one, no CUDA graph: {first}", file=sys.stderr)
        else:
            self.graph = graph

    def _replay(self, step: Callable[..., None], *inputs: Tensor) -> None:
        if self.graph is None:
            step(*inputs)
            return
        for mine, value in zip(self.inputs, inputs, strict=True):
            mine.copy_(value)
        self.graph.replay()
