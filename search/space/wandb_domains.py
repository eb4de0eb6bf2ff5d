"""A parameter of a W&B sweep → what a space file says of the setting, and what changed on the way.

Distributions are those of W&B's documentation: Sweep configuration options, "Distribution options
for random and bayesian search". One that a space file lacks becomes the nearest range or list.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from facesiam.config import SETTINGS, Value
from facesiam.config.settings import Setting, number
from search.space.domains import written
from search.space.fields import read
from search.space.wandb_names import value_of

KEYS = (
    "distribution",
    "value",
    "values",
    "probabilities",
    "min",
    "max",
    "q",
    "mu",
    "sigma",
    "a",
    "b",
)
"""Of a parameter."""


class NoMeaning(ValueError):
    """A parameter, or a value of one, that a space file cannot say; the text says why."""


@dataclass
class Converted:
    """What a space file says of a setting."""

    searched: object = None
    """A list of choices or a range; None where it is fixed."""
    fixed: Value | None = None
    notes: list[str] = field(default_factory=list)
    """What is not as the sweep has it."""


def converted(name: str, spec: Mapping[str, Any]) -> Converted:
    """Return what a space file says of a parameter.

    Args:
        name: the setting that it is.
        spec: what the sweep says of it, as text.

    Raises:
        NoMeaning: nothing of it can be said.
    """
    kind = str(spec.get("distribution") or _usual(spec))
    if kind == "constant":
        return Converted(fixed=_value(SETTINGS[name], spec.get("value")))
    if kind.startswith("categorical"):
        return _choices(SETTINGS[name], spec)
    if kind not in RANGES:
        raise NoMeaning(f"{kind!r} is no distribution of a sweep")
    if SETTINGS[name].type not in (int, float):
        takes = "true or false" if SETTINGS[name].type is bool else "words"
        raise NoMeaning(f"{name} takes {takes}, not a range: give it values:")
    low, high, log, step, note = RANGES[kind](lambda key, usual: _number(spec, key, usual))
    if kind in EXPONENTS:  # which are often meant as values
        note = f"min and max are exponents, {low:g} to {high:g}; {kind}_values takes values"
    try:
        return _range(SETTINGS[name], low, high, log, step, [note] if note else [])
    except NoMeaning as error:
        raise NoMeaning(f"{error} ({note})" if kind in EXPONENTS else str(error)) from None
    except OverflowError:
        raise NoMeaning("its ends or its step are beyond what a number can be") from None


def _usual(spec: Mapping[str, Any]) -> str:
    """Return the distribution of a parameter that names none."""
    if "value" in spec:
        return "constant"
    if "values" in spec:
        return "categorical"
    ends = [str(spec.get(key)) for key in ("min", "max")]
    return "int_uniform" if all(end.lstrip("+-").isdigit() for end in ends) else "uniform"


def _value(setting: Setting, said: object) -> Value:
    """Return a value of a setting."""
    if isinstance(said, str) and (known := value_of(setting.name, said)) is not None:
        return known
    try:
        return read(setting, said)
    except ValueError as error:
        several = "; give it values:" if isinstance(said, list) else ""
        raise NoMeaning(f"{error}{several}") from None


def _choices(setting: Setting, spec: Mapping[str, Any]) -> Converted:
    given, found = spec.get("values"), Converted()
    if not isinstance(given, list) or not given:
        raise NoMeaning("has no list of values:")
    choices: list[Value] = []
    for each in given:
        try:
            value = _value(setting, each)
        except NoMeaning as error:
            found.notes.append(f"value {written(each)} left out: {error}")
            continue
        if value not in choices:
            choices.append(value)
    if "probabilities" in spec:
        found.notes.append("probabilities left out: each choice is as likely as the next")
    if not choices:
        raise NoMeaning("; ".join(found.notes))
    if len(choices) == 1:
        found.fixed = choices[0]
    else:
        found.searched = list(choices)
    return found


Read = Callable[[str, float | None], float]
"""A number of the parameter by its key, or the usual one where it is not given."""
Ends = tuple[float, float, bool, float | None, str]
"""Lowest and highest value, whether drawn in the logarithm, the step, what is to be said."""


def _normal(read: Read) -> tuple[float, float]:
    mu, sigma = read("mu", 0.0), read("sigma", 1.0)
    return mu - 2 * sigma, mu + 2 * sigma


def _log_normal(read: Read) -> tuple[float, float]:
    low, high = _normal(read)
    return _exp(low), _exp(high)


WITHIN = "drawn evenly within two standard deviations instead of by a normal distribution"
EXPONENTS = ("log_uniform", "inv_log_uniform", "q_log_uniform")
"""Distributions whose ends are exponents of e; each has a form with ``_values`` at its end."""
EVENLY = "drawn evenly instead of by a beta distribution"
RANGES: dict[str, Callable[[Read], Ends]] = {
    "uniform": lambda of: (of("min", None), of("max", None), False, None, ""),
    "int_uniform": lambda of: (of("min", None), of("max", None), False, 1, ""),
    "q_uniform": lambda of: (of("min", None), of("max", None), False, of("q", 1.0), ""),
    "log_uniform_values": lambda of: (of("min", None), of("max", None), True, None, ""),
    "inv_log_uniform_values": lambda of: (of("min", None), of("max", None), True, None, ""),
    "q_log_uniform_values": lambda of: (of("min", None), of("max", None), True, of("q", 1.0), ""),
    "log_uniform": lambda of: (_exp(of("min", None)), _exp(of("max", None)), True, None, ""),
    "inv_log_uniform": lambda of: (_exp(-of("max", None)), _exp(-of("min", None)), True, None, ""),
    "q_log_uniform": lambda of: (
        _exp(of("min", None)),
        _exp(of("max", None)),
        True,
        of("q", 1.0),
        "",
    ),
    "normal": lambda of: (*_normal(of), False, None, WITHIN),
    "q_normal": lambda of: (*_normal(of), False, of("q", 1.0), WITHIN),
    "log_normal": lambda of: (*_log_normal(of), True, None, WITHIN),
    "q_log_normal": lambda of: (*_log_normal(of), True, of("q", 1.0), WITHIN),
    "beta": lambda of: (0.0, 1.0, False, None, EVENLY),
    "q_beta": lambda of: (0.0, 1.0, False, of("q", 1.0), EVENLY),
}
"""By distribution, the range that it becomes."""


def _number(spec: Mapping[str, Any], key: str, usual: float | None) -> float:
    said = spec.get(key)
    if said is None and usual is not None:
        return usual
    if said is None:
        raise NoMeaning(f"has no {key}:")
    try:
        return number(str(said))
    except ValueError as error:
        raise NoMeaning(f"{key} {error}") from None


def _exp(exponent: float) -> float:
    """Return e to a power, to three digits."""
    try:
        return float(f"{math.exp(exponent):.3g}")
    except OverflowError:
        raise NoMeaning(f"e to the power of {exponent:g} is no number") from None


def _range(
    setting: Setting, low: float, high: float, log: bool, step: float | None, notes: list[str]
) -> Converted:
    """Return a range within the bounds of a setting; a list where it has both log and a step."""
    low, high = _bounded(setting, low, high, notes)
    if log and low <= 0:
        raise NoMeaning(f"a log scale must start above 0, got {low:g}")
    if setting.name == "batch_size" and (step or 1) % 2:
        step = 2 * (step or 1)  # a loss over pairs takes half of a batch of each kind
        notes.append("even numbers only, as half of a batch is of each kind of pair")
    if setting.type is int:
        step = max(1.0, float(round(step or 1)))
    if step and not (setting.type is int and step == 1):
        low, high = (step * round(end / step) for end in (low, high))  # as W&B rounds
        low += step * bool(setting.problem(setting.type(low)) or (log and low <= 0))
        high -= step * bool(setting.problem(setting.type(high)))
    elif setting.type is int:
        low, high = math.ceil(low), math.floor(high)
    if setting.type is int:
        low, high = int(low), int(high)
    low, high = _rounded(low), _rounded(high)
    if low > high:
        raise NoMeaning("no value of it is possible here")
    if low == high:
        return Converted(fixed=low, notes=notes)
    if log and step and step != 1:
        notes.append(f"a list, as a log range has no step of {step:g}")
        return Converted(searched=_doubling(low, high, step), notes=notes)
    plain: dict[str, object] = {"low": low, "high": high}
    plain |= {"log": True} if log else {}
    if step and not log and not (setting.type is int and step == 1):
        plain["step"] = int(step) if setting.type is int else step
    return Converted(searched=plain, notes=notes)


def _bounded(setting: Setting, low: float, high: float, notes: list[str]) -> tuple[float, float]:
    """Return the part of a range that a setting can have, and note what is cut off."""
    least = setting.low if setting.low is not None else -math.inf
    most = setting.high if setting.high is not None else math.inf
    if low > most or high < least or (setting.above is not None and high <= setting.above):
        raise NoMeaning(f"none of {low:g} to {high:g} is possible here")
    if setting.above is not None and low <= setting.above:
        notes.append(f"from {high / 1000:g} instead of {low:g}, as it must be above 0")
        low = high / 1000
    if low < least:
        notes.append(f"from {least:g} instead of {low:g}, the lowest that is possible")
        low = least
    if high > most:
        notes.append(f"to {most:g} instead of {high:g}, the highest that is possible")
        high = most
    return low, high


def _doubling(low: float, high: float, step: float) -> list[float]:
    """Return multiples of a step evenly over the logarithm: each twice the one before."""
    found = [low]
    while (coming := step * round(2 * found[-1] / step)) <= high:
        found.append(type(low)(coming))
    return found


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.12g}")
