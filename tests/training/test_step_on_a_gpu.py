"""A training step on fake CUDA tensors, which have shapes and devices but no values.

An operation on tensors of two devices raises there, and so does one that a GPU would make the host
wait for: reading a value, or a result whose shape depends on values. What is left for a real GPU is
the backward pass, whose gradients are stood in for, and the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.device import image_store
from facesiam.training import loop


class HostTensors(TorchDispatchMode):
    """Notes each operation of a step that takes or gives a tensor of the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.watching = False
        self.operations: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if self.watching and "cpu" in {*_devices([args, list((kwargs or {}).values()), found])}:
            self.operations.append(str(func))
        return found


def _devices(value: Any) -> Iterator[str]:
    if isinstance(value, Tensor):
        yield value.device.type
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _devices(each)


def _apply(module: nn.Module, change: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
    """As nn.Module's, which cannot swap the content of fake parameters, with new ones."""
    for child in module.children():
        child._apply(change)
    for name, weight in module._parameters.items():
        if weight is not None:
            module._parameters[name] = nn.Parameter(change(weight.detach()), weight.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = change(buffer)
    return module


def _checked(
    weights: Sequence[Tensor], grads: Sequence[Tensor], *lists: Any, **options: Any
) -> None:
    """Hold to what CUDA's fused kernels ask for: one dtype, device and layout; the rate there."""
    moments = [each for each in lists if each and len(each) == len(weights)]
    for group in zip(weights, grads, *moments[:2], strict=True):
        assert len({(each.shape, each.dtype, each.device.type) for each in group}) == 1
        assert len({_strides(each) for each in group}) == 1
    assert options["lr"].device.type == "cuda"


def _strides(tensor: Tensor) -> tuple[int, ...]:
    return tuple(s for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n != 1)


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostTensors]:
    monkeypatch.setattr(nn.Module, "_apply", _apply)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(image_store, "_fits", lambda source, device: True)
    monkeypatch.setattr(image_store, "_gpu_pixels", {})
    for name in ("_fused_adam_", "_fused_adamw_", "_fused_sgd_"):
        monkeypatch.setattr(torch, name, _checked)
    host = HostTensors()
    with FakeTensorMode(allow_non_fake_inputs=True), host:
        yield host


def step(
    host: HostTensors, data: FaceData, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """Run the update of a batch, with gradients of the parameters' own layout."""
    config = TrialConfig.from_dict({"image_size": 64, "hidden": 16, "batch_size": 8, **settings})
    training = loop.Training(config, data, device="cuda", precision=settings.get("precision"))
    training.net.train()

    def backward(loss: Tensor) -> None:
        for weight in training.net.parameters():
            weight.grad = torch.empty_like(weight) if weight.requires_grad else None

    monkeypatch.setattr(Tensor, "backward", backward)
    (chosen, draws), _ = next(training.batches.epoch(torch.Generator().manual_seed(0)))
    host.watching = True
    training._update(chosen, draws)
    host.watching = False


VARIED = {"flip": True, "rotate": 9, "crop": 0.1, "shift": 0.1, "colour": 0.3, "erase": 0.5}
OF_PEOPLE = {"join": "cosine", "images_per_person": 4, "views": "all"}


@pytest.mark.parametrize(
    "settings",
    [
        {"augment": True, "dropout": True, "precision": "bf16"},
        {"join": "concat", "loss": "two", "optimizer": "sgd", "precision": "fp32", **VARIED},
        {"net": "resnet18", "optimizer": "adamw", "head_lr": 5, "label_smoothing": 0.1},
        {**OF_PEOPLE, "loss": "logistic"},
        {**OF_PEOPLE, "loss": "contrastive"},
        {**OF_PEOPLE, "loss": "contrastive", "hard_negatives": 0.3},
        {**OF_PEOPLE, "loss": "subcenter_arcface"},
        {**OF_PEOPLE, "loss": "adaface"},
    ],
)
def test_no_step_mixes_devices_or_waits_for_the_host(
    fake_gpu: HostTensors,
    data: FaceData,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
) -> None:
    step(fake_gpu, data, monkeypatch, settings)
    assert fake_gpu.operations == []


def test_a_step_that_reads_a_value_or_mixes_devices_is_seen(
    fake_gpu: HostTensors, data: FaceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above rests on."""
    waiting: list[tuple[Callable[[Tensor], Any], type[Exception]]] = [
        (lambda loss: loss.item(), DataDependentOutputException),
        (lambda loss: loss.expand(2)[loss.expand(2) > 0], DynamicOutputShapeException),
        (lambda loss: loss.expand(2) + torch.zeros(2), RuntimeError),
    ]
    for work, error in waiting:
        look = lambda watch, work=work: work(watch.largest)  # noqa: E731
        monkeypatch.setattr("facesiam.training.gradient_health.GradientWatch.look", look)
        with pytest.raises(error):
            step(fake_gpu, data, monkeypatch, {})
    brings = lambda watch: torch.zeros(2).to("cuda")  # noqa: E731
    monkeypatch.setattr("facesiam.training.gradient_health.GradientWatch.look", brings)
    fake_gpu.operations.clear()
    step(fake_gpu, data, monkeypatch, {})
    assert "aten._to_copy.default" in fake_gpu.operations
