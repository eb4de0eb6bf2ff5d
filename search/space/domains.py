"""The parts of a space: the domain of a setting (Choice, Range), a Row, a trial's Resources."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal, Protocol, cast

from facesiam.config import Value

When = Mapping[str, tuple[Value, ...]]
"""Other settings and the values of each that make a searched setting active, all at once."""
Amount = float | Literal["auto"]


class TrialLike(Protocol):
    """What is used of optuna.Trial."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Suggest a number between ``low`` and ``high``, both included."""

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Suggest a whole number between ``low`` and ``high``, both included."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Suggest one of ``choices``."""


@dataclass(frozen=True)
class Choice:
    """A searched setting that takes one of a list of distinct values."""

    choices: tuple[Value, ...]
    when: When = field(default_factory=dict)

    def count(self) -> int:
        """Return the number of values."""
        return len(self.choices)

    def values(self) -> Iterator[Value]:
        """Yield every value."""
        yield from self.choices

    def can_be(self, value: Value) -> bool:
        """Say whether ``value`` is one of the choices."""
        return value in self.choices

    def holds(self, value: Value) -> bool:
        """Say whether a trial with this ``value`` is one of the space's."""
        return self.can_be(value)

    def few(self) -> list[Value]:
        """Return the values that stand for all: here, all."""
        return list(self.choices)

    def sample(self, rng: random.Random) -> Value:
        """Draw a value, each as likely as the next."""
        return rng.choice(self.choices)

    def at(self, share: float) -> Value:
        """Return the value at a share of the way through the choices, from 0 to below 1."""
        return self.choices[int(share * len(self.choices))]

    def suggest(self, name: str, trial: TrialLike) -> Value:
        """Ask ``trial`` for a value; a single choice is nothing to ask for."""
        if len(self.choices) == 1:
            return self.choices[0]
        return cast(Value, trial.suggest_categorical(name, self.choices))

    def plain(self) -> object:
        """Return what a space file says for this."""
        values = list(self.choices)
        return {"choices": values, "when": plain_when(self.when)} if self.when else values


@dataclass(frozen=True)
class Range:
    """A searched setting between two numbers, both included: whole ones if ``low`` is whole."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: When = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether this holds whole numbers only."""
        return isinstance(self.low, int)

    def count(self) -> int | None:
        """Return the number of values, None for infinitely many."""
        if self.step is None and not self.whole:
            return None
        low, high, step = (Decimal(str(n)) for n in (self.low, self.high, self.step or 1))
        return int((high - low) / step) + 1

    def values(self) -> Iterator[Value]:
        """Yield every value, from the lowest; a range without end has none to list."""
        return (self._value(i) for i in range(self.count() or 0))

    def can_be(self, value: Value) -> bool:
        """Say whether ``value`` is in the range; a continuous one never is exactly a number."""
        count = self.count()
        if count is None or isinstance(value, str):
            return False
        i = round((value - self.low) / (self.step or 1))
        return 0 <= i < count and self._value(i) == value

    def holds(self, value: Value) -> bool:
        """Say whether a trial with this ``value`` is one of the space's."""
        if self.count() is not None or isinstance(value, str):
            return self.can_be(value)
        return self.low <= value <= self.high

    def few(self) -> list[Value]:
        """Return values that stand for all: the lowest, and the next (odd and even differ)."""
        return [self._value(i) for i in range(min(self.count() or 1, 2))]

    def sample(self, rng: random.Random) -> Value:
        """Draw a value, uniformly, or uniformly in its logarithm where ``log`` is set."""
        count = self.count()
        if not self.log and count is not None:
            return self._value(rng.randrange(count))
        return self.at(rng.random())

    def at(self, share: float) -> Value:
        """Return the value at a share of the way through the range, from 0 to below 1."""
        count = self.count()
        if not self.log and count is None:
            return self.low + (self.high - self.low) * share
        if not self.log:
            return self._value(int(share * (count or 1)))
        # Half a unit more on each side, so that rounding leaves the end values their share.
        margin = 0.5 if self.whole else 0.0
        low, high = math.log(self.low - margin), math.log(self.high + margin)
        value = math.exp(low + (high - low) * share)
        return min(max(round(value) if self.whole else value, self.low), self.high)

    def suggest(self, name: str, trial: TrialLike) -> Value:
        """Ask ``trial`` for a value."""
        count = self.count()
        top = self.high if count is None else cast(float, self._value(count - 1))
        if self.whole:
            low, high, step = int(self.low), int(top), int(self.step or 1)
            return trial.suggest_int(name, low, high, step=step, log=self.log)
        value = trial.suggest_float(name, self.low, top, step=self.step, log=self.log)
        # Optuna's 0.30000000000000004 would be another configuration than grid()'s 0.3.
        return self._value(round((value - self.low) / self.step)) if self.step else value

    def plain(self) -> object:
        """Return what a space file says for this."""
        plain: dict[str, object] = {"low": self.low, "high": self.high}
        plain |= {"log": True} if self.log else {}
        plain |= {"step": self.step} if self.step else {}
        return plain | ({"when": plain_when(self.when)} if self.when else {})

    def _value(self, i: int) -> Value:
        if self.whole:
            return int(self.low) + i * int(self.step or 1)
        return float(Decimal(str(self.low)) + i * Decimal(str(self.step or 0)))


Domain = Choice | Range


@dataclass(frozen=True)
class Row:
    """One run of the 2019 study: how it ran, and what the study reports of it."""

    settings: dict[str, Value] = field(default_factory=dict)
    """What differs from the space's fixed settings, as the run really ran."""
    published: dict[str, Any] = field(default_factory=dict)
    """val and test (accuracy in percent), overfit (None: no verdict), epoch (from 0)."""
    printed: dict[str, Value] = field(default_factory=dict)
    """Settings that the study's table prints otherwise."""
    note: str = ""

    def plain(self) -> dict[str, object]:
        """Return what a space file says for this."""
        return {name: value for name, value in vars(self).items() if value}


@dataclass(frozen=True)
class Resources:
    """What a trial gets: CPUs and GPUs, for every net or for one."""

    cpus: Amount = "auto"
    gpus: Amount = "auto"
    per_net: dict[str, dict[str, Amount]] = field(default_factory=dict)

    def for_net(self, net: str) -> tuple[Amount, Amount]:
        """Return (cpus, gpus) of a trial with this net."""
        own = self.per_net.get(net, {})
        return own.get("cpus", self.cpus), own.get("gpus", self.gpus)

    def of_nets(self, nets: Sequence[str]) -> Resources:
        """Return the same without nets that are not among these."""
        own = {net: amounts for net, amounts in self.per_net.items() if net in nets}
        return replace(self, per_net=own)

    def plain(self) -> dict[str, object]:
        """Return what a space file says for this."""
        per_net = {"per_net": self.per_net} if self.per_net else {}
        return {"cpus": self.cpus, "gpus": self.gpus, **per_net}


def active(domain: Domain, settings: Mapping[str, Value]) -> bool:
    """Say whether a searched setting is searched in a trial with these ``settings``."""
    return all(settings[name] in values for name, values in domain.when.items())


def plain_when(when: When) -> dict[str, object]:
    """Return conditions as a space file says them."""
    return {name: values[0] if len(values) == 1 else list(values) for name, values in when.items()}


def written(value: object) -> str:
    """Return a value as YAML writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
