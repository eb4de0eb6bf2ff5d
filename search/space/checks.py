"""Nodes → typed values, with every problem on the way gathered and none raised."""

from __future__ import annotations

from collections.abc import Iterable

from facesiam.config.lookalikes import odd
from facesiam.config.trial import SETTINGS, Setting, Value, did_you_mean
from facesiam.errors import shown
from search.space.problems import Problem
from search.space.yaml_lines import Entry, Mapping, Node, Scalar, Sequence


class Checks:
    """Reads nodes; holds the problems, and the line that each part of the space stands on."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.lines: dict[str, int] = {}
        """By dotted path, such as ``search.lr``, and by option, such as ``metric``."""

    def say(self, line: int, key: str, text: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(line, key, text))

    def value(self, node: Node, setting: Setting, key: str) -> Value | None:
        """Return a value by its setting's type, or None after saying what is wrong with it."""
        problem = None
        if not isinstance(node, Scalar):
            kind = "a list" if isinstance(node, Sequence) else "a mapping"
            problem = f"must be a single value, got {kind}"
        elif node.null:
            problem = "has no value"
        else:
            try:
                value = setting.parse(node.text)
                # Setting knows no free text, which names and notes are.
                free = setting.type is str and not setting.choices
                problem = _text_problem(node.text) if free else setting.problem(value)
            except ValueError as error:
                problem = str(error)
            if problem is None:
                return value
        self.say(node.line, key, problem)
        return None

    def entries(
        self,
        entry: Entry,
        key: str,
        known: Iterable[str],
        noun: str = "",
        prefix: str | None = None,
        may_be_empty: bool = False,
    ) -> dict[str, Entry]:
        """Return the entries of a mapping whose keys are ``known``; say which are not.

        Args:
            entry: where the mapping stands.
            key: what the mapping is called in messages.
            known: the keys that it may have.
            noun: what such a key is called; without it "a key of" the mapping.
            prefix: goes before an unknown key; without it the mapping's own name and a dot.
            may_be_empty: nothing at all is as good as an empty mapping.
        """
        node, known = entry.node, list(known)
        if _is_empty(node):
            if not may_be_empty:
                self.say(entry.line, key, "has nothing under it")
            return {}
        if isinstance(node, Scalar) and node.line > entry.line:
            self.say(node.line, key, f"{shown(node.text, 60)!r} is no `key: value` line")
            return {}
        if not isinstance(node, Mapping):
            self.say(entry.line, key, "must be a mapping, with `key: value` lines under it")
            return {}
        for name, unknown in node.entries.items():
            if name not in known:
                label = f"{key}.{name}" if prefix is None else prefix + name
                text = f"not {noun or 'a key of ' + key}" + odd(name) + did_you_mean(name, known)
                self.say(unknown.line, label, text)
        return {name: each for name, each in node.entries.items() if name in known}

    def settings(self, entry: Entry, key: str, prefix: str = "") -> dict[str, Value]:
        """Return settings by name; ``prefix`` goes before the name of one that is wrong."""
        found = {}
        entries = self.entries(entry, key, SETTINGS, "a setting", prefix, bool(prefix))
        for name, each in entries.items():
            self.lines[f"{key}.{name}"] = each.line
            value = self.value(each.node, SETTINGS[name], prefix + name)
            if value is not None:
                found[name] = value
        return found


def _text_problem(text: str) -> str | None:
    """Say what is wrong with a name, a path or a note; a note may have several lines."""
    odd_ones = (c for c in text if (c < " " and c not in "\t\n") or "\x7f" <= c <= "\x9f")
    if (found := next(odd_ones, None)) is None:
        return None
    escape = found.encode("unicode_escape").decode()
    return f"has a control character ({escape}); within double quotes a \\ begins one, so take ''"


def _is_empty(node: Node) -> bool:
    if isinstance(node, Scalar):
        return node.null
    return isinstance(node, Mapping) and not node.entries


def written(value: object) -> str:
    """Return a value as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
