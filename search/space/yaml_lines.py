"""YAML text → plain data, and the line of every value in it; what is odd becomes a Problem.

PyYAML's values are not used: it reads ``1e-5`` as a string and ``on`` as a boolean. Single values
stay text and are converted later, by the type of the key that they are for. No tag is honoured, so
no file builds objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from facesiam.config.settings import nearest
from search.space import shipped
from search.space.errors import Finding, Place, Problem, SpaceError, label, report

MAX_BYTES = 200_000
MAX_NODES = 10_000
"""Values in a file with its aliases written out, which nested aliases multiply without end."""
MAX_DEPTH = 20
NULLS = ("", "~", "null", "Null", "NULL")
"""What is no value, where it stands without quotes."""

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


class Lines(NamedTuple):
    """Where a value stands."""

    key: int
    """Line of its key; of an item of a list, that of the item."""
    value: int
    """Line on which the value itself begins."""


class Document(NamedTuple):
    """A YAML file as plain lists and mappings, with its lines."""

    data: dict[str, Any]
    """Single values are text, None where there is none."""
    lines: dict[Place, Lines]
    """Of every value that the file holds."""
    problems: list[Problem]
    """What is wrong in single lines, whatever they mean."""
    words: Mapping[Place, Place] = MappingProxyType({})
    """Places that the file calls otherwise, and what it calls them."""

    def located(self, findings: Iterable[Finding]) -> list[Problem]:
        """Return findings with their lines: where a key is not there, the nearest one above it."""
        return [
            Problem(self._line(each), label(self.said(each.place)), each.text) for each in findings
        ]

    def said(self, place: Place) -> Place:
        """Return a place as the file calls it."""
        for end in range(len(place), 0, -1):
            if place[:end] in self.words:
                return (*self.words[place[:end]], *place[end:])
        return place

    def _line(self, finding: Finding) -> int:
        place = finding.place
        while place not in self.lines:
            place = place[:-1]
        return self.lines[place].value if finding.at_value else self.lines[place].key


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


def parse(
    text: str, path: Path, form: str = "a space file has `search:`, `rows:` or `fixed:`"
) -> Document:
    """Turn the text of a file into plain data that knows its lines.

    Args:
        text: of the file.
        path: the file, as messages name it.
        form: what is said of an empty one.

    Raises:
        SpaceError: the text is empty, not YAML, not a mapping, or grows without bound.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise report(str(path), _explain(text, error)) from None
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        raise SpaceError(f"{path}: empty; {form}")
    plain = _Plain()
    data = plain.convert(root, ())
    problems = loader.problems + plain.problems
    if plain.left <= 0:
        raise SpaceError(f"{path}: more than {MAX_NODES:,} values with its aliases written out")
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else "a single value"
        text = f"{kind}, where `key: value` lines are expected"
        raise report(str(path), [*problems, Problem(plain.lines[()].value, "", text)])
    return Document(data, plain.lines, problems)


class _Loader(yaml.BaseLoader):
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


class _Plain:
    """PyYAML's nodes → plain data, as a tree: an alias becomes a copy of what it stands for."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.lines: dict[Place, Lines] = {}
        self.left = MAX_NODES

    def convert(self, node: yaml.Node, place: Place, key_line: int = 0) -> Any:
        """Return what a node says.

        Where there are too many nodes, or a cycle, None stands and ``left`` is 0.
        """
        self.left -= 1
        line = node.start_mark.line + 1
        self.lines[place] = Lines(key_line or line, line)
        if isinstance(node, yaml.ScalarNode):
            return None if node.style is None and node.value in NULLS else node.value
        if self.left <= 0 or len(place) > MAX_DEPTH:  # an alias inside its own anchor
            self.left = 0
            return None
        if isinstance(node, yaml.SequenceNode):
            return [self.convert(item, (*place, at)) for at, item in enumerate(node.value)]
        return self._entries(node, place)

    def _entries(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                self.problems.append(Problem(line, "", "a key must be plain text"))
            elif key.value == "<<" and key.style is None:
                text = "merging with << is not read; write the keys out"
                self.problems.append(Problem(line, "", text))
            elif key.value in entries:
                first = self.lines[*place, key.value].key
                text = f"given twice, first on line {first}"
                self.problems.append(Problem(line, key.value, text))
            else:
                entries[key.value] = self.convert(value, (*place, key.value), line)
        return entries


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
    gone = path.parent
    if not gone.is_dir():
        beside = gone.parent
        folders = [p.name for p in beside.iterdir() if p.is_dir()] if beside.is_dir() else []
        if folder := nearest(gone.name, folders):
            meant = beside / folder / path.name
            found = f"; did you mean {meant}?" if meant.is_file() else _nearest(meant)
            if "did you mean" in found:
                return found
        return shipped.near(path) or f"; there is no folder {gone}"
    there = {p.stem: p for p in (*path.parent.glob("spaces/*.yaml"), *path.parent.glob("*.y*ml"))}
    near = nearest(path.stem, there)  # `.yaml` alone would make all names alike
    return f"; did you mean {there[near]}?" if near else shipped.near(path)
