"""The importance of each searched setting: PED-ANOVA, with what chance alone would give.

PED-ANOVA (Watanabe et al. 2023, https://arxiv.org/abs/2304.10255) asks how differently a setting
is distributed among the best trials and among all. It is Optuna's own: its default, and that of
its dashboard. It takes conditional settings, where Optuna's fANOVA leaves them out, needs no
forest, and takes milliseconds, so that it can be computed again for shuffled accuracies.

It always gives some setting most of the importance, also in a search where none matters. Shuffled
accuracies show how much: p is the share of shuffles in which any setting had as much.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facesiam.config import Value
from search.space import SearchSpace

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

FEWEST = 10
"""Trials without which nothing is said."""
BEST = 1 / 3
"""Share of the trials that counts as the best. Optuna's tenth would be four of 40 trials, whose
distribution says little."""
SHUFFLES, AT_LEAST, WORK = 99, 19, 20_000
"""Shuffles; of more trials fewer, so that these times the trials are so many, but not below 19:
a p of 0.05 needs them."""
SEED = 0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Importance:
    """How much a setting matters for being among the best trials."""

    setting: str
    share: float
    """Of the importance of all searched settings, in [0, 1]."""
    p: float
    """Chance that any setting is as important where none matters, at least 1 / (1 + shuffles)."""


def importance(
    space: SearchSpace, settings: Sequence[Mapping[str, Value]], values: Floats
) -> list[Importance]:
    """Return the importance of each searched setting, the greatest first.

    Args:
        space: what was searched; trials that do not belong to it are left out.
        settings: (trials,) all settings of each.
        values: (trials,) of the metric that the space ranks by; NaN is left out.

    Returns:
        [] of fewer than FEWEST trials, or where no searched setting had more than one value.
    """
    import optuna

    maximizes = space.objective.maximizes
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every study that it makes
    study = optuna.create_study(direction="maximize" if maximizes else "minimize")
    optuna.logging.set_verbosity(level)
    kept = []
    for one, value in zip(settings, values.tolist(), strict=True):
        if math.isfinite(value) and not space.excludes(one):
            study.add_trial(_trial(space, one, value))
            kept.append(-value if maximizes else value)
    trials = study.get_trials(deepcopy=False)
    if len(trials) < FEWEST or not any(trial.params for trial in trials):
        return []
    _share_distributions(trials)
    losses = np.array(kept)
    rng = np.random.default_rng(SEED)
    with warnings.catch_warnings():
        # Few trials, said above; and that values are taken as losses, which these are.
        warnings.simplefilter("ignore")
        found = _ped_anova(study, losses)
        count = min(SHUFFLES, max(AT_LEAST, WORK // len(losses)))
        most = [max(_ped_anova(study, rng.permutation(losses)).values()) for _ in range(count)]
    total = sum(found.values())
    if not total:
        return []
    shuffled = np.array(most)
    return [
        Importance(name, one / total, (1 + int((shuffled >= one).sum())) / (1 + count))
        for name, one in sorted(found.items(), key=lambda item: -item[1])
    ]


def _trial(space: SearchSpace, settings: Mapping[str, Value], value: float) -> FrozenTrial:
    """Return a trial as Optuna takes it, with the searched settings that are active in it."""
    from optuna.trial import FixedTrial, create_trial

    asked = FixedTrial(dict(settings))
    space.suggest(asked)
    return create_trial(params=asked.params, distributions=asked.distributions, value=value)


def _share_distributions(trials: Sequence[FrozenTrial]) -> None:
    """Give trials the same object for equal distributions: each shuffle compares them all."""
    shared: dict[BaseDistribution, BaseDistribution] = {}
    for trial in trials:
        own = trial.distributions.items()
        trial.distributions = {name: shared.setdefault(one, one) for name, one in own}


def _ped_anova(study: Study, losses: Floats) -> dict[str, float]:
    """Return the divergences by setting; ``losses`` stand for the values of the study's trials."""
    from optuna.importance import PedAnovaImportanceEvaluator

    evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST)
    return evaluator.evaluate(study, target=lambda trial: float(losses[trial.number]))
