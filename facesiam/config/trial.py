"""TrialConfig: every setting of a training run, with its meaning, default and bounds.

Free of torch and Ray, so that a space file is checked before anything heavy is imported. A field
added to TrialConfig is a setting everywhere at once: space files, ``--set``, the JSON schema, the
dataframe's columns and TensorBoard all read SETTINGS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, NamedTuple, get_args, get_origin, get_type_hints

from facesiam.config.constraints import (
    EMBEDDING_JOINS,
    EmbeddingJoin,
    EmbeddingLoss,
    PairLoss,
    conflicts,
    own_stochastic_depth,
)
from facesiam.config.nets import Net
from facesiam.config.settings import Setting, Value, did_you_mean
from facesiam.config.settings import setting as _setting
from facesiam.errors import ConfigError

Protocol = Literal["cfp-pairs", "dataset-pairs", "frontal-triplets"]
DataFormat = Literal["cfp", "lfw", "pairs", "images", "bin", "folders"]
"""What a dataset can be read as; ``facesiam.data.formats`` has a reader of each."""
Part = Literal["train", "val", "test"]
Geometry = Literal["squeeze", "letterbox", "aligned"]

GEOMETRY: dict[str, Geometry] = {
    "cfp-pairs": "squeeze",
    "dataset-pairs": "squeeze",
    "frontal-triplets": "letterbox",
}
"""How each protocol brings an image to a square, where faces are not aligned."""


class Packing(NamedTuple):
    """How a dataset's images are packed."""

    geometry: Geometry
    """How an image comes to a square."""
    side: int
    """Of the square, in pixels."""

    @property
    def file(self) -> str:
        """Name of the packed file, in the folder of its dataset."""
        return f"{self.geometry}-{self.side}.npy"


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """Every setting of one training run. Flat: the YAML key, the column and the tag are one word.

    Raises:
        ConfigError: a value is outside its bounds, or two settings contradict each other.
    """

    # The net
    net: Net = _setting("alexnet")
    """Trunk that both images pass through, by its torchvision name; efficientnet_lite0 to 2 of
    the extra `lite`; or ArcFace's iresnet18 to 100."""
    join: Literal["concat", "difference", "linear", EmbeddingJoin] = _setting("concat")
    """How the two images' features meet. Decision nets: concatenated, absolute difference, or each
    through a linear layer of `hidden` units and then concatenated. Embedding nets: the cosine or
    the negative distance of two unit vectors, against a calibrated threshold."""
    hidden: int = _setting(4096, low=2, high=65536)
    """Width of a decision head's hidden layers, in units."""
    embedding: int = _setting(256, low=0, high=65536)
    """Length of an embedding net's vectors, in units; 0: the trunk's own features are the vector,
    as of face weights that are to stay what they are."""
    dropout: bool = _setting(False)
    """Dropout of 0.5 after each hidden ReLU of a decision head; of 0.2 before an embedding
    head."""
    stochastic_depth: float = _setting(0.0, low=0, high=0.9)
    """Chance that training leaves out the trunk's last residual branch for an image, rising to
    that from 0 at the first; none in frozen blocks. ConvNeXt, EfficientNet (lite too), MaxViT and
    Swin have it, by their authors between 0.1 and 0.5."""
    pretrained: bool = _setting(False)
    """Start the trunk from its ImageNet weights; of iresnet from those that --weights gives."""
    input_scale: Literal["auto", "unit", "weights"] = _setting("auto")
    """Values of the input. unit: [0, 1]; weights: by mean and deviation as for the pretrained
    weights, of iresnet [-1, 1]; auto: weights where pretrained, but unit for alexnet and vgg16_bn,
    as the 2019 study ran them."""
    freeze: bool = _setting(False)
    """No gradient for the first convolutions: 7 of VGG with batch-norm, 3 of AlexNet."""
    freeze_stages: int = _setting(0, low=0, high=8)
    """No gradient for the trunk's layers before its resolution is below 224 / 2^n: 1 freezes what
    works at 112 pixels, 5 all of most nets; 0: none."""
    freeze_batchnorm: bool = _setting(False)
    """Batch-norm keeps its pretrained statistics; its scale and shift still train."""
    # The loss
    loss: Literal[PairLoss, EmbeddingLoss] = _setting("two")
    """Of decision nets, single: one cross-entropy over the mixed batch; two: mean of the positive
    pairs' and the negative pairs' cross-entropy, half of the batch each. The others are of
    embedding nets, over all pairs or identities of a batch."""
    margin: float = _setting(0.3, low=0, high=4)
    """Margin of an embedding loss: a distance (contrastive, triplet), a cosine (cosine_embedding,
    cosface) or an angle in radians (arcface, subcenter_arcface); of adaface both, by the image."""
    loss_scale: float = _setting(16.0, above=0, high=1000)
    """What cosines are multiplied by in the losses of identities and supcon (1 / temperature), and
    where logistic begins."""
    sub_centres: int = _setting(3, low=1, high=16)
    """Vectors that subcenter_arcface learns of each person, of which the nearest counts."""
    mining: Literal["all", "hard", "semihard"] = _setting("all")
    """Which triplets of a batch the triplet loss takes."""
    hard_negatives: float = _setting(1.0, above=0, high=1)
    """Share of a batch's pairs of two people, the most alike, that contrastive, cosine_embedding
    and logistic count."""
    label_smoothing: float = _setting(0.0, low=0, high=0.9)
    """Share of the target given to the other classes, in losses that are cross-entropies."""
    # The optimizer
    optimizer: Literal["adam", "adamw", "sgd"] = _setting("adam")
    """Adam with betas 0.9 and 0.999, the same with decoupled weight decay, or SGD with
    `momentum`."""
    lr: float = _setting(1e-5, above=0, high=10)
    """Learning rate, the highest of its schedule."""
    head_lr: float = _setting(1.0, above=0, high=1000)
    """What is not the trunk learns at this many times `lr`."""
    momentum: float = _setting(0.9, low=0, high=0.999)
    """Momentum of SGD (Nesterov's where above 0)."""
    weight_decay: float = _setting(0.0, low=0, high=10)
    """L2 penalty added to the gradient; with adamw taken off the weights, times lr; of all that
    learns, the loss's own parameters as well."""
    schedule: Literal["constant", "cosine", "onecycle"] = _setting("constant")
    """How the learning rate goes, from update to update: cosine falls to 0 over `epochs`; onecycle
    rises from a 25th for 30 % of them, then falls."""
    warmup: float = _setting(0.0, low=0, high=0.9)
    """Share of all updates in which the learning rate rises linearly from 0."""
    ema: float = _setting(0.0, low=0, high=0.99999)
    """Decay of a moving average of the weights, which is validated, kept and tested; 0: none.
    0.999 reaches over the last 1,000 updates, of fewer than 9,000 over the last ninth."""
    # The batches
    batch_size: int = _setting(16, low=1, high=65536)
    """Pairs or triplets (frontal-triplets) an update; with images_per_person,
    images."""
    images_per_person: int = _setting(0, low=0, high=64)
    """0: batches are the protocol's pairs or triplets; else `batch_size` images, so many of each
    person, and an epoch meets every image once, some again to fill up a person's last group; for
    embedding nets."""
    views: Literal["protocol", "all"] = _setting("protocol")
    """Images of the training people that batches of images_per_person draw from: those of the
    protocol's training pairs, or all there are, frontal and profile."""
    lookalike_people: float = _setting(0.0, low=0, high=0.9)
    """Share of the people of such a batch who are those most alike to its other people, by the net
    before each epoch; 0: the people of a batch are drawn."""
    augment: bool = _setting(False)
    """Random flip, with rotation within ±20° (pairs) or a shift within ±12.5 % of each side
    (frontal-triplets); training images only, as are the next ones."""
    flip: bool = _setting(False)
    """Mirror half of the images; aligned profiles, which all look right, stay so."""
    rotate: float = _setting(0.0, low=0, high=180)
    """Turn by up to so many degrees either way."""
    shift: float = _setting(0.0, low=0, high=0.5)
    """Move by up to this share of each side."""
    crop: float = _setting(0.0, low=0, high=0.9)
    """Zoom in or out by a factor of up to 1 / (1 - crop)."""
    colour: float = _setting(0.0, low=0, high=1)
    """Change brightness, contrast and saturation by up to this share."""
    erase: float = _setting(0.0, low=0, high=1)
    """Chance that a rectangle of 2 to 20 % of the image is filled with its mean colour."""
    epochs: int = _setting(60, low=1, high=100_000)
    """Passes over the training pairs."""
    seed: int = _setting(0, low=0, high=2**31 - 1)
    """Seeds the weights, the order, augmentation and dropout."""
    # The data
    protocol: Protocol = _setting("frontal-triplets")
    """cfp-pairs: CFP's official frontal and profile pairs; dataset-pairs: the pairs that the data
    lists, or as many of one person as of two, drawn; frontal-triplets: one (anchor, positive,
    negative) per frontal image, or per image of data without views."""
    fold: int = _setting(0, low=0, high=10)
    """0: the protocol's own split of the people; k from 1 to 10: the people of fold k (CFP: of its
    official split k) test, those of the next one (1 after 10) validate, the other eight train."""
    pair_seed: int = _setting(0, low=0, high=2**31 - 1)
    """Draws the triplets, apart from `seed`: trials of different seeds meet the same pairs."""
    people: int = _setting(0, low=0, high=10**6)
    """Limit each part to its first N people, for quick runs; 0: everyone."""
    align: bool = _setting(False)
    """Faces turned, scaled and mirrored onto one template by the data's landmarks, all profiles
    looking right; needs data that has them, as CFP does."""
    image_size: int = _setting(224, low=64, high=224)
    """Side of the images that the trunk sees, in pixels; below `packed_size` they are averaged
    down."""
    first_image_size: int = _setting(0, low=0, high=224)
    """Side of the first epoch's training images, in pixels, which grows to `image_size`; 0: they
    have that from the beginning, as validation has."""
    growing: float = _setting(0.5, low=0, high=0.9)
    """Share of the epochs over which `first_image_size` grows; above 0 where there is one."""
    packed_size: int = _setting(224, low=64, high=224)
    """Side of the packed images, in pixels; a search packs at the largest `image_size` of its
    trials unless this says otherwise."""
    fpr: float = _setting(0.01, above=0, high=0.5)
    """Rate of false accepts at which `val_tpr_at_fpr` is the rate of true accepts."""
    fpr_pairs: Literal["protocol", "images", "people"] = _setting("protocol")
    """Validation pairs that `val_tpr_at_fpr` is measured on: those of the protocol, every two of
    the images in them, or every two of all images of their people; the last two of embedding
    nets."""
    # Prediction
    calibrate: bool = _setting(False)
    """Put a decision net's threshold where the validation pairs are judged best, after each epoch;
    embedding nets always do."""
    flip_average: bool = _setting(False)
    """Validate and test with the mean embedding of an image and its mirror image."""
    scale_average: float = _setting(0.0, low=0, high=0.5)
    """Validate and test with the mean embedding of an image and of it zoomed in and out by a
    factor of 1 / (1 - scale_average); 0: of the image alone."""
    cohort: int = _setting(0, low=0, high=100_000)
    """Validate and test with scores that are normalised by those of this many training people,
    the most alike to each of the two images (adaptive s-norm); 0: with the scores as they are."""
    precision: Literal["auto", "bf16", "fp32"] = _setting("auto")
    """Arithmetic of the layers; auto: bf16 where the processor multiplies in it, but on a CPU fp32
    for nets of depthwise convolutions, which are faster so."""

    def __post_init__(self) -> None:
        problems = [
            f"{name}: {problem}"
            for name, setting in SETTINGS.items()
            if (problem := setting.problem(getattr(self, name)))
        ]
        problems = problems or conflicts(asdict(self))
        if problems:
            raise ConfigError("; ".join(problems))

    @property
    def packing(self) -> Packing:
        """How the images are packed."""
        return packing_of(asdict(self))

    @classmethod
    def from_dict(cls, settings: Mapping[str, Value]) -> TrialConfig:
        """Build a config from a flat dict, refusing names that are not settings.

        Raises:
            ConfigError: an unknown name (with the nearest one), or a value out of its bounds.
        """
        unknown = [unknown_setting(name) for name in settings if name not in SETTINGS]
        if unknown:
            raise ConfigError("; ".join(unknown))
        return cls(**settings)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Value]:
        """Return every setting by name; ``from_dict`` takes it back."""
        return asdict(self)


def recorded(settings: Mapping[str, Value]) -> dict[str, Value]:
    """Return all settings of a trial from what was noted of it.

    A setting that was not there yet has its default, with which the trial ran; but stochastic
    depth was its net's own before it could be set.
    """
    net = str(settings.get("net", SETTINGS["net"].default))
    before: dict[str, Value] = {"stochastic_depth": own_stochastic_depth(net)}
    return {**{name: item.default for name, item in SETTINGS.items()}, **before, **settings}


def packing_of(settings: Mapping[str, Value]) -> Packing:
    """Return how images are packed under these settings: aligned, or as the protocol says."""
    geometry = "aligned" if settings["align"] else GEOMETRY[str(settings["protocol"])]
    return Packing(geometry, int(settings["packed_size"]))


def is_calibrated(settings: Mapping[str, Value]) -> bool:
    """Say whether the net's threshold is chosen on the validation pairs, after each epoch.

    What is not known of the settings counts as not set.
    """
    return settings.get("join") in EMBEDDING_JOINS or bool(settings.get("calibrate"))


_USUAL_NAMES = {
    "backbone": "net",
    "learning_rate": "lr",
    "model": "net",
    "scheduler": "schedule",
    "wd": "weight_decay",
}
"""Settings by what other programs call them, where the spelling alone does not tell."""


def unknown_setting(name: str) -> str:
    """Say that ``name`` is no setting, with the nearest one that is."""
    if name in _USUAL_NAMES:
        return f"{name}: not a setting; did you mean {_USUAL_NAMES[name]}?"
    return f"{name}: not a setting" + did_you_mean(name, SETTINGS)


def _settings() -> dict[str, Setting]:
    hints = get_type_hints(TrialConfig)
    table = {}
    for item in fields(TrialConfig):
        hint = hints[item.name]
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        kind = str if choices else hint
        table[item.name] = Setting(
            name=item.name,
            type=kind,
            default=item.default,  # type: ignore[arg-type]
            choices=choices,
            **item.metadata,
        )
    return table


SETTINGS: dict[str, Setting] = _settings()
"""Every setting by name, in the order of TrialConfig."""
