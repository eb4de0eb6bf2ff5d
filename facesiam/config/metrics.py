"""EpochMetrics: what one epoch of training measures, and which of it a search may optimise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

Metric = Literal["val_acc", "val_auc", "val_tpr_at_fpr", "val_loss", "train_acc", "train_loss"]
"""What a search may optimise."""
METRICS: tuple[str, ...] = get_args(Metric)
SHARES = tuple(name for name in METRICS if not name.endswith("_loss"))
"""Those of them that lie between 0 and 1."""
Mode = Literal["max", "min"]
TPR = "val_tpr_at_fpr"
"""The metric whose pairs the settings `fpr` and `fpr_pairs` decide."""
ENDS: dict[str, tuple[str, str]] = {TPR: (f"{TPR}_low", f"{TPR}_high")}
"""Metrics that are measured with the two ends of their 95 % interval, and the names of these."""
OWN: dict[str, str] = {}
"""Metrics of plugins that a search may optimise as well, and whether more (max) or less (min) of
each is better."""


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch of one trial measured. The names are the tables' columns and the tags."""

    epoch: int
    """Number of the epoch, from 0."""
    train_loss: float
    """Mean loss over the epoch's updates, in nats, as trained (with augmentation and dropout)."""
    train_acc: float
    """Share of training pairs judged right during the epoch, in [0, 1], as trained. Of
    embedding nets: of all pairs in a batch, those of one person and the others having half of
    the say each, at the threshold of the epoch before."""
    val_loss: float
    """Mean cross-entropy over the validation pairs after the epoch, in nats."""
    val_acc: float
    """Share of validation pairs judged right after the epoch, in [0, 1]."""
    val_pairs: int
    """Number of validation pairs, which the interval of `val_acc` rests on."""
    seconds: float
    """Wall-clock time of the epoch, training and validation, in seconds."""
    samples_per_second: float
    """Training pairs a second, validation left out; images with images_per_person."""
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
    pairs; 0: every pair gets the same prediction, equally sure. NaN: a logit is NaN."""
    val_auc: float
    """Chance that a validation pair of the same person scores above one of different people, in
    [0, 1], whatever the threshold. NaN: a logit is NaN."""
    val_tpr_at_fpr: float
    """Share of validation pairs of the same person that are accepted where the share `fpr` of
    those of different people is, in [0, 1], on the pairs of `fpr_pairs`. NaN: a logit is NaN, or
    the pairs of different people are fewer than 1 / `fpr`."""
    val_tpr_at_fpr_low: float
    """Lower end of its 95 % interval, by a bootstrap over people. NaN: too few people."""
    val_tpr_at_fpr_high: float
    """Upper end."""

    own: Mapping[str, float] = field(default_factory=dict)
    """Metrics of plugins by name."""

    def to_dict(self) -> dict[str, float]:
        """Return the metrics by name, those of plugins last."""
        known = asdict(self)
        own: dict[str, float] = known.pop("own")
        return known | own


FIELDS = tuple(name for name in EpochMetrics.__dataclass_fields__ if name != "own")
"""The metrics of every epoch."""
