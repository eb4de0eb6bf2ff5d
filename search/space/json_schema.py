"""The JSON schema of a space file, for editors that complete and check it."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from facesiam.config import SETTINGS, TrialConfig
from facesiam.config.field_docs import field_docs
from facesiam.config.settings import Setting
from search.space import wandb_schema
from search.space.domain_format import Choices, Span
from search.space.fields import Part
from search.space.file_models import SpaceFile

COMMAND = "python -m search.space --schema > search/space/space.schema.json"
"""Writes the file that is committed."""
WIDTH = 99
"""Characters of a line of the committed file, where its values allow."""

Schema = dict[str, Any]


def text() -> str:
    """Return the schema as it is committed."""
    return _written(schema()) + "\n"


def schema() -> Schema:
    """Return the schema of a space file, draft 7.

    The pydantic models make it, but for the settings, which they read by SETTINGS: a setting
    stands once among the definitions, and all that takes its values refers to it.
    """
    models = _models()
    forms = [models["Choices"]["properties"]["choices"]]
    forms += map(_ref, ("Choices", "Values", "Constant"))
    words = wandb_schema.definitions(_ref("when"))
    meanings = field_docs(TrialConfig)
    conditions = {name: _one_or_more(_ref(name)) for name in SETTINGS}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **models.pop("SpaceFile"),
        "title": "Space file",
        "description": f"What to search. Written by: {COMMAND}",
        "anyOf": [{"required": [name]} for name in ("search", "rows", "fixed")],
        "definitions": {
            **models,
            **words,
            "settings": _object({name: _ref(name) for name in SETTINGS}),
            "search": _object({name: _searched(each) for name, each in SETTINGS.items()}),
            "choices": {"anyOf": forms},
            "choices_or_range": {"anyOf": [*forms, _ref("Span"), _ref("MinMax")]},
            "when": {**_object(conditions), "minProperties": 1},
            **{
                name: {"description": meanings[name], **_value(setting)}
                for name, setting in SETTINGS.items()
            },
        },
    }


def _models() -> Schema:
    """Return the schemas of the pydantic models by name, the settings in them as references."""
    _, made = models_json_schema(
        [(model, "validation") for model in (SpaceFile, Choices, Span)],
        ref_template="#/definitions/{model}",
        schema_generator=_Generator,
    )
    models: Schema = made["$defs"]
    keys: Schema = {name: model["properties"] for name, model in models.items()}
    keys["Resources"]["per_net"]["propertyNames"] = _ref("net")
    for model, key, definition in (
        ("SpaceFile", "fixed", "settings"),
        ("SpaceFile", "search", "search"),
        ("Row", "settings", "settings"),
        ("Row", "printed", "settings"),
        ("Choices", "when", "when"),
        ("Span", "when", "when"),
    ):
        keys[model][key] |= _ref(definition)
    keys["SpaceFile"]["enqueue"] |= {
        "items": _ref("settings") | {"minProperties": 1},
        "minItems": 1,
    }
    wandb_schema.add_keys(keys["SpaceFile"])
    return models


class _Generator(GenerateJsonSchema):
    """Leaves out titles of keys, which only repeat their names, and defaults that say nothing.

    The description of a key is its docstring, which pydantic would look for at each import.
    """

    def model_schema(self, schema: Any) -> Schema:
        made = super().model_schema(schema)
        for part in reversed(schema["cls"].__mro__):
            for name, meaning in field_docs(part).items() if issubclass(part, Part) else ():
                made["properties"][name]["description"] = meaning
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> Schema:
        empty = schema.get("default") in (None, "", {})
        return self.generate_inner(schema["schema"]) if empty else super().default_schema(schema)


def _value(setting: Setting) -> Schema:
    kinds = {bool: "boolean", str: "string", int: "integer", float: "number"}
    value: Schema = {"enum": list(setting.choices)}
    if not setting.choices:
        bounds = {
            "exclusiveMinimum": setting.above,
            "minimum": setting.low,
            "maximum": setting.high,
        }
        value = {"type": kinds[setting.type]}
        value |= {name: bound for name, bound in bounds.items() if bound is not None}
    return {**value, "default": setting.default}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _one_or_more(value: Schema) -> Schema:
    return {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}]}


def _searched(setting: Setting) -> Schema:
    """Return the schema of one key of `search:`: one of the shared forms, of its own values."""
    value = _ref(setting.name)
    own: Schema = {"choices": {"items": value}}
    ranged = setting.type in (int, float)
    own |= {"low": value, "high": value} if ranged else {}
    own |= wandb_schema.of_setting(value, ranged)
    own |= {"step": {"type": "integer"}} if setting.type is int else {}
    form = _ref("choices_or_range" if ranged else "choices")
    return {"allOf": [form], "items": value, "properties": own}


def _written(value: Any, indent: int = 0, before: int = 0) -> str:
    """Return JSON with every list and object on one line that fits there.

    Args:
        value: of the JSON.
        indent: of the line on which it begins.
        before: characters of its key.
    """
    line = json.dumps(value, ensure_ascii=False)
    if indent + before + len(line) < WIDTH or not (isinstance(value, dict | list) and value):
        return line
    pad = "\n" + " " * (indent + 1)
    if isinstance(value, list):
        return f"[{pad}{(',' + pad).join(_written(v, indent + 1) for v in value)}{pad[:-1]}]"
    keys = {key: json.dumps(key) + ": " for key in value}
    parts = [keys[key] + _written(v, indent + 1, len(keys[key])) for key, v in value.items()]
    return f"{{{pad}{(',' + pad).join(parts)}{pad[:-1]}}}"
