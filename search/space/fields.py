"""Fields of the models of a space file: keys with a single value, and settings by name.

A file arrives as plain data whose single values are text (yaml_lines.py). A key with a single
value is read by the Setting of its field, and the settings of trials are read by SETTINGS; so a
value is refused in the same words in a file, by ``--set`` and by TrialConfig.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from facesiam.config import SETTINGS, Value
from facesiam.config.settings import Meant, Setting

BOUNDS = {"gt": "above", "ge": "low", "le": "high"}
"""Pydantic's names of bounds → a Setting's."""


class Empty(ValueError):
    """A mapping or a list without anything in it."""


class NoMapping(ValueError):
    """Something else where a mapping is expected."""


def key(
    default: object,
    *,
    above: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """Return the field of a key, with its default and bounds; its docstring says what it is."""
    return Field(default, gt=above, ge=low, le=high)


def read(setting: Setting, value: object) -> Value:
    """Return a single value by its setting's type.

    Raises:
        ValueError: what is wrong with it, in a sentence without its name.
    """
    if value is None:
        raise ValueError("has no value")
    if not isinstance(value, str):
        raise ValueError(f"must be a single value, got {kind_of(value)}")
    parsed = setting.parse(value)
    free = setting.type is str and not setting.choices
    if problem := _control_character(value) if free else setting.problem(parsed):
        raise ValueError(problem)
    return parsed


def filled(value: object, example: str = "") -> object:
    """Return a mapping as it is.

    Args:
        value: the mapping.
        example: of such a mapping, for the message.

    Raises:
        ValueError: it is empty, or none.
    """
    if value is None or value == {}:
        raise Empty("has nothing under it")
    if not isinstance(value, dict | BaseModel):
        form = f"such as {example}" if example else "with `key: value` lines under it"
        raise NoMapping(f"must be a mapping, {form}")
    return value


def kind_of(value: object) -> str:
    """Return what a value that is no single one is, for a message."""
    return "a list" if isinstance(value, list) else "a mapping"


def _control_character(text: str) -> str | None:
    """Say what is wrong with a name, a path or a note; a note may have several lines."""
    odd_ones = (c for c in text if (c < " " and c not in "\t\n") or "\x7f" <= c <= "\x9f")
    if (found := next(odd_ones, None)) is None:
        return None
    escape = found.encode("unicode_escape").decode()
    return (
        f"has a control character ({escape}); in double quotes \\ starts an escape: "
        "use single quotes"
    )


class Part(BaseModel):
    """A mapping of a space file. It takes its fields for keys, and no others."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})
    # For messages: how it may look in a file ("": in lines of its own), what a number is by key.
    example: ClassVar[str] = ""
    units: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, value: object) -> object:
        return filled(value, cls.example)

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: object, info: ValidationInfo) -> object:
        setting = single_values(cls).get(info.field_name or "")
        if not setting:
            return value
        try:
            return read(setting, value)
        except ValueError as error:
            if unit := cls.units.get(setting.name):
                raise ValueError(f"{error}; it is {unit}") from None
            raise


@cache
def single_values(part: type[Part]) -> dict[str, Setting]:
    """Return the keys of a part that have a single value, as Settings."""
    found = {}
    for name, field in part.model_fields.items():
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        kind: Any = str if choices else field.annotation
        reads_itself = any(isinstance(item, BeforeValidator) for item in field.metadata)
        if kind in (bool, int, float, str) and not reads_itself:
            bounds = {
                name: getattr(item, key)
                for item in field.metadata
                for key, name in BOUNDS.items()
                if hasattr(item, key)
            }
            meant = [item.words for item in field.metadata if isinstance(item, Meant)]
            words = meant[0] if meant else {}
            found[name] = Setting(name, kind, field.default, choices, **bounds, meant=words)
    return found


@cache
def _of_settings(
    value: Callable[[Setting, object], object], settings: tuple[Setting, ...]
) -> type[Part]:
    fields: dict[str, Any] = {
        setting.name: (Annotated[Any, BeforeValidator(partial(value, setting))], None)
        for setting in settings
    }
    return create_model("OfSettings", __base__=Part, **fields)


def by_setting(value: Callable[[Setting, object], object], given: Any) -> dict[str, Any]:
    """Return a mapping from settings with each value read by ``value``, in the file's order."""
    found = _of_settings(value, tuple(SETTINGS.values())).model_validate(given)
    return {name: getattr(found, name) for name in given}


def given(part: Part) -> dict[str, Any]:
    """Return the keys that a file has of a part, with what they became."""
    keys = type(part).model_fields
    return {name: getattr(part, name) for name in keys if name in part.model_fields_set}
