"""A space file → what a SearchSpace is made of, and every problem of the file with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from facesiam.config.lookalikes import odd
from facesiam.config.trial import SETTINGS, Setting, Value, did_you_mean
from search.space import spec
from search.space.checks import Checks
from search.space.domains import Amount, Domain, Resources, Row
from search.space.searched import both_fixed_and_searched, read_search
from search.space.yaml_lines import Entry, Scalar
from search.space.yaml_lines import Mapping as MappingNode

NAME = re.compile(r"\w[\w.\-]{0,99}", re.ASCII)
NOTE = Setting("note", str, "", "")
SWITCH = Setting("switch", bool, False, "")


class Reader(Checks):
    """Reads one file."""

    settings_read = False
    """Whether fixed, search and rows were read without a problem."""

    def read(self, root: MappingNode) -> dict[str, Any]:
        """Return what the file says, by SearchSpace's field; the faulty parts are left out."""
        known = [*spec.PARTS, *spec.OPTIONS]
        for name, entry in root.entries.items():
            self.lines[name] = entry.line
            if name in SETTINGS and name not in known:
                self.say(entry.line, name, "a setting; put it under fixed: or search:")
            elif name not in known:
                near = odd(name) + did_you_mean(name, known)
                self.say(entry.line, name, f"not a key of a space file{near}")
        if not {"fixed", "search", "rows"} & set(root.entries):
            self.say(root.line, "", "nothing to run; a space file has search:, rows: or fixed:")
        found = self._options(root)
        for name in ("prune", "resources", "fixed", "search", "rows"):
            if name == "fixed":
                before = len(self.problems)
            if name in root.entries:
                found[name] = getattr(self, f"_{name}")(root.entries[name])
        both_fixed_and_searched(self, found)
        self.settings_read = len(self.problems) == before
        return found

    def line(self, place: str) -> int:
        """Return the line of a dotted path, or of the nearest thing above it that has one."""
        while place and place not in self.lines:
            place = place.rpartition(".")[0]
        return self.lines.get(place, 1)

    def _options(self, root: MappingNode) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, setting in spec.OPTIONS.items():
            entry = root.entries.get(name)
            if entry and (value := self.value(entry.node, setting, name)) is not None:
                found[name] = value
        if "name" in found and not NAME.fullmatch(found["name"]):
            text = f"letters, digits, '-', '_' and '.' only, got {found['name']!r}"
            self.say(self.lines["name"], "name", text)
        return found

    def _fixed(self, entry: Entry) -> dict[str, Value]:
        return self.settings(entry, "fixed")

    def _search(self, entry: Entry) -> dict[str, Domain]:
        return read_search(self, entry)

    def _rows(self, entry: Entry) -> dict[str, Row]:
        node, found = entry.node, {}
        names = node.entries if isinstance(node, MappingNode) else ()
        for id, each in self.entries(entry, "rows", names).items():
            self.lines[f"rows.{id}"] = each.line
            if not NAME.fullmatch(id):
                text = "letters, digits, '-', '_' and '.' only"
                self.say(each.line, f"row {id}", text)
            found[id] = self._row(f"row {id}", each)
        return found

    def _row(self, key: str, entry: Entry) -> Row:
        parts = self.entries(entry, key, spec.ROW, "a key of a row", f"{key}, ", may_be_empty=True)
        read: dict[str, Callable[[Entry], Any]] = {
            "settings": lambda e: self.settings(e, f"{key}.settings", f"{key}, "),
            "printed": lambda e: self.settings(e, f"{key}.printed", f"{key}, printed "),
            "published": lambda e: self._published(e, f"{key}, published"),
            "note": lambda e: self.value(e.node, NOTE, f"{key}, note") or "",
        }
        return Row(**{name: read[name](each) for name, each in parts.items()})

    def _published(self, entry: Entry, key: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        known = spec.PUBLISHED
        entries = self.entries(entry, key, known, "a published figure", f"{key} ")
        for name, each in entries.items():
            if name == "overfit" and isinstance(each.node, Scalar) and each.node.null:
                found[name] = None
                continue
            value = self.value(each.node, known[name], f"{key} {name}")
            # The documents print 81, not 81.0.
            whole = isinstance(value, float) and value.is_integer()
            found[name] = int(value) if whole and value is not None else value
        return found

    def _prune(self, entry: Entry) -> dict[str, Any]:
        known = [*spec.RULES, spec.CONTROL.name]
        forms = "false (no rule), true (every rule, asha too)"
        on = self._switch(entry, "prune", forms, known)
        if on is not None:
            return spec.pruning(on)
        found: dict[str, Any] = {}
        if not isinstance(entry.node, MappingNode):
            return found
        owners = {option: name for name, rule in spec.RULES.items() for option in rule.options}
        for name, each in self.entries(entry, "prune", [*known, *owners]).items():
            self.lines[f"prune.{name}"] = each.line
            if name in owners:
                text = f"a key of prune.{owners[name]}; put it under {owners[name]}:"
                self.say(each.line, f"prune.{name}", text)
            elif name in spec.RULES:
                found[name] = self._rule(name, each)
            elif (share := self.value(each.node, spec.CONTROL, f"prune.{name}")) is not None:
                found[name] = share
        return found

    def _rule(self, name: str, entry: Entry) -> bool | dict[str, Value]:
        rule, key = spec.RULES[name], f"prune.{name}"
        on = self._switch(entry, key, "true or false", rule.options)
        if on is not None or not (rule.options and isinstance(entry.node, MappingNode)):
            return rule.switched(bool(on))
        found = {option: setting.default for option, setting in rule.options.items()}
        for option, each in self.entries(entry, key, rule.options).items():
            self.lines[f"{key}.{option}"] = each.line
            value = self.value(each.node, rule.options[option], f"{key}.{option}")
            if value is not None:
                found[option] = value
        return found

    def _switch(self, entry: Entry, key: str, forms: str, known: Iterable[str]) -> bool | None:
        """Return a single true or false; None for a mapping, or after saying what is wrong.

        Args:
            entry: where it stands.
            key: what it is called in messages.
            forms: which single values it takes, in messages.
            known: the keys that it may have instead; without any it takes no mapping.
        """
        node, names = entry.node, [f"{name}:" for name in known]
        if isinstance(node, Scalar) and node.null:
            self.say(entry.line, key, "has nothing under it" if names else "has no value")
            return None
        if isinstance(node, MappingNode) and names:
            return None
        got = "a mapping" if isinstance(node, MappingNode) else "a list"
        if isinstance(node, Scalar):
            with suppress(ValueError):
                return bool(SWITCH.parse(node.text))
            got = repr(node.text)
        under = f", or have {', '.join(names[:-1])} or {names[-1]} under it" if names else ""
        self.say(entry.line, key, f"must be {forms}{under}, got {got}")
        return None

    def _resources(self, entry: Entry) -> Resources:
        entries = self.entries(entry, "resources", [*spec.AMOUNTS, "per_net"])
        per_net = entries.pop("per_net", None)
        nets = self.entries(per_net, "resources.per_net", spec.NETS, "a net") if per_net else {}
        own = {
            net: self._amounts(
                self.entries(each, f"resources.per_net.{net}", spec.AMOUNTS),
                f"resources.per_net.{net}",
            )
            for net, each in nets.items()
        }
        return Resources(**self._amounts(entries, "resources"), per_net=own)

    def _amounts(self, entries: Mapping[str, Entry], key: str) -> dict[str, Amount]:
        found: dict[str, Amount] = {}
        for name, each in entries.items():
            setting, label = spec.AMOUNTS[name], f"{key}.{name}"
            text = each.node.text if isinstance(each.node, Scalar) else ""
            if text == "auto":
                found[name] = "auto"
            elif text[:1].isalpha():
                self.say(each.line, label, f"must be auto or a number, got {text!r}")
            elif (value := self.value(each.node, setting, label)) is not None:
                found[name] = float(value)
        return found
