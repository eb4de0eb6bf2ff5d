"""What goes into a training run and what comes out: TrialConfig and EpochMetrics.

Free of torch and Ray, so that a space file is checked before anything heavy is imported. A field
added to TrialConfig is a setting everywhere at once: space files, ``--set``, the JSON schema, the
dataframe's columns and TensorBoard all read SETTINGS.
"""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

Value = bool | int | float | str

Protocol = Literal["cfp-pairs", "frontal-triplets"]
Part = Literal["train", "val", "test"]
Geometry = Literal["squeeze", "letterbox"]

GEOMETRY: dict[str, Geometry] = {"cfp-pairs": "squeeze", "frontal-triplets": "letterbox"}
"""How each protocol brings an image to 224×224."""


class ConfigError(ValueError):
    """Settings that no trial can run with; the text names each of them and the rule it breaks."""


def _setting(
    default: Value, help: str, *, above: float | None = None, low: float | None = None,
    high: float | None = None,
) -> Any:
    bounds = {"above": above, "low": low, "high": high}
    return field(default=default, metadata={"help": help, **bounds})


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """Every setting of one training run. Flat: the YAML key, the column and the tag are one word.

    Raises:
        ConfigError: a value is outside its bounds, or two settings contradict each other.
    """

    net: Literal["alexnet", "vgg16_bn"] = _setting(
        "alexnet", "trunk that both images pass through, by its torchvision name"
    )
    join: Literal["concat", "difference", "linear"] = _setting(
        "concat",
        "how the two images' features meet: concatenated, absolute difference, or each through a "
        "linear layer of `hidden` units and then concatenated",
    )
    hidden: int = _setting(4096, "width of the head's hidden layers, in units", low=2, high=65536)
    dropout: bool = _setting(False, "dropout of 0.5 after each hidden ReLU of the head")
    pretrained: bool = _setting(False, "start the trunk from torchvision's ImageNet weights")
    freeze: bool = _setting(
        False, "no gradient for the first convolutions: 7 of VGG with batch-norm, 3 of AlexNet"
    )
    freeze_batchnorm: bool = _setting(
        False, "batch-norm keeps its pretrained statistics; its scale and shift still train"
    )
    loss: Literal["single", "two"] = _setting(
        "two",
        "single: one cross-entropy over the mixed batch; two: mean of the positive pairs' and the "
        "negative pairs' cross-entropy, half of the batch each",
    )
    optimizer: Literal["adam"] = _setting("adam", "Adam with betas 0.9 and 0.999")
    lr: float = _setting(1e-5, "learning rate", above=0, high=10)
    weight_decay: float = _setting(0.0, "L2 penalty added to the gradient", low=0, high=10)
    batch_size: int = _setting(
        16, "pairs (cfp-pairs) or triplets (frontal-triplets) an update", low=1, high=65536
    )
    augment: bool = _setting(
        False,
        "random flip, with rotation within ±20° (cfp-pairs) or a shift within ±12.5 % of each "
        "side (frontal-triplets); training images only",
    )
    epochs: int = _setting(60, "passes over the training pairs", low=1, high=100_000)
    seed: int = _setting(
        0, "seeds the weights, the order, augmentation and dropout", low=0, high=2**31 - 1
    )
    protocol: Protocol = _setting(
        "frontal-triplets",
        "cfp-pairs: the official frontal and profile pairs; frontal-triplets: one (anchor, "
        "positive, negative) per frontal image",
    )
    pair_seed: int = _setting(
        0,
        "draws the triplets, apart from `seed`: trials of different seeds meet the same pairs",
        low=0, high=2**31 - 1,
    )
    people: int = _setting(
        0, "limit each part to its first N people, for quick runs; 0: everyone", low=0, high=10**6
    )
    image_size: int = _setting(
        224, "side of the images that the trunk sees, in pixels; below 224 they are averaged down",
        low=64, high=224,
    )
    precision: Literal["auto", "bf16", "fp32"] = _setting(
        "auto", "arithmetic of the layers; auto: bf16 where the processor multiplies in it"
    )

    def __post_init__(self) -> None:
        problems = [
            f"{name}: {problem}"
            for name, setting in SETTINGS.items()
            if (problem := setting.problem(getattr(self, name)))
        ]
        problems = problems or conflicts(asdict(self))
        if problems:
            raise ConfigError("; ".join(problems))

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


@dataclass(frozen=True)
class Setting:
    """One field of TrialConfig, as the checks, the schema and ``--set`` need it."""

    name: str
    type: type
    default: Value
    help: str
    choices: tuple[str, ...] = ()
    above: float | None = None
    low: float | None = None
    high: float | None = None

    def parse(self, text: str) -> Value:
        """Turn written text into a value by this setting's own type, so ``1e-5`` is a number.

        Raises:
            ValueError: the text is not of that type; the message is a sentence without the name.
        """
        if self.type is str:
            return text
        if self.type is bool:
            return _parse_bool(text)
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"must be {_article(self.type)}, got {text!r}") from None
        if self.type is int:
            if not number.is_integer():
                raise ValueError(f"must be a whole number, got {text}")
            return int(number)
        return number

    def problem(self, value: object) -> str | None:
        """Say in a sentence why ``value`` cannot be this setting, or None where it can."""
        if self.choices:
            return None if value in self.choices else self._not_a_choice(value)
        if self.type is bool:
            return None if isinstance(value, bool) else f"must be true or false, got {value!r}"
        wanted = (int,) if self.type is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, wanted):
            return f"must be {_article(self.type)}, got {value!r}"
        if not math.isfinite(value):
            return f"must be finite, got {value}"
        if self.above is not None and value <= self.above:
            return f"must be above {self.above:g}, got {value:g}"
        if self.low is not None and value < self.low:
            return f"must be {self.low:g} or more, got {value:g}"
        if self.high is not None and value > self.high:
            return f"must be {self.high:g} or less, got {value:g}"
        return None

    def _not_a_choice(self, value: object) -> str:
        return f"{value!r} is not one of {', '.join(self.choices)}" + did_you_mean(
            str(value), self.choices
        )


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch of one trial measured. The names are the tables' columns and the tags."""

    epoch: int
    """Number of the epoch, from 0."""
    train_loss: float
    """Mean loss over the epoch's updates, in nats, as trained (with augmentation and dropout)."""
    train_acc: float
    """Share of training pairs judged right during the epoch, in [0, 1], as trained."""
    val_loss: float
    """Mean cross-entropy over the validation pairs after the epoch, in nats."""
    val_acc: float
    """Share of validation pairs judged right after the epoch, in [0, 1]."""
    val_pairs: int
    """Number of validation pairs, which the interval of `val_acc` rests on."""
    seconds: float
    """Wall-clock time of the epoch, training and validation, in seconds."""
    samples_per_second: float
    """Training pairs a second, validation left out."""
    peak_memory_mib: float
    """Most memory held in the epoch, in MiB: allocated on the GPU, or resident in the process."""
    updates: int
    """Optimizer steps of the epoch."""
    trunk_grad_max: float
    """Largest absolute entry of the loss gradient over the trunk's trainable parameters, on any
    step of the epoch, weight decay left out. NaN: the whole trunk is frozen, or an entry was
    NaN."""
    trunk_grad_zero: float
    """Share of the epoch's steps where every one of those entries was exactly 0, in [0, 1]. NaN:
    the whole trunk is frozen."""
    trunk_live: float
    """Share of units (channel × position) of the trunk's deepest ReLU that are positive for at
    least one validation image, in [0, 1]. NaN: the trunk has no ReLU, or an output was NaN."""
    head_live: float
    """The same for the head over the validation pairs: the least over its ReLU layers, in [0, 1].
    NaN: the head has no ReLU, or an output was NaN."""
    logit_spread: float
    """Highest minus lowest difference of the two logits (first minus second) over the validation
    pairs; 0: every pair gets the same verdict, equally sure. NaN: a logit is NaN."""

    def to_dict(self) -> dict[str, float]:
        """Return the fields by name."""
        return asdict(self)


METRICS: tuple[str, ...] = ("val_acc", "val_loss", "train_acc", "train_loss")
"""What a search may optimise."""


def conflicts(settings: Mapping[str, Value]) -> list[str]:
    """List the rules between two settings that ``settings``, complete and in bounds, break."""
    problems = []
    vgg = settings["net"] == "vgg16_bn"
    if vgg and settings["freeze_batchnorm"] and not settings["pretrained"]:
        problems.append(
            "freeze_batchnorm: true needs pretrained: true (the statistics of untrained "
            "batch-norm layers mean nothing)"
        )
    odd = int(settings["batch_size"]) % 2
    if settings["loss"] == "two" and settings["protocol"] == "cfp-pairs" and odd:
        problems.append(
            f"batch_size: must be even with loss: two (half of a batch each), "
            f"got {settings['batch_size']}"
        )
    return problems


def unknown_setting(name: str) -> str:
    """Say that ``name`` is no setting, with the nearest one that is."""
    return f"{name}: not a setting" + did_you_mean(name, SETTINGS)


def did_you_mean(name: str, names: Any) -> str:
    """Return '; did you mean X?' for the nearest of ``names``, or '' where none is near."""
    near = get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def positive(text: str) -> int:
    """Read a whole number from 1, for argparse."""
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"must be a whole number from 1, got {text}")
    return int(text)


def _parse_bool(text: str) -> bool:
    word = text.lower()
    if word in ("true", "yes", "on"):
        return True
    if word in ("false", "no", "off"):
        return False
    raise ValueError(f"must be true or false, got {text!r}")


def _article(kind: type) -> str:
    return "a whole number" if kind is int else "a number"


def _settings() -> dict[str, Setting]:
    hints = get_type_hints(TrialConfig)
    table = {}
    for item in fields(TrialConfig):
        hint = hints[item.name]
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        kind = str if choices else hint
        table[item.name] = Setting(
            name=item.name, type=kind, default=item.default,  # type: ignore[arg-type]
            choices=choices, **item.metadata,
        )
    return table


SETTINGS: dict[str, Setting] = _settings()
"""Every setting by name, in the order of TrialConfig."""
