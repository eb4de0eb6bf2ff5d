"""A space given as a mapping, as from Python, instead of a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.space import file_format, yaml_text
from search.space.errors import SpaceError
from search.space.model import SearchSpace
from search.space.yaml_lines import Lines, parse


def from_mapping(content: Mapping[str, Any], name: str = "space") -> SearchSpace:
    """Return the space that a mapping describes, with the keys and values of a space file.

    Args:
        content: mappings, lists and single values, as a file has them.
        name: what messages call it, and the search where the mapping has no name.

    Raises:
        SpaceError: names every problem, and the key that it is at.
    """
    path = Path(name)
    document = parse(yaml_text.written(_plain(content, name)), path)
    nowhere = dict.fromkeys(document.lines, Lines(0, 0))  # nobody has seen that text
    return file_format.read_document(document._replace(lines=nowhere), path, strict=True)


def _plain(value: object, place: str) -> object:
    """Return a value as YAML has it: mappings with names, lists, text, numbers, truth, none."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one, f"{place}, {key}") for key, one in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(one, place) for one in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    item = getattr(value, "item", None)  # a scalar of numpy or torch
    value = item() if callable(item) else value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise SpaceError(
        f"{place}: a {type(value).__name__} is no value of a space; give text, a number, true or "
        "false, a list or a mapping"
    )
