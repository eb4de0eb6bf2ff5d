"""Typing mistakes that YAML reads as something else: missing spaces, look-alike characters.

``lr:[1]`` is one word to YAML, and a no-break space is a letter. What it then complains of stands
lines away, so a file that is refused is searched for these, and read again without them.
"""

from __future__ import annotations

import re

from facesiam.config.lookalikes import SPACES, named, plain
from search.space.errors import Problem

_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'""")
_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#.*")
_MARKS = ":,[]{}#"
_BESIDE = re.compile(rf"[{re.escape(_MARKS)}\s\"'-]|^$")
"""What may stand beside a space that separates; beside one within a text stand letters."""
_NO_SPACE = re.compile(r"(?:^[ -]*|[{,] *)(\w+):(?=[^\s/,\]}])", re.ASCII)
_NO_SPACE_IN_LIST = re.compile(r" *-(?=[^\s-])")


def slips(text: str) -> tuple[str, list[Problem]]:
    """Return the text of a space file as it was meant, and what had to be mended for that.

    Texts in quotes and comments stay as they are, as do words within a value.
    """
    lines, found, in_list = [], [], False
    for number, line in enumerate(text.split("\n"), 1):
        line, said = _without_look_alikes(line)
        line, missing = _with_spaces(line, in_list)
        bare = _bare(line).rstrip()
        in_list = bare.endswith(":") or (in_list and bare.lstrip().startswith("-"))
        lines.append(line)
        found += [Problem(number, "", what) for what in said + missing]
    return "\n".join(lines), found


def _bare(line: str) -> str:
    """Return a line, as long as it was, without what stands in quotes and in comments."""
    bare = _QUOTED.sub(lambda found: "q" * len(found[0]), line)
    return _COMMENT.sub(lambda found: " " * len(found[0]), bare)


def _without_look_alikes(line: str) -> tuple[str, list[str]]:
    said: dict[str, None] = {}
    letters, bare = list(line), _bare(line)
    for at, character in enumerate(bare):
        if not character.isascii() and _separates(bare, at):
            letters[at] = plain(character) or ""
            said[named(character)] = None
    return "".join(letters), list(said)


def _separates(line: str, at: int) -> bool:
    """Say whether a character stands for one that YAML would read as a mark or a space."""
    meant, before = plain(line[at]), line[:at].rstrip(SPACES)
    if line[at] in SPACES:
        after = line[at + 1 :].lstrip(SPACES)
        return bool(_BESIDE.match(before[-1:]) or _BESIDE.match(after[:1]))
    if not meant:
        return False
    return meant in _MARKS or (meant == "-" and not before.strip())


def _with_spaces(line: str, in_list: bool) -> tuple[str, list[str]]:
    """Put in the spaces that are missing after a key's colon, and after a list's dash."""
    said: list[str] = []
    letters, bare = list(line), _bare(line)
    for colon in _NO_SPACE.finditer(bare):
        letters[colon.end() - 1] = ": "
        said.append(f"a space is missing after `{colon[1]}:`")
    if in_list and (dash := _NO_SPACE_IN_LIST.match(bare)):
        letters[dash.end() - 1] = "- "
        said.append("a space is missing after the '-' of a list")
    return "".join(letters), said
