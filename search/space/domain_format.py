"""Models of what `search:` says of a setting: a list of choices or a range, under conditions."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, cast

from annotated_types import Gt
from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationInfo,
    model_validator,
)

from facesiam.config import Value
from facesiam.config.settings import Setting
from search.space.domains import Choice, Domain, Range, When, written
from search.space.fields import Empty, Part, by_setting, key, read

MOST_VALUES = 10**9
"""Values of a range with a step. Far more of them could not be told apart as numbers."""
Context = tuple[Setting, list[Value]]
"""What pydantic hands on: the setting that is searched, and its choices so far."""


def _value(value: object, info: ValidationInfo) -> Value:
    """Read a value of the setting that is searched."""
    return read(cast(Context, info.context)[0], value)


def _choice(value: object, info: ValidationInfo) -> Value:
    """Read one of a list of choices."""
    setting, before = cast(Context, info.context)
    found = read(setting, value)
    if found in before:
        raise ValueError(f"{written(found)} is listed twice")
    before.append(found)
    return found


def _step(value: object, info: ValidationInfo) -> Value:
    return read(Setting("step", cast(Context, info.context)[0].type, 1, above=0), value)


def _listed(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError("must be a list, such as [a, b]")
    if not value:
        raise Empty("an empty list; name at least one choice")
    return value


def _one_or_more(setting: Setting, value: object) -> tuple[Value, ...]:
    """Return the values that a condition asks for: a single one, or a list."""
    if not isinstance(value, list):
        return (read(setting, value),)
    if not value:
        raise Empty("an empty list; name at least one value")
    return tuple(dict.fromkeys(VALUES.validate_python(value, context=(setting, []))))


SearchedValue = Annotated[Any, PlainValidator(_value, json_schema_input_type=float)]
VALUES = TypeAdapter(list[SearchedValue])
ChoiceList = Annotated[
    list[Annotated[Any, BeforeValidator(_choice)]],
    BeforeValidator(_listed),
    Field(min_length=1, json_schema_extra={"uniqueItems": True}),
]
CHOICES = TypeAdapter(ChoiceList)
Conditions = Annotated[When, PlainValidator(partial(by_setting, _one_or_more))]


class Choices(Part):
    """A searched setting with a list of choices, under conditions."""

    choices: ChoiceList
    when: Conditions = key({})
    """Searched only in trials where these other searched settings have this value, or one of
    these."""

    def domain(self) -> Domain:
        """Return what the setting may be."""
        return Choice(tuple(self.choices), self.when)


class Span(Part):
    """A searched setting between two numbers."""

    low: SearchedValue = key(...)
    """Lowest value."""
    high: SearchedValue = key(...)
    """Highest value, included."""
    log: bool = key(False)
    """Draw uniformly in the logarithm."""
    step: Annotated[Any, PlainValidator(_step, json_schema_input_type=Annotated[float, Gt(0)])] = (
        key(None)
    )
    """Distance of one value from the next."""
    when: Conditions = key({})

    @model_validator(mode="after")
    def _sound(self) -> Span:
        low, high, step = self.low, self.high, self.step
        if low >= high:
            raise ValueError(f"low must be below high, got {low:g} and {high:g}")
        if self.log and low <= 0:
            raise ValueError(f"a log scale must start above 0, got low: {low:g}")
        if self.log and step:
            raise ValueError("has both log and step; take one out")
        if step and step > high - low:
            raise ValueError(f"step must not exceed high - low, got {step:g}")
        if step and (high - low) / step >= MOST_VALUES:
            raise ValueError(
                f"a step of {step:g} makes more than {MOST_VALUES:,} values; leave it out"
            )
        return self

    def domain(self) -> Domain:
        """Return what the setting may be."""
        return Range(self.low, self.high, self.log, self.step, self.when)


def domain(setting: Setting, value: object) -> Domain:
    """Return what a searched setting may be: a list of choices, or a range."""
    context: Context = (setting, [])
    if isinstance(value, list):
        return Choice(tuple(CHOICES.validate_python(value, context=context)))
    if not isinstance(value, dict):
        raise ValueError(
            "a list of choices or a range is searched; a single value goes under fixed:"
        )
    ranged = setting.type in (int, float) and "choices" not in value
    form: type[Span] | type[Choices] = Span if ranged else Choices
    return form.model_validate(value, context=context).domain()
