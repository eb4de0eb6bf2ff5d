"""`search:` of a space file → Choices and Ranges, with their conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facesiam.config.trial import SETTINGS, Setting, Value
from search.space import spec
from search.space.checks import Checks, written
from search.space.combinations import circle
from search.space.domains import Choice, Domain, Range, When
from search.space.yaml_lines import Entry, Sequence
from search.space.yaml_lines import Mapping as MappingNode

MOST_VALUES = 10**9
"""Values of a range with a step. Far more of them could not be told apart as numbers."""
LOG = Setting("log", bool, False, "")


def read_search(checks: Checks, entry: Entry) -> dict[str, Domain]:
    """Return the searched settings; say what is wrong with each, and with their conditions."""
    found = {}
    for name, each in checks.entries(entry, "search", SETTINGS, "a setting", "").items():
        checks.lines[f"search.{name}"] = each.line
        domain = _domain(checks, SETTINGS[name], each)
        if domain:
            found[name] = domain
    _conditions(checks, found)
    return found


def _domain(checks: Checks, setting: Setting, entry: Entry) -> Domain | None:
    name, node = setting.name, entry.node
    if isinstance(node, Sequence):
        return _choice(checks, setting, entry, {})
    if not isinstance(node, MappingNode):
        text = "a list of choices or a range is searched; a single value goes under fixed:"
        checks.say(entry.line, name, text)
        return None
    entries = checks.entries(entry, name, ["choices", *spec.RANGE, "when"])
    when = _when(checks, name, entries["when"]) if "when" in entries else {}
    ranged = [key for key in spec.RANGE if key in entries]
    if "choices" in entries and ranged:
        checks.say(entry.line, name, f"has both choices and {ranged[0]}; take one out")
    elif "choices" in entries:
        return _choice(checks, setting, entries["choices"], when)
    elif setting.type not in (int, float):
        example = "false, true" if setting.type is bool else ", ".join(setting.choices[:3])
        checks.say(entry.line, name, f"takes a list of choices, such as [{example}]")
    elif not {"low", "high"} <= entries.keys():
        checks.say(entry.line, name, "needs a list of choices, or low: and high:")
    else:
        return _range(checks, setting, entry, entries, when)
    return None


def _choice(checks: Checks, setting: Setting, entry: Entry, when: When) -> Choice | None:
    name, node = setting.name, entry.node
    if not isinstance(node, Sequence):
        checks.say(entry.line, f"{name}.choices", "must be a list, such as [a, b]")
        return None
    if not node.items:
        checks.say(entry.line, name, "an empty list; name at least one choice")
    values: dict[Value, None] = {}
    for item in node.items:
        value = checks.value(item, setting, name)
        if value in values:
            checks.say(item.line, name, f"{written(value)} is listed twice")
        elif value is not None:
            values[value] = None
    return Choice(tuple(values), when) if values else None


def _range(
    checks: Checks, setting: Setting, entry: Entry, entries: Mapping[str, Entry], when: When
) -> Range | None:
    name, before = setting.name, len(checks.problems)
    step = Setting("step", setting.type, 1, "", above=0)
    kinds = {"low": setting, "high": setting, "log": LOG, "step": step}
    got: dict[str, Any] = {
        key: checks.value(entries[key].node, kind, f"{name}.{key}")
        for key, kind in kinds.items()
        if key in entries
    }
    if len(checks.problems) > before:
        return None
    low, high, log = got["low"], got["high"], got.get("log", False)
    if low >= high:
        checks.say(entry.line, name, f"low must be below high, got {low:g} and {high:g}")
    elif log and low <= 0:
        checks.say(entry.line, name, f"a log scale must start above 0, got low: {low:g}")
    elif log and "step" in got:
        checks.say(entry.line, name, "has both log and step; take one out")
    elif "step" in got and got["step"] > high - low:
        text = f"step must not exceed high - low, got {got['step']:g}"
        checks.say(entry.line, name, text)
    elif "step" in got and (high - low) / got["step"] >= MOST_VALUES:
        text = f"a step of {got['step']:g} makes more than {MOST_VALUES:,} values; leave it out"
        checks.say(entry.line, name, text)
    else:
        return Range(low, high, log, got.get("step"), when)
    return None


def _when(checks: Checks, name: str, entry: Entry) -> dict[str, tuple[Value, ...]]:
    key, found = f"{name}.when", {}
    for other, each in checks.entries(entry, key, SETTINGS, "a setting").items():
        checks.lines[f"{key}.{other}"] = each.line
        nodes = each.node.items if isinstance(each.node, Sequence) else (each.node,)
        values = [checks.value(node, SETTINGS[other], f"{key}.{other}") for node in nodes]
        found[other] = tuple(dict.fromkeys(value for value in values if value is not None))
        if not nodes:
            checks.say(each.line, f"{key}.{other}", "an empty list; name at least one value")
    return found


def _conditions(checks: Checks, search: Mapping[str, Domain]) -> None:
    """Say which conditions ask about what is not searched, or never so; and circles."""
    declared = [path.split(".")[1] for path in checks.lines if path.startswith("search.")]
    for name, domain in search.items():
        for other, values in domain.when.items():
            key = f"{name}.when.{other}"
            if other not in declared:
                text = f"{other} is not searched, so it decides nothing"
                checks.say(checks.lines[key], key, text)
            for value in values if other in search else ():
                if not search[other].can_be(value) and not search[other].when:
                    checks.say(checks.lines[key], key, f"{other} is never {written(value)}")
    if ring := circle(search):
        text = f"conditions go in a circle: {' → '.join(ring)}"
        checks.say(checks.lines[f"search.{ring[0]}"], ring[0], text)


def both_fixed_and_searched(checks: Checks, found: Mapping[str, Any]) -> None:
    """Say which settings are fixed and also searched in every trial."""
    for name, domain in found.get("search", {}).items():
        if name in found.get("fixed", {}) and not domain.when:
            line = checks.lines[f"fixed.{name}"]
            text = f"searched, and fixed on line {line}; take one out, or give it a `when:`"
            checks.say(checks.lines[f"search.{name}"], name, text)
