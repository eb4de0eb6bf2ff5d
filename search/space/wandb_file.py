"""A W&B sweep file as plain data with its lines, and the parameters in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from facesiam import nearby
from facesiam.files import exists, is_file
from search.space.errors import Place, SpaceError, report
from search.space.yaml_lines import Document, parse, read_text


def sweep_document(path: Path) -> Document:
    """Return a sweep file, whose tags such as ``!!float`` say what the settings know.

    Raises:
        SpaceError: it cannot be read, or is no sweep.
    """
    if not exists(path):
        hint = nearby.did_you_mean(path, _is_yaml, ("spaces",))
        raise SpaceError(f"{path}: no such file{hint}")
    document = parse(read_text(path), path, "a sweep has `parameters:`")
    wrong = [problem for problem in document.problems if not problem.text.startswith("!!")]
    if wrong:
        raise report(str(path), wrong)
    if isinstance(document.data.get("parameters"), dict):
        return document
    is_space = {"search", "fixed", "rows"} & document.data.keys()
    what = "a space file already" if is_space else "not a W&B sweep: it has no parameters:"
    raise SpaceError(f"{path}: {what}")


def _is_yaml(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml") and is_file(path)


def leaves(
    parameters: Mapping[str, Any], above: Place
) -> Iterator[tuple[Place, str, Mapping[str, Any]]]:
    """Yield each parameter, nested ones by themselves: place, dotted name, what it says."""
    for name, spec in parameters.items():
        place = (*above, name)
        inside = spec.get("parameters") if isinstance(spec, dict) else None
        if isinstance(inside, dict):
            yield from leaves(inside, (*place, "parameters"))
        else:
            dotted = ".".join(str(step) for step in place if step != "parameters")
            yield place, dotted, spec if isinstance(spec, dict) else {"value": spec}
