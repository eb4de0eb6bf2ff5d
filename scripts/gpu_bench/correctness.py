"""Whether the GPU computes what the CPU computes: one epoch of row A, in each way that there is.

Row A on 100 people (code 2 of the 2019 study, AlexNet ``difference``): 63 updates, 2,000
validation pairs. Each figure has the AUC of the untrained net, and what the epoch came to.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from facesiam.config import Value
from facesiam.evaluation import right_pairs
from facesiam.evaluation.metrics import auc
from facesiam.evaluation.predict import pair_logits
from facesiam.training.loop import Halted, Training

from .plan import Plan, environment, row
from .searches import searched, trials_of

PEOPLE = 100
TOLERANCE = {
    "untrained_auc": 0.0044,
    "train_loss": 2.2e-4,
    "train_acc": 0.014,
    "val_loss": 9.5e-4,
    "val_acc": 0.0033,
}
"""Largest differences that count as rounding: five times the root mean square of those between
bf16 and fp32 on a CPU, n = 4 seeds (docs/performance.md). A GPU's convolutions round fp32 to TF32,
finer than bf16 and coarser than a CPU's fp32."""
COMPARED = (
    ("bf16 again", "bf16"),
    ("bf16 without graphs", "bf16"),
    ("bf16 resumed", "bf16"),
    ("bf16 sharing", "bf16"),
    ("fp32", "cpu fp32"),
    ("bf16", "cpu fp32"),
    ("bf16", "cpu bf16"),
)
"""Two nets that ought to be the same but for rounding."""


def settings(plan: Plan) -> dict[str, Value]:
    """Return the settings of row A for one epoch."""
    return plan.small(**{**row("A"), "epochs": 1, "people": PEOPLE})


def epoch(
    precision: str, device: str | None = None, graphs: bool = True
) -> Callable[[Plan, dict[str, Any]], dict[str, Any]]:
    """Return the function that trains the epoch in one way.

    Args:
        precision: fp32 or bf16.
        device: cpu, or None: the plan's.
        graphs: whether a step may be a CUDA graph.
    """

    def trained(plan: Plan, _figures: dict[str, Any]) -> dict[str, Any]:
        with environment(FACESIAM_GRAPHS=str(int(graphs))):
            training = _training(plan, device or plan.device, precision)
        before = _untrained_auc(training)
        return {"untrained_auc": before, **_finished(training)}

    return trained


def resumed(plan: Plan, _figures: dict[str, Any]) -> dict[str, Any]:
    """Return the epoch that was halted in its middle, saved, and finished by another training."""
    training = _training(plan, plan.device, "bf16")
    middle = training.batches.per_epoch // 2
    _halt_after(training, middle)
    try:
        next(training)
        raise AssertionError("the epoch was not halted")
    except Halted:
        saved = io.BytesIO()
        torch.save(training.state(), saved)
    del training
    saved.seek(0)
    again = _training(plan, plan.device, "bf16")
    again.load(torch.load(saved, map_location="cpu", weights_only=True))
    return {"halted_after": middle, **_finished(again)}


def sharing(plan: Plan, _figures: dict[str, Any]) -> dict[str, Any]:
    """Return the epoch as a search trains it while another trial shares the GPU."""
    own = {**settings(plan), "precision": "bf16"}
    space = {
        "fixed": own,
        "rows": {"first": {"settings": {"seed": 0}}, "second": {"settings": {"seed": 1}}},
    }
    half: dict[str, Any] = {"cpus": 1} if plan.rehearsal else {"gpus": 0.5}
    run = searched(plan, space, "sharing", minutes=plan.minutes(), **half)
    found = trials_of(run)
    first, second = found["first"], found["second"]
    if not (first["complete"] and second["complete"]):
        raise RuntimeError(f"the trials ended as {first['status']} and {second['status']}")
    last = run.epochs[run.epochs["trial"] == "first"].iloc[-1]
    return {
        **{name: float(last[name]) for name in ("train_loss", "train_acc", "val_loss", "val_acc")},
        "device": first["device"],
        "together_seconds": min(first["ended"], second["ended"])
        - max(first["began"], second["began"]),
        "trials": found,
    }


def verdict(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the differences of the nets that ought to be the same, and whether it is rounding."""
    found: dict[str, Any] = {"tolerance": TOLERANCE}
    for one, other in COMPARED:
        pair = [figures.get(f"correctness/{name}") for name in (one, other)]
        found[f"{one}, {other}"] = compare(pair[0], pair[1]) if all(pair) else "not measured"
    whole = [each for each in found.values() if isinstance(each, dict) and "within" in each]
    within = bool(whole) and all(each["within"] for each in whole)
    return {"within": within, "compared": len(whole), **found}


def compare(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the differences of two nets, and whether each is within its tolerance.

    `same_weights` are equal bit for bit; `disagreeing` counts validation pairs.
    """
    differences = {
        name: abs(one[name] - other[name]) for name in TOLERANCE if name in one and name in other
    }
    found: dict[str, Any] = {
        "differences": differences,
        "within": all(value <= TOLERANCE[name] for name, value in differences.items()),
    }
    if "weights" in one and "weights" in other:
        found["same_weights"] = one["weights"] == other["weights"]
        a, b = _right(one), _right(other)
        if a is not None and b is not None:
            found["disagreeing"] = int(np.count_nonzero(a != b))
    return found


def _right(figure: Mapping[str, Any]) -> Any:
    """Return which validation pairs a net judged right, (P,)."""
    pairs = figure["pairs"]
    return right_pairs.unpack(figure["right"], pairs, round(figure["val_acc"] * pairs))


def _training(plan: Plan, device: str, precision: str) -> Training:
    config = plan.config(**settings(plan))
    return Training(config, plan.packed, device=device, precision=precision)


def _untrained_auc(training: Training) -> float:
    """Return the AUC of a net as it was drawn; its loss is ln 2 whatever it computes."""
    logits, _, _ = pair_logits(training.net, training.pixels, training.val_pairs)
    return auc(training.net.scores(logits).numpy(), training.val_pairs.label)


def _halt_after(training: Training, steps: int) -> None:
    """Have a training halt after a number of steps of its epoch."""
    ahead = training.pixels.ahead

    def counted(batches: Any) -> Iterator[Any]:
        for number, batch in enumerate(ahead(batches), 1):
            if number == steps:
                training.halt.set()
            yield batch

    setattr(training.pixels, "ahead", counted)  # noqa: B010 - a method of one object


def _finished(training: Training) -> dict[str, Any]:
    """Train the epoch, or what is left of it, and return what it came to."""
    metrics = next(training).to_dict()
    assert training.right is not None
    kept = (
        *("train_loss", "train_acc", "val_loss", "val_acc", "trunk_grad_max", "updates"),
        *("seconds", "samples_per_second", "peak_memory_mib"),
    )
    step = training.graphed_step
    return {
        **{name: metrics[name] for name in kept},
        "pairs": len(training.right),
        "right": right_pairs.pack(training.right),
        "weights": _digest(training),
        "recorded": step is not None and step.graph is not None,
        "notes": training.notes,
    }


def _digest(training: Training) -> str:
    """Return a digest of the weights, by which equal ones are known."""
    found = hashlib.sha256()
    for name, value in sorted(training.weights().items()):
        found.update(name.encode())
        found.update(
            value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    return found.hexdigest()[:16]
