"""YAML text → nodes that know their line and their own text; what is odd becomes a Problem.

PyYAML's values are not used: it reads ``1e-5`` as a string and ``on`` as a boolean. Text is
converted later, by the type of the setting that it is for. No tag is honoured, so no file builds
objects.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from search.space import shipped
from search.space.problems import Problem, SpaceError, report

MAX_BYTES = 200_000
MAX_NODES = 10_000
"""Values in a file with its aliases written out, which nested aliases multiply without end."""
MAX_DEPTH = 20

PLAIN_WORDS = {
    r"mapping values are not allowed": "a ':' too many in this line, a ':' missing in the line "
    "above, or a wrong indentation",
    r"could not find expected ':'": "a line that is neither `key: value` nor part of a list",
    r"expected ',' or '\]'": "a list that is not closed: ',' or ']' is missing",
    r"expected ',' or '\}'": "a mapping that is not closed: ',' or '}' is missing",
    r"quoted scalar found unexpected": "a quote that is not closed",
    r"unknown escape character '(.)'": "\\{0} in double quotes means nothing; use single ones",
    r"expected the node content, but found '(.*)'": "a value is missing before '{0}'",
    r"expected <block end>": "a wrong indentation, or a '-' or quote that does not belong",
    r"found undefined alias '(.*)'": "*{0} is used, but no &{0} stands above it",
    r"found duplicate anchor '(.*)'": "&{0} is given twice",
    r"found character '(.)' that cannot start": "a value that starts with '{0}' needs quotes",
    r"expected '<document start>', but found": "text after the end of the document",
    r"expected a single document": "a second document starts here; a space file holds one",
}
"""What PyYAML says, and what it means to somebody who writes a space file."""


@dataclass(frozen=True)
class Scalar:
    """A single value, as it is written, without its quotes."""

    line: int
    text: str
    null: bool


@dataclass(frozen=True)
class Sequence:
    """A list."""

    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Mapping:
    """A mapping from keys to entries, in the file's order."""

    line: int
    entries: dict[str, Entry]


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True)
class Entry:
    """A key's line and what stands under it."""

    line: int
    node: Node


def read_text(path: Path) -> str:
    """Return the text of a space file.

    Raises:
        SpaceError: it is missing (with the nearest that is there), a folder, not text, too long.
    """
    try:
        if path.is_dir():
            raise SpaceError(f"{path}: a folder, not a space file{_holds(path)}")
        if not path.exists():
            raise SpaceError(f"{path}: no such file{_nearest(path)}")
        if not path.is_file():
            raise SpaceError(f"{path}: not a regular file")
        if path.stat().st_size > MAX_BYTES:
            raise SpaceError(f"{path}: longer than {MAX_BYTES:,} bytes, so not a space file")
        return _decode(path, path.read_bytes())
    except OSError as error:
        raise SpaceError(f"{path}: cannot be read ({error.strerror})") from None


def parse(text: str, path: Path) -> tuple[Mapping, list[Problem]]:
    """Turn the text of a file into nodes; also return what is wrong in single lines.

    Raises:
        SpaceError: the text is empty, not YAML, not a mapping, or grows without bound.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise report(str(path), _explain(text, error)) from None
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        raise SpaceError(f"{path}: empty; a space file has `search:`, `rows:` or `fixed:`")
    converter = _Converter()
    node = converter.convert(root, 0)
    problems = loader.problems + converter.problems
    if converter.left <= 0:
        raise SpaceError(f"{path}: more than {MAX_NODES:,} values with its aliases written out")
    if not isinstance(node, Mapping):
        kind = "a list" if isinstance(node, Sequence) else "a single value"
        odd = Problem(node.line, "", f"{kind}, where `key: value` lines are expected")
        raise report(str(path), [*problems, odd])
    return node, problems


class _Loader(yaml.SafeLoader):
    """Composes nodes, notes every tag, and refuses to follow brackets into the depths."""

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self.depth = self.nodes = 0
        super().__init__(text)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose as PyYAML does, but note each tag.

        Raises:
            yaml.MarkedYAMLError: nested deeper than MAX_DEPTH, or more than MAX_NODES.
        """
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if tag := getattr(event, "tag", None):
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            text = f"{shown}: tags are not read; write the plain value"
            self.problems.append(Problem(event.start_mark.line + 1, "", text))
        self.depth, self.nodes = self.depth + 1, self.nodes + 1
        if self.nodes > MAX_NODES:
            raise yaml.MarkedYAMLError(
                problem=f"more than {MAX_NODES:,} values", problem_mark=event.start_mark
            )
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested more than {MAX_DEPTH} deep", problem_mark=event.start_mark
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Converter:
    """PyYAML's nodes → ours, as a tree: an alias becomes a copy of what it stands for."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.left = MAX_NODES

    def convert(self, node: yaml.Node, depth: int) -> Node:
        """Return our node for `node`, which is `depth` levels below the root.

        Where there are too many nodes, or a cycle, an empty scalar stands and ``left`` is 0.
        """
        self.left -= 1
        line = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            return Scalar(line, node.value, node.style is None and _is_null(node.value))
        if self.left <= 0 or depth > MAX_DEPTH:  # the second: an alias inside its own anchor
            self.left = 0
            return Scalar(line, "", True)
        if isinstance(node, yaml.SequenceNode):
            return Sequence(line, tuple(self.convert(item, depth + 1) for item in node.value))
        return Mapping(line, self._entries(node, depth))

    def _entries(self, node: yaml.Node, depth: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                self.problems.append(Problem(line, "", "a key must be plain text"))
            elif key.value == "<<" and key.style is None:
                text = "merging with << is not read; write the keys out"
                self.problems.append(Problem(line, "", text))
            elif key.value in entries:
                text = f"given twice, first on line {entries[key.value].line}"
                self.problems.append(Problem(line, key.value, text))
            else:
                entries[key.value] = Entry(line, self.convert(value, depth + 1))
        return entries


def _is_null(text: str) -> bool:
    return text in ("", "~", "null", "Null", "NULL")


def _explain(text: str, error: yaml.YAMLError) -> list[Problem]:
    """Say what stopped the parser, in plain words; a tab is what it most often is."""
    if not isinstance(error, yaml.MarkedYAMLError):
        at = getattr(error, "position", 0)
        line = text.count("\n", 0, at) + 1
        return [Problem(line, "", "not YAML: a control character that no text file has")]
    mark = error.problem_mark or error.context_mark
    words = " ".join(filter(None, [error.context, error.problem]))
    if re.search(r"quoted scalar found unexpected|expected ',' or", words):
        mark = error.context_mark or mark  # where it opens, not where its end is missed
    if "'\\t'" in words or re.search(r"^ *\t[ \t]*[^\s#]", text, re.MULTILINE):
        tabs = [n for n, line in enumerate(text.split("\n"), 1) if re.match(r"[^#]*\t", line)]
        return [Problem(line, "", "a tab; YAML takes spaces only") for line in tabs]
    return [Problem(mark.line + 1 if mark else 1, "", f"not YAML: {_plain_words(words)}")]


def _plain_words(words: str) -> str:
    for pattern, meaning in PLAIN_WORDS.items():
        if match := re.search(pattern, words):
            return meaning.format(*match.groups()) if match.groups() else meaning
    return words


def _decode(path: Path, raw: bytes) -> str:
    for kind, start in (("32", b"\xff\xfe\0\0"), ("16", b"\xff\xfe"), ("16", b"\xfe\xff")):
        if raw.startswith(start):
            raise SpaceError(f"{path}: saved as UTF-{kind}; save it as UTF-8")
    if b"\0" in raw and not (any(raw[1::2]) and any(raw[::2])):  # every other byte is 0
        raise SpaceError(f"{path}: saved as UTF-16; save it as UTF-8")
    if b"\0" in raw:
        raise SpaceError(f"{path}: a binary file, not a space file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        text = f"not UTF-8 text (byte 0x{raw[error.start]:02x}); save the file as UTF-8"
        raise report(str(path), [Problem(line, "", text)]) from None


def _holds(folder: Path) -> str:
    files = sorted(folder.glob("*.yaml"))
    return f"; name a file in it, such as {files[0]}" if files else ""


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return shipped.near(path) or f"; there is no folder {path.parent}"
    there = {p.name: p for p in (*path.parent.glob("spaces/*.yaml"), *path.parent.glob("*.y*ml"))}
    near = get_close_matches(path.name, there, n=1)
    return f"; did you mean {there[near[0]]}?" if near else shipped.near(path)
