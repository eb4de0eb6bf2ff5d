"""Verifier: a trained net that embeds and compares face images given in memory or as files.

There is no face detector: an image is a cropped face, as those that the net was trained on.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from facesiam.config import TrialConfig
from facesiam.data import input_images
from facesiam.device.image_store import ImageStore
from facesiam.errors import DataError
from facesiam.evaluation.predict import EVAL_IMAGES, EVAL_PAIRS, log_odds_of
from facesiam.evaluation.thresholds import describe_threshold, own_threshold
from facesiam.export import folder
from facesiam.nets.siamese import SiameseNet
from facesiam.plugins import loading

OneImage: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[np.uint8] | Tensor
Images: TypeAlias = OneImage | Sequence[OneImage]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """What a net says of one pair, or of P pairs: numbers, or arrays (P,)."""

    score: float | Floats
    """Higher is more alike: the cosine, the negative distance, or a decision net's difference of
    logits; of a net with a `cohort` in deviations from its scores with training people."""
    probability: float | Floats
    """Of "same person", as calibrated on validation pairs or as the logits say; in [0, 1]."""
    same: bool | NDArray[np.bool_]
    """Whether the score is above the threshold."""


class Verifier:
    """A trained net in fp32, for images of any size that show a cropped face each.

    Example::

        verifier = Verifier.load("exported")
        verifier.compare("one.jpg", "other.jpg", far=1e-3).same

    Args:
        net: in evaluation mode, as ``facesiam.export.folder.load`` returns it.
        config: its settings.
        thresholds: of scores, by false-accept rate on validation pairs.
        name: of the net, in errors.
        few: by false-accept rate a sentence, where too few pairs chose its threshold.
    """

    def __init__(
        self,
        net: SiameseNet,
        config: TrialConfig,
        thresholds: Mapping[float, float] | None = None,
        name: str = "the net",
        few: Mapping[float, str] | None = None,
    ) -> None:
        self.net, self.config, self.name = net, config, name
        self.thresholds, self.few = dict(thresholds or {}), dict(few or {})

    @classmethod
    def load(cls, place: str | Path, plugins: Sequence[str | Path] = ()) -> Verifier:
        """Load a net from an exported folder, a file of weights, or a run folder.

        Args:
            place: the folder or file; of several nets in a run that which is best by the metric
                that ranked it.
            plugins: files of plugins whose parts the net has.

        Raises:
            WeightsError: there is none, or it cannot be used.
            PluginError: a plugin cannot be used.
        """
        loading.load_all(plugins)
        stored = folder.load(place)
        return cls.of(stored)

    @classmethod
    def of(cls, stored: folder.Stored) -> Verifier:
        """Return the verifier of a net that ``facesiam.export.folder.load`` has loaded."""
        name = str(stored.path)
        return cls(stored.net, stored.config, stored.thresholds, name, stored.few)

    def __repr__(self) -> str:
        rates = ", ".join(f"{rate:g}" for rate in sorted(self.thresholds, reverse=True)) or "none"
        made = f"{self.config.net}, {self.config.join}"
        return f"<Verifier {self.name}: {made}; thresholds for false-accept rates: {rates}>"

    def embed(self, images: Images) -> NDArray[np.float32]:
        """Return a vector for each of N images, (N, D); one image is N = 1.

        They are unit vectors of an embedding net (joins `cosine` and `distance`), and the trunk's
        features of a decision net, which only its head can compare.

        Args:
            images: one or a sequence of: path, Pillow image, array (H, W, 3) uint8 RGB, tensor
                (3, H, W) RGB of uint8 or of floats in [0, 1]. An array (N, H, W, 3) and a tensor
                (N, 3, H, W) are N images.

        Raises:
            FileError: one cannot be read.
            DataError: one is no image.
        """
        given = _listed(images)
        batch = EVAL_IMAGES[self._device.type]
        found = [self._described(given, at, at + batch) for at in range(0, len(given), batch)]
        if not found:
            raise DataError("no images were given")
        return np.concatenate(found)

    def compare(self, one: Images, other: Images, far: float | None = None) -> Comparison:
        """Compare images pair by pair, or one with several.

        Args:
            one: as for ``embed``; P images, or one.
            other: the second image of each pair; P, or one.
            far: false-accept rate on validation pairs whose threshold is used; None: the threshold
                that judged validation pairs best, or a decision net's own.

        Returns:
            Numbers where two single images were given, else arrays (P,).

        Raises:
            FileError: as ``embed``.
            DataError: as ``embed``; the numbers of images differ; no threshold is stored for
                `far`.
        """
        single = _is_single(one) and _is_single(other)
        self.threshold(far)  # refused before anything is computed
        return self.compare_embedded(self.embed(one), self.embed(other), far, single)

    @torch.inference_mode()
    def compare_embedded(
        self,
        one: NDArray[np.float32],
        other: NDArray[np.float32],
        far: float | None = None,
        single: bool = False,
    ) -> Comparison:
        """Compare what ``embed`` returned, (P, D) with (P, D), as ``compare``; (1, D) with all.

        Args:
            one: vectors.
            other: vectors.
            far: as for ``compare``.
            single: return the numbers of the one pair.
        """
        count = max(len(one), len(other))
        if {len(one), len(other)} - {1, count}:
            raise DataError(
                f"{len(one)} images are to be compared with {len(other)}; give as many, or one"
            )
        threshold, logits = self.threshold(far), []
        for at in range(0, count, EVAL_PAIRS):
            ends = [
                torch.from_numpy(side if len(side) == 1 else side[at : at + EVAL_PAIRS])
                for side in (one, other)
            ]
            rows = max(map(len, ends))
            left, right = (end.to(self._device).expand(rows, -1) for end in ends)
            logits.append(self.net.logits(left, right).float().cpu())
        every = torch.cat(logits)
        score = self.net.scores(every).numpy()
        odds = log_odds_of(every)
        same = odds > 0 if threshold is None else score > threshold
        probability = torch.sigmoid(torch.from_numpy(odds)).numpy()
        if single:
            return Comparison(float(score[0]), float(probability[0]), bool(same[0]))
        return Comparison(score, probability, same)

    def threshold(self, far: float | None) -> float | None:
        """Return the threshold of the scores for a false-accept rate; None where that is None.

        Raises:
            DataError: none is stored for that rate.
        """
        if far is None:
            return None
        for known, threshold in self.thresholds.items():
            if math.isclose(known, far):
                return threshold
        if not self.thresholds:
            raise DataError(
                f"{self.name}: no thresholds are stored with it; they are chosen on validation "
                f"pairs: of a run's net by search.retrain --far {far:g}, of an exported one by "
                "facesiam.export --data"
            )
        there = ", ".join(f"{known:g}" for known in sorted(self.thresholds, reverse=True))
        raise DataError(
            f"{self.name}: no threshold is stored for a false-accept rate of {far:g}; there are "
            f"those for {there}, and search.retrain --far {far:g} stores one with a run's net"
        )

    def too_few(self, far: float | None) -> str:
        """Return a sentence where too few pairs chose the threshold of a rate, else ``""``."""
        said = (text for known, text in self.few.items() if far and math.isclose(known, far))
        return next(said, "")

    @property
    def own_threshold(self) -> float:
        """The threshold of the scores that is used without a false-accept rate."""
        return float(self.net.threshold) if self.net.calibrated else 0.0

    def describe_own_threshold(self) -> str:
        """Return in words where ``own_threshold`` lies."""
        origin = own_threshold(self.config.to_dict())
        return f"the net's own: {describe_threshold(origin, self.config.protocol)}"

    @property
    def _device(self) -> torch.device:
        return next(self.net.parameters()).device

    @torch.inference_mode()
    def _described(self, given: Sequence[OneImage], start: int, end: int) -> NDArray[np.float32]:
        """Return the vectors of some of the images."""
        squares = [self._square(image, at) for at, image in enumerate(given[start:end], start)]
        store = ImageStore(np.stack(squares), self.config.image_size, self._device)
        images = store.batch(torch.arange(len(squares), device=self._device))
        return self.net.describe(images).float().cpu().numpy()

    def _square(self, given: Any, at: int) -> NDArray[np.uint8]:
        """Return an image as the net's images were packed, (S, S, 3)."""
        packing, name = self.config.packing, f"image {at}"
        if isinstance(given, str | os.PathLike):
            image = input_images.of_file(Path(given).expanduser(), packing)
        elif isinstance(given, Image.Image):
            image = input_images.of_image(given, packing, name)
        elif isinstance(given, Tensor):
            image = input_images.of_array(_bytes_of(given, name), packing, name)
        elif isinstance(given, np.ndarray):
            image = input_images.of_array(given, packing, name)
        else:
            raise DataError(
                f"{name}: is of type {type(given).__name__}; an image is a path, a Pillow image, "
                "an array (H, W, 3) or a tensor (3, H, W)"
            )
        return np.asarray(image)


def _is_single(images: Images) -> bool:
    if isinstance(images, np.ndarray | Tensor):
        return images.ndim == 3
    return isinstance(images, str | os.PathLike | Image.Image)


def _listed(images: Images) -> list[OneImage]:
    if isinstance(images, str | os.PathLike | Image.Image):
        return [images]
    if isinstance(images, np.ndarray | Tensor):
        return list(images) if images.ndim == 4 else [images]
    return list(images)


def _bytes_of(image: Tensor, name: str) -> NDArray[np.uint8]:
    """Return a tensor (3, H, W), of bytes or of floats in [0, 1], as an array (H, W, 3) uint8."""
    values = image.detach().cpu()
    if values.ndim != 3 or len(values) != 3:
        raise DataError(
            f"{name}: is a tensor of shape {tuple(values.shape)}; an image is (3, H, W)"
        )
    if values.is_floating_point():
        low, high = (float(end) for end in values.float().aminmax())
        if not (low >= 0 and high <= 1):  # NaN is neither
            raise DataError(
                f"{name}: is a tensor with values from {low:g} to {high:g}; floats must be within "
                "0 and 1, before any normalisation"
            )
        values = (values.float() * 255).round().to(torch.uint8)
    return values.permute(1, 2, 0).numpy()
