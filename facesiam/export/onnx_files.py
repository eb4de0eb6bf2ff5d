"""The two ONNX files of a net, embedder and verdict: written, and checked against torch."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facesiam.config import TrialConfig
from facesiam.errors import NetError, WeightsError
from facesiam.export.folder import EMBEDDER, VERDICT
from facesiam.nets.convolutions import BlockConv2d
from facesiam.nets.siamese import SiameseNet

OPSET = 18
TOLERANCE = 1e-3
"""Largest difference to torch that is published, as a share of the largest value; of scores and
probabilities, which are differences themselves, of 1 at least."""
LARGEST = 1_800_000_000
"""Bytes of weights in one file; of more they are beside it, as a protobuf ends at 2 GiB."""
NAMES = {
    EMBEDDER: (["images"], ["features"]),
    VERDICT: (["left", "right"], ["score", "probability"]),
}
"""The names of the inputs and outputs of each file."""
PACKAGES = {"--onnx": ("onnx", "onnxscript", "onnxruntime"), "--safetensors": ("safetensors",)}


class Embedder(nn.Module):
    """Packed images to features: (B, 3, P, P) in [0, 1] → (B, F).

    Args:
        net: in evaluation mode.
        config: its settings.
    """

    def __init__(self, net: SiameseNet, config: TrialConfig) -> None:
        super().__init__()
        self.net = net
        self.size = config.image_size if config.image_size != config.packed_size else None

    def forward(self, images: Tensor) -> Tensor:
        """Return what the net's ``describe`` does of images averaged down to its size."""
        if self.size is not None:
            images = _averaged(images, (self.size, self.size))
        return self.net.describe(images)


class Verdict(nn.Module):
    """The features of P pairs to scores and probabilities: (P, F) and (P, F) → (P,) and (P,).

    Args:
        net: in evaluation mode.
    """

    def __init__(self, net: SiameseNet) -> None:
        super().__init__()
        self.net = net
        self.slope = float(net.slope) if net.calibrated else 1.0
        self.threshold = float(net.threshold) if net.calibrated else 0.0

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return the score, as ``SiameseNet.scores``, and the probability of "same person"."""
        same, different = self.net.logits(left, right).unbind(1)
        odds = same - different
        return odds / self.slope + self.threshold, torch.sigmoid(odds)


def check_installed(option: str) -> None:
    """Refuse an option whose packages are not installed.

    Raises:
        NetError: says what to install.
    """
    missing = [name for name in PACKAGES[option] if find_spec(name) is None]
    if missing:
        raise NetError(
            f"{option} needs {', '.join(missing)}, of the extra `export`: "
            "pip install 'siamsearch[export]'"
        )


def write(net: SiameseNet, config: TrialConfig, folder: Path) -> None:
    """Write both files of a net in fp32 on the CPU.

    Raises:
        NetError: the packages are not installed.
    """
    check_installed("--onnx")
    images = torch.zeros(2, 3, config.packed_size, config.packed_size)
    embedder = Embedder(net, config).eval()
    with torch.inference_mode():
        features = embedder(images)
    _write(embedder, (images,), folder / EMBEDDER)
    _write(Verdict(net).eval(), (features.clone(), features.clone()), folder / VERDICT)


def largest_difference(
    net: SiameseNet, config: TrialConfig, folder: Path, images: NDArray[np.uint8]
) -> dict[str, float]:
    """Compare both files with torch, in a batch and image by image.

    Args:
        net: what was written, on the CPU.
        config: its settings.
        folder: holds the files.
        images: (N, P, P, 3) packed, N at least 2; each is paired with the next.

    Returns:
        The largest absolute difference by output.

    Raises:
        WeightsError: one is above TOLERANCE, or no number.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3

    def run(name: str, *given: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the outputs of one of the files, in the order of NAMES."""
        session = onnxruntime.InferenceSession(
            folder / name, options, providers=["CPUExecutionProvider"]
        )
        inputs, outputs = NAMES[name]
        found: list[NDArray[np.float32]] = session.run(
            outputs, dict(zip(inputs, given, strict=True))
        )
        return found

    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / np.float32(255)
    with torch.inference_mode():
        features = Embedder(net, config).eval()(torch.from_numpy(pixels))
        score, same = Verdict(net).eval()(features, features.roll(1, 0))
    (whole,) = run(EMBEDDER, pixels)
    (one,) = run(EMBEDDER, pixels[:1])
    ends = run(VERDICT, whole, np.roll(whole, 1, 0))
    return {
        "features": _difference(EMBEDDER, whole, features.numpy(), 0.0),
        "features of one image": _difference(EMBEDDER, one, features[:1].numpy(), 0.0),
        "score": _difference(VERDICT, ends[0], score.numpy(), 1.0),
        "probability": _difference(VERDICT, ends[1], same.numpy(), 1.0),
    }


def _difference(
    name: str, found: NDArray[np.float32], known: NDArray[np.float32], least: float
) -> float:
    """Return how far an output is from torch's at most; `least` is the smallest scale."""
    apart = float(np.abs(found - known).max()) if found.shape == known.shape else np.inf
    most = TOLERANCE * max(least, float(np.abs(known).max()))
    if not apart <= most:  # NaN is not
        raise WeightsError(
            f"{name}: what onnxruntime computes differs from torch by {apart:.2g}, and at most "
            f"{most:.2g} is published; nothing was written"
        )
    return apart


def _write(module: nn.Module, given: tuple[Tensor, ...], file: Path) -> None:
    """Write one file whose first dimension is free."""
    inputs, outputs = NAMES[file.name]
    batch = torch.export.Dim("batch", min=1)
    with _quiet(), _exportable():
        torch.onnx.export(
            module,
            given,
            str(file),
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=tuple({0: batch} for _ in given),
            external_data=_bytes(module) > LARGEST,
            verbose=False,
        )


def _bytes(module: nn.Module) -> int:
    return sum(value.nbytes for value in module.state_dict().values())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Within this torch's exporter, which logs each of its steps, is silent."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def _exportable() -> Iterator[None]:
    """Within this layers compute with what ONNX has: the same sums."""
    averaging, fast = nn.functional.adaptive_avg_pool2d, torch.backends.mha.get_fastpath_enabled()
    in_blocks = BlockConv2d.forward
    # ONNX has it for one position only.
    nn.functional.adaptive_avg_pool2d = _averaged  # type: ignore[assignment]
    torch.backends.mha.set_fastpath_enabled(False)  # a fused layer
    # Blocks are for torch's speed.
    BlockConv2d.forward = nn.Conv2d.forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.functional.adaptive_avg_pool2d = averaging
        torch.backends.mha.set_fastpath_enabled(fast)
        BlockConv2d.forward = in_blocks  # type: ignore[method-assign]


def _averaged(images: Tensor, size: Any) -> Tensor:
    """Average images onto a grid, as ``adaptive_avg_pool2d`` and ``interpolate(mode="area")``.

    A position is the mean of a rectangle, so it is a mean of rows and one of columns: (B, C, H, W)
    → (B, C, h, w) by two matrices.
    """
    high, wide = (size, size) if isinstance(size, int) else size
    if (high, wide) == tuple(images.shape[2:]):
        return images
    rows, columns = _means(int(images.shape[2]), high), _means(int(images.shape[3]), wide)
    return rows.to(images) @ images @ columns.to(images).T


def _means(length: int, wanted: int) -> Tensor:
    """Return the matrix (wanted, length) that averages a line, as torch divides it."""
    found = torch.zeros(wanted, length)
    for at in range(wanted):
        start, end = at * length // wanted, -(-(at + 1) * length // wanted)
        found[at, start:end] = 1 / (end - start)
    return found


def describe(differences: Mapping[str, float]) -> str:
    """Return a sentence on what ``largest_difference`` found."""
    shown = ", ".join(f"{name} {apart:.1e}" for name, apart in differences.items())
    return f"largest difference of ONNX to torch: {shown}"
