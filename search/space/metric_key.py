"""The key `metric` of a space file: a metric of the epochs, or a list of it and of costs."""

from __future__ import annotations

from collections.abc import Sequence

from facesiam.config import Value
from facesiam.config.costs import COSTS
from facesiam.config.metrics import METRICS, OWN
from facesiam.config.settings import Setting
from search.space import fields

MEANT = {
    "accuracy": "val_acc",
    "acc": "val_acc",
    "val_accuracy": "val_acc",
    "validation_accuracy": "val_acc",
    "train_accuracy": "train_acc",
    "training_accuracy": "train_acc",
    "loss": "val_loss",
    "validation_loss": "val_loss",
    "training_loss": "train_loss",
    "auc": "val_auc",
    "auroc": "val_auc",
    "roc_auc": "val_auc",
    "tpr": "val_tpr_at_fpr",
    "tpr_at_fpr": "val_tpr_at_fpr",
    "tar": "val_tpr_at_fpr",
    "tar_at_far": "val_tpr_at_fpr",
}
"""Metrics by what others call them; by the spelling alone `val_accuracy` were nearest to
`val_auc`."""
COSTS_MEANT = {"parameters": "params", "size": "params", "flops": "macs", "latency": "latency_ms"}
"""Costs by what others call them."""


def metric_setting() -> Setting:
    """Return the key `metric`, whose choices grow with the metrics of plugins."""
    return Setting("metric", str, "val_acc", (*METRICS, *OWN), meant=MEANT)


def read(value: object) -> Value | list[Value]:
    """Return the metric, or the metric and the costs that are searched with it.

    Raises:
        ValueError: what is wrong, in a sentence without the key's name.
    """
    if isinstance(value, str) and "," in value:
        raise ValueError(f"write a list: [{', '.join(map(str.strip, value.split(',')))}]")
    if not isinstance(value, list):
        return _of_epochs(value)
    if not value:
        raise fields.Empty("an empty list; name a metric, and costs after it")
    first, *costs = value
    found = [_of_epochs(first), *map(_cost, costs)]
    if twice := [name for at, name in enumerate(found) if name in found[:at]]:
        raise ValueError(f"{twice[0]} stands twice; leave one out")
    return found


def _of_epochs(value: object) -> Value:
    if value in COSTS:
        raise ValueError(
            f"{value} is a cost, the same in every epoch; the first one must be a metric of the "
            f"epochs, by which trials are stopped and ranked, such as [val_acc, {value}]"
        )
    return fields.read(metric_setting(), value)


def _cost(value: object) -> Value:
    if value in metric_setting().choices:
        raise ValueError(
            f"{value} is a metric of the epochs; after the first one come costs: "
            f"{', '.join(COSTS)}"
        )
    return fields.read(Setting("metric", str, "", COSTS, meant=COSTS_MEANT), value)


def written(metric: str, costs: Sequence[str]) -> str | list[str]:
    """Return a metric and costs as a file has them."""
    return [metric, *costs] if costs else metric
