"""The sets of validation pairs that the true accepts of a search rest on."""

from __future__ import annotations

from facesiam.config import TrialConfig
from facesiam.config.metrics import TPR
from facesiam.data.dataset import FaceData
from facesiam.evaluation.rated_pairs import RatedPairs
from search.space import SearchSpace

LIMITS = ("people", "pair_seed", "fold")
"""Settings that decide the validation pairs of a protocol, 0 where they leave them as they are."""


def rated_pairs(space: SearchSpace, data: FaceData) -> dict[str, RatedPairs]:
    """Return the pairs that `val_tpr_at_fpr` rests on, by protocol and what else decides them.

    Returns:
        None where the space ranks by another metric.
    """
    found: dict[str, RatedPairs] = {}
    for settings in space.examples() if space.metric == TPR else ():
        more = (f"{part} {settings[part]}" for part in LIMITS if settings[part])
        name = ", ".join([str(settings["protocol"]), *more])
        if name not in found:
            found[name] = RatedPairs(TrialConfig.from_dict(settings), data)
    return found
