"""Ray's BOHB over a space: HpBandSter's model, whose packages are installed apart from the others.

HpBandSter is of 2018 and no dependency of this project. It runs beside the pinned packages::

    pip install --no-deps hpbandster ConfigSpace Pyro4 serpent statsmodels patsy netifaces
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from facesiam.config import Value
from search.space import SearchSpace
from search.space.combinations import base
from search.space.domains import Choice, Domain, active

PACKAGES = ("hpbandster", "ConfigSpace")


def is_installed() -> bool:
    """Say whether BOHB's packages are there."""
    return all(find_spec(package) for package in PACKAGES)


class Bohb:
    """Ray's TuneBOHB, whose suggestions are completed to the settings of a space."""

    def __init__(self, space: SearchSpace, metric: str, mode: str) -> None:
        from ray.tune.search.bohb import TuneBOHB

        np.random.seed(space.seed)
        self.space = space
        self.ray = TuneBOHB(config_space(space), metric=metric, mode=mode, seed=space.seed)

    def suggest(self, id: str) -> dict[str, Value]:
        """Return the settings of a suggestion."""
        found, settings = self.ray.suggest(id), base(self.space.fixed)
        for name, domain in self.space.ordered():
            if active(domain, settings):
                settings[name] = _value(domain, found.get(name))
        return settings

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ray, name)


def config_space(space: SearchSpace) -> Any:
    """Return a space in ConfigSpace's form, with its conditions; choices by their number."""
    import ConfigSpace

    found = ConfigSpace.ConfigurationSpace()
    for name, domain in space.ordered():
        if domain.count() == 1:
            continue
        found.add(_parameter(ConfigSpace, name, domain))
        conditions = [
            ConfigSpace.InCondition(found[name], found[parent], _numbers(space, parent, values))
            for parent, values in domain.when.items()
        ]
        if conditions:
            both = len(conditions) > 1
            found.add(ConfigSpace.AndConjunction(*conditions) if both else conditions[0])
    return found


def _parameter(module: Any, name: str, domain: Domain) -> Any:
    if isinstance(domain, Choice):
        numbers = [str(number) for number in range(len(domain.choices))]
        return module.CategoricalHyperparameter(name, numbers)
    kind = (
        module.UniformIntegerHyperparameter
        if isinstance(domain.low, int)
        else module.UniformFloatHyperparameter
    )
    return kind(name, domain.low, domain.high, log=domain.log)


def _numbers(space: SearchSpace, name: str, values: Any) -> list[str]:
    choices = space.search[name].values()
    return [str(number) for number, choice in enumerate(choices) if choice in values]


def _value(domain: Domain, given: Any) -> Value:
    if isinstance(domain, Choice):
        return domain.choices[int(given or 0)]
    return int(given) if isinstance(domain.low, int) else float(given)
