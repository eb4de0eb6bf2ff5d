"""The names of the samplers (`algorithm:`), other words for them, and how each begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from facesiam.config.settings import Meant
from search.space.domains import Choice, Domain

Name = Literal["tpe", "gp", "cmaes", "nsga2", "random", "quasi-random", "grid", "rows"]
ALGORITHMS: tuple[str, ...] = get_args(Name)
MEANT = {
    "bayesian": "tpe",
    "bayesian_optimization": "tpe",
    "bayesian_optimisation": "tpe",
    "bayesopt": "tpe",
    "bo": "tpe",
    "optuna": "tpe",
    "hyperopt": "tpe",
    "gaussian": "gp",
    "gaussian_process": "gp",
    "cma": "cmaes",
    "evolution": "nsga2",
    "evolutionary": "nsga2",
    "genetic": "nsga2",
    "halton": "quasi-random",
    "exhaustive": "grid",
}
"""Samplers by the words of other programs and of the field that do not name one of ours, which
are told and not taken: what is meant is a guess."""
Algorithm = Annotated[Name, Meant(MEANT)]
"""The key `algorithm`."""
OTHER_WORDS = {"bayes": "tpe", "sobol": "quasi-random", "qmc": "quasi-random"}
"""Words that are taken for a name: W&B's, and those of the field."""
TITLES = {
    "tpe": "TPE",
    "gp": "the Gaussian process",
    "cmaes": "CMA-ES",
    "nsga2": "NSGA-II",
}
"""Samplers that choose by scores, as a sentence names them."""
LEARNS_FROM_EARLIER = ("tpe", "gp")
"""Samplers that begin with the scores of earlier runs (`--warm-start`)."""


def population(trials: int) -> int:
    """Return how many trials a generation of NSGA-II has: a quarter of all, from 4 to 50.

    Optuna's number is 50, which a search of some dozen trials would not leave the first one with.
    """
    return max(4, min(50, trials // 4))


def startup(algorithm: str, searched: int, trials: int) -> int:
    """Return how many trials are drawn at random before the sampler chooses one.

    For TPE and the Gaussian process two for each setting that is searched, at most ten (Optuna's
    number), and never more than a third of the trials: a search that is over before TPE begins
    would be random search.

    Args:
        algorithm: the sampler's name.
        searched: how many settings have more than one value.
        trials: of the search.
    """
    if algorithm == "cmaes":
        return 1
    if algorithm == "nsga2":
        return population(trials)
    return max(1, min(10, 2 * searched, trials // 3))


def chosen_apart(algorithm: str, search: Mapping[str, Domain]) -> list[str]:
    """Return the searched settings that a sampler draws at random, whatever the scores.

    The Gaussian process, CMA-ES and NSGA-II choose the settings that each trial has; CMA-ES has no
    order among choices. TPE draws every setting by scores.
    """
    if algorithm not in ("gp", "cmaes", "nsga2"):
        return []
    return [
        name
        for name, domain in search.items()
        if domain.count() != 1
        and (domain.when or (algorithm == "cmaes" and isinstance(domain, Choice)))
    ]
