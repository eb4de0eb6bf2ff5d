"""W&B's words in the JSON schema of a space file (``wandb_words.py``)."""

from __future__ import annotations

from typing import Any

from facesiam.config.costs import COSTS
from search.space.algorithms import OTHER_WORDS
from search.space.wandb_words import GOALS

Schema = dict[str, Any]


def definitions(when: Schema) -> Schema:
    """Return the forms of a searched setting in W&B's words, by name.

    Args:
        when: the schema of conditions.
    """
    distribution = {"enum": ["uniform", "int_uniform", "q_uniform", "log_uniform_values"]}
    values = {"type": "array", "minItems": 1, "uniqueItems": True}
    return {
        "Values": _form(
            "A list of choices, in W&B's words.",
            {"values": values, "distribution": {"const": "categorical"}, "when": when},
            ["values"],
        ),
        "Constant": _form(
            "A single choice, in W&B's words.",
            {"value": {}, "distribution": {"const": "constant"}, "when": when},
            ["value"],
        ),
        "MinMax": _form(
            "A range, in W&B's words.",
            {
                "min": {"type": "number"},
                "max": {"type": "number"},
                "distribution": distribution,
                "q": {"type": "number", "exclusiveMinimum": 0},
                "when": when,
            },
            ["min", "max"],
        ),
    }


def of_setting(value: Schema, ranged: bool) -> Schema:
    """Return what W&B's keys of a searched setting hold, given its values' schema."""
    ends = {"min": value, "max": value} if ranged else {}
    return {"values": {"items": value}, "value": value, **ends}


def add_keys(properties: Schema) -> None:
    """Add W&B's keys and words to the properties of a file."""
    algorithm, mode, metric = (properties[name] for name in ("algorithm", "mode", "metric"))
    algorithm["enum"] = [*algorithm["enum"], *OTHER_WORDS]
    mode["enum"] = [*mode["enum"], *GOALS]
    named = {key: metric.pop(key) for key in ("enum", "type")}
    goal = {"enum": mode["enum"]}
    metric["anyOf"] = [
        named,
        {
            "description": "The metric, and costs whose front is searched with it.",
            "type": "array",
            "items": [named],
            "additionalItems": {"enum": list(COSTS)},
            "minItems": 1,
            "uniqueItems": True,
        },
        _form("W&B's form.", {"name": named, "goal": goal}, ["name"]),
    ]
    properties["method"] = {
        "description": "W&B's word for algorithm.",
        "enum": algorithm["enum"],
    }
    whole = {"type": "integer", "minimum": 1}
    bands = {"min_iter": whole, "max_iter": whole, "s": whole, "eta": {**whole, "minimum": 2}}
    properties["early_terminate"] = _form(
        "W&B's word for the rule asha: min_iter is its grace, eta its factor.",
        {"type": {"const": "hyperband"}, **bands},
        [],
    )


def _form(description: str, properties: Schema, required: list[str]) -> Schema:
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
        "minProperties": 1,
    }
