"""Settings as Optuna counts them: a domain's distribution, and settings from Optuna's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from facesiam.config import Value
from search.space import SearchSpace
from search.space.domains import Domain


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Return the distribution of each setting that has more than one value, in its order."""
    return {name: _shape(domain) for name, domain in space.ordered() if domain.count() != 1}


def settings_of(space: SearchSpace, values: Mapping[str, float]) -> dict[str, Value]:
    """Return the settings with these values, as Optuna counts them, where they are active."""
    return space.suggest(_Given(values))


class _Shape:
    """A stand-in for Optuna's trial that notes how a setting would be drawn."""

    shape: BaseDistribution

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Note a range of numbers."""
        self.shape = FloatDistribution(low, high, log, step)
        return low

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Note a range of whole numbers."""
        self.shape = IntDistribution(low, high, log, step)
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Note choices."""
        self.shape = CategoricalDistribution(choices)
        return choices[0]


class _Given:
    """A stand-in for Optuna's trial with given values; the lowest where one is missing."""

    def __init__(self, values: Mapping[str, float]) -> None:
        self.values = values

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return the number."""
        return min(max(self.values.get(name, low), low), high)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return the whole number."""
        return int(self.values.get(name, low))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the choice of that number."""
        return choices[int(self.values.get(name, 0))]


def _shape(domain: Domain) -> BaseDistribution:
    asked = _Shape()
    domain.suggest("", asked)
    return asked.shape
