"""The cohort of score normalisation: what a net makes of the training people, before it is judged.

They are the people of the training pairs and of no others, so what normalises the scores of
validation and test pairs knows nothing of these.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.device.image_store import ImageStore
from facesiam.evaluation.predict import described
from facesiam.nets.siamese import SiameseNet

IMAGES = 2
"""Of each person, whose mean embedding stands for them."""


def cohort_images(config: TrialConfig, data: FaceData) -> NDArray[np.int64]:
    """Return images of every training person, evenly over those that train: (people, IMAGES)."""
    images = data.images_of(data.pairs_of(config, "train"), config.views)
    order = images[np.argsort(data.person[images], kind="stable")]
    ends = np.cumsum(np.unique(data.person[order], return_counts=True)[1])
    of_each = np.split(order, ends[:-1])
    at = [np.linspace(0, len(own) - 1, IMAGES).round().astype(np.int64) for own in of_each]
    return np.stack([own[some] for own, some in zip(of_each, at, strict=True)])


@torch.inference_mode()
def people_embeddings(
    net: SiameseNet,
    pixels: ImageStore,
    images: NDArray[np.int64],
    between: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return the embeddings of training people, as predictions have them: (people, E).

    Args:
        net: an embedding net on the device of the images; it is in evaluation mode after it.
        pixels: the images.
        images: of each training person, as ``cohort_images`` returns them.
        between: called before each batch of images; may raise to end it.
    """
    found = described(net, pixels, images.reshape(-1), between)
    return F.normalize(found.view(*images.shape, -1).mean(1), dim=1)
