"""The JSON schema of a space file, made from SETTINGS, for editors that complete and check it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from facesiam.config.trial import SETTINGS, Setting
from search.space import spec

COMMAND = "python -m search.space --schema > search/space/space.schema.json"
"""Writes the file that is committed."""

Schema = dict[str, Any]


def text() -> str:
    """Return the schema as it is committed."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def schema() -> Schema:
    """Return the schema of a space file, draft 7."""
    settings = {name: _described(_value(s), s) for name, s in SETTINGS.items()}
    either = {name: _one_or_more(_value(s)) for name, s in SETTINGS.items()}
    top = {name: _described(_value(option), option) for name, option in spec.OPTIONS.items()}
    top |= {
        "fixed": {"$ref": "#/definitions/settings"},
        "search": _object({name: _searched(setting) for name, setting in SETTINGS.items()}),
        "rows": {"type": "object", "additionalProperties": {"$ref": "#/definitions/row"}},
        "prune": _prune(),
        "resources": _resources(),
    }
    for name, help in spec.PARTS.items():
        top[name] = (
            {"description": help, "allOf": [top[name]]}
            if "$ref" in top[name]
            else {"description": help, **top[name]}
        )
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Space file",
        "description": f"What to search. Written by: {COMMAND}",
        **_object(top),
        "anyOf": [{"required": [name]} for name in ("search", "rows", "fixed")],
        "definitions": {
            "settings": _object(settings),
            "when": {"description": spec.WHEN, **_object(either), "minProperties": 1},
            "row": _row(),
        },
    }


def _value(setting: Setting) -> Schema:
    if setting.choices:
        return {"enum": list(setting.choices)}
    if setting.type in (bool, str):
        return {"type": "boolean" if setting.type is bool else "string"}
    bounds = {"exclusiveMinimum": setting.above, "minimum": setting.low, "maximum": setting.high}
    kind = "integer" if setting.type is int else "number"
    return {"type": kind} | {name: bound for name, bound in bounds.items() if bound is not None}


def _described(value: Schema, setting: Setting) -> Schema:
    default = {} if setting.default == "" else {"default": setting.default}
    return {"description": setting.help, **value, **default}


def _object(properties: Mapping[str, Any], required: list[str] | None = None) -> Schema:
    found: Schema = {"type": "object", "properties": dict(properties)}
    found["additionalProperties"] = False
    return found | ({"required": required} if required else {})


def _list(value: Schema) -> Schema:
    return {"type": "array", "items": value, "minItems": 1, "uniqueItems": True}


def _one_or_more(value: Schema) -> Schema:
    return {"anyOf": [value, _list(value)]}


def _searched(setting: Setting) -> Schema:
    """Return the schema of one key of `search:`: choices, conditional choices, or a range."""
    value, when = _value(setting), {"$ref": "#/definitions/when"}
    forms = [_list(value), _object({"choices": _list(value), "when": when}, ["choices"])]
    if setting.type in (int, float) and not setting.choices:
        kinds: dict[str, Schema] = {
            "low": value,
            "high": value,
            "log": {"type": "boolean", "default": False},
            "step": {"type": value["type"], "exclusiveMinimum": 0},
        }
        parts = {name: {"description": spec.RANGE[name], **kinds[name]} for name in kinds}
        forms.append(_object({**parts, "when": when}, ["low", "high"]))
    return {"description": setting.help, "anyOf": forms}


def _row() -> Schema:
    published = {name: _described(_value(s), s) for name, s in spec.PUBLISHED.items()}
    for each in published.values():
        del each["default"]
    published["overfit"]["type"] = ["boolean", "null"]
    parts: dict[str, Schema] = {
        "settings": {"$ref": "#/definitions/settings"},
        "printed": {"$ref": "#/definitions/settings"},
        "published": _object(published),
        "note": {"type": "string"},
    }
    return {
        **_object(
            {
                name: {"description": help, "allOf": [parts[name]]}
                for name, help in spec.ROW.items()
            }
        ),
        "type": ["object", "null"],
    }


def _prune() -> Schema:
    rules = {name: _rule(rule) for name, rule in spec.RULES.items()}
    control = spec.CONTROL
    return _switch({**rules, control.name: _described(_value(control), control)})


def _rule(rule: spec.Rule) -> Schema:
    settings = {name: _described(_value(s), s) for name, s in rule.options.items()}
    form = _switch(settings) if settings else {"type": "boolean"}
    return {"description": rule.help, **form, "default": rule.on}


def _switch(properties: Mapping[str, Any]) -> Schema:
    """Return the schema of what is true, false, or an object that says more."""
    return {**_object(properties), "type": ["boolean", "object"], "minProperties": 1}


def _resources() -> Schema:
    amounts = {
        name: {"description": s.help, "anyOf": [{"const": "auto"}, _value(s)], "default": "auto"}
        for name, s in spec.AMOUNTS.items()
    }
    nets = _object({net: _object(amounts) for net in spec.NETS})
    return _object({**amounts, "per_net": {"description": spec.PER_NET, **nets}})
