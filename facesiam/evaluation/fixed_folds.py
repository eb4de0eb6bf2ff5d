"""The ten-fold accuracy of a net that is not trained again, as LFW's protocol has it.

The threshold of each fold is the one that predicts the pairs of the nine other folds best. A net
is compared with published figures by it; see ``ten_fold`` for nets that are trained without each
fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData, Pairs
from facesiam.data.split import ALL_FOLDS
from facesiam.errors import DataError
from facesiam.evaluation.calibration import calibration
from facesiam.evaluation.metrics import FALSE_ACCEPTS, METRICS, verification
from facesiam.evaluation.predict import logits_of
from facesiam.evaluation.ten_fold import spread
from facesiam.evaluation.thresholds import threshold_at
from facesiam.nets.siamese import SiameseNet

UNKNOWN = "whether people of these pairs were in the net's training data is not known: "
UNNAMED = f"{UNKNOWN}nothing here names them"
NAMED = f"{UNKNOWN}compare their names with those of that data"


def fixed_folds(
    net: SiameseNet, config: TrialConfig, data: FaceData, trained_on: str | None = None
) -> dict[str, Any]:
    """Return the ten-fold accuracy of a net on the pairs that a dataset lists.

    Those of people in different parts, which its reader left out, are not among them.

    Args:
        net: on its device and in its dtype, as ``load_model`` returns it.
        config: its settings.
        data: opened data, packed as the settings say.
        trained_on: key of the data that the net was trained on, as its weights note it; None: not
            known.

    Returns:
        Mean and standard deviation over the folds of ``accuracy``, and of ``tpr_at_fpr_1e-2`` and
        ``fpr_1e-2``: the true and false accepts of a fold at the threshold that keeps the false
        accepts of the nine others at 1e-2; so for 1e-3. ``auc`` and ``eer`` of all pairs with
        their intervals; ``folds``, each with ``pairs``, ``threshold`` and these shares; ``pairs``;
        ``data``; ``notes``.

    Raises:
        DataError: the dataset lists no pairs, or a fold has none of one kind, or the net was
            trained on this data; a score is not finite.
    """
    if trained_on == data.key:
        raise DataError(
            f"{data.source}: the net was trained on people of this data, and the ten folds would "
            "test them; test it on other data, or with `python -m search.retrain`"
        )
    pairs, fold = _listed(data)
    scores = net.scores(logits_of(net, config, data.pixels(config.packing), pairs)).numpy()
    if not np.isfinite(scores).all():
        raise DataError("the net's scores of the pairs are not all numbers")
    folds = [_fold(number, scores, pairs.label, fold == number) for number in ALL_FOLDS]
    pooled = verification(scores, pairs.label, config.seed, data.distinct(pairs))
    shares = ("accuracy", *FALSE_ACCEPTS, *map(_false, FALSE_ACCEPTS))
    return {
        **{name: spread([one[name] for one in folds]) for name in shares},
        **{name: pooled[name] for name in METRICS if name in ("auc", "eer")},
        "folds": folds,
        "pairs": len(pairs.label),
        "data": data.key,
        "notes": [UNNAMED if data.format == "bin" else NAMED],
    }


def _listed(data: FaceData) -> tuple[Pairs, NDArray[np.int64]]:
    """Return the P pairs that a dataset lists, and the fold of each, (P,)."""
    every = [data.official(0, number) for number in ALL_FOLDS]
    if data.format == "cfp":  # FF and FP
        every += [data.official(1, number) for number in ALL_FOLDS]
    _check(data, every)
    left, right, label = (
        np.concatenate([getattr(pairs, name) for pairs in every])
        for name in ("left", "right", "label")
    )
    fold = np.repeat(np.resize(ALL_FOLDS, len(every)), [len(pairs.label) for pairs in every])
    return Pairs(left, right, label, None), fold


def _check(data: FaceData, every: Sequence[Pairs]) -> None:
    """Refuse a dataset one of whose folds has no pair of one kind."""
    if not any(len(pairs.label) for pairs in every):
        raise DataError(
            f"{data.source}: lists no pairs; ten folds need LFW's pairs.txt, a CSV of pairs, an "
            "insightface .bin or CFP"
        )
    for number in ALL_FOLDS:
        labels = np.concatenate([pairs.label for pairs in every[number - 1 :: len(ALL_FOLDS)]])
        for label, whose in enumerate(("one person", "two people")):
            if not (labels == label).any():
                raise DataError(f"{data.source}: fold {number} has no pair of {whose}")


def _fold(
    number: int, scores: NDArray[np.float64], label: NDArray[np.int64], mine: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return the figures of one fold under the thresholds of the nine others."""
    threshold, _ = calibration(scores[~mine], label[~mine])
    same = label[mine] == 0
    found: dict[str, Any] = {
        "fold": number,
        "pairs": int(mine.sum()),
        "threshold": threshold,
        "accuracy": float(((scores[mine] > threshold) == same).mean()),
    }
    for name, most in FALSE_ACCEPTS.items():
        accepted = scores[mine] > threshold_at(scores[~mine], label[~mine], most)
        found[name] = float(accepted[same].mean())
        found[_false(name)] = float(accepted[~same].mean())
    return found


def _false(name: str) -> str:
    """Return the name of the false accepts at the threshold of a measure of true accepts."""
    return name.removeprefix("tpr_at_")
