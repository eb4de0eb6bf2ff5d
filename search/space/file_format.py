"""Reads and validates a space file: YAML → SearchSpace, or all its problems with their lines."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from facesiam.config import SETTINGS
from facesiam.config.lookalikes import odd
from facesiam.config.settings import did_you_mean
from facesiam.errors import PluginError, shown
from facesiam.plugins import loading, registry
from facesiam.plugins.registry import Plugin
from search.space import constraints, contradictions, file_models
from search.space.combinations import circle
from search.space.domain_format import Span
from search.space.domains import Domain, written
from search.space.errors import Finding, Place, SpaceError, report
from search.space.fields import Empty, NoMapping
from search.space.misplaced_keys import belongs, near
from search.space.model import SearchSpace
from search.space.typos import slips
from search.space.wandb_words import SWEEP_ONLY, translated
from search.space.yaml_lines import Document, parse, read_text


def load(path: str | Path, strict: bool = False, of_run: bool = False) -> SearchSpace:
    """Read a space file.

    Args:
        path: of the file.
        strict: also refuse options that would have no effect, as the commands do.
        of_run: the file comes from a run folder; contradictions are not refused, as it has run.

    Raises:
        SpaceError: names every problem of the file, with its line.
    """
    path = Path(path)
    text = read_text(path)
    try:
        return read_document(parse(text, path), path, strict, of_run)
    except SpaceError:
        meant, found = slips(text)
        if not found:
            raise
    try:
        read_document(parse(meant, path), path, strict, of_run)
    except SpaceError as error:
        found += error.problems
    raise report(str(path), found)


def read(text: str, path: Path, strict: bool = False) -> SearchSpace:
    """Return what the text of a space file says, which need not be in a file; as ``load``."""
    return read_document(parse(text, path), path, strict)


def read_document(
    document: Document, path: Path, strict: bool = False, of_run: bool = False
) -> SearchSpace:
    """Return what the content of a space file says, as ``load``."""
    document = translated(document)
    plugins = _plugins(document, path, of_run)  # whose names the settings then have
    searched = document.data.get("search")
    declared = tuple(searched) if isinstance(searched, dict) else ()
    fields, faults = _validated(document)
    faults += _conditions(fields.get("search", {}), declared)
    faults += _both_fixed_and_searched(fields, document)
    problems = document.problems + document.located(faults)
    nothing_searched = "rows" if fields.get("rows") else "grid"
    fields.setdefault("algorithm", "tpe" if fields.get("search") else nothing_searched)
    fields["metric_given"] = "metric" in fields
    fields.setdefault("mode", contradictions.mode_of(fields.get("metric", "")))
    stem = re.sub(r"[^\w.\-]+", "-", path.stem, flags=re.ASCII).strip("-.")
    fields.setdefault("name", stem or "space")
    fields["plugins"] = plugins
    if any(place[:1] == ("enqueue",) for place, *_ in faults):
        fields.pop("enqueue", None)  # its numbers are no longer those of the file
    space = SearchSpace(path=path, **fields)
    if not any(place[:1] in (("fixed",), ("search",), ("rows",)) for place, *_ in faults):
        problems += document.located(constraints.problems(space))
    if not problems and not of_run:
        said = set(document.lines)
        wrong = [*constraints.never_searched(space), *contradictions.opposite(space, said)]
        wrong += contradictions.guesses(space)
        wrong += contradictions.idle(space, said) if strict else []
        problems = document.located(wrong)
    if problems:
        raise report(str(path), problems)
    return space


def _plugins(document: Document, path: Path, of_run: bool) -> tuple[Plugin, ...]:
    """Run the plugins that a file names, or declare what a run's file notes of them.

    What is no list of files is told where the file is validated.

    Raises:
        SpaceError: one cannot be used.
    """
    given = document.data.get("plugins")
    found: list[Plugin] = []
    for number, said in enumerate(given if isinstance(given, list) else ()):
        file = said.get("file") if isinstance(said, dict) else said
        try:
            if of_run and isinstance(said, dict):
                found.append(registry.noted(said))
            elif isinstance(file, str) and not of_run:
                found.append(loading.load(path.parent / Path(file).expanduser()))
        except PluginError as error:
            wrong = [Finding(("plugins", number), str(error))]
            raise report(str(path), document.located(wrong)) from None
    if of_run and found:
        registry.declare(found)
    return tuple(found)


def _validated(document: Document) -> tuple[dict[str, Any], list[Finding]]:
    """Return what is right in a file, by SearchSpace's field, and what is wrong in it.

    Faulty values are taken out and the rest is validated again, so that all of it is checked.
    """
    data, faults = document.data, list[Finding]()
    if not {"fixed", "search", "rows"} & data.keys():
        faults.append(Finding((), "nothing to run; a space file has search:, rows: or fixed:"))
    errors: list[ErrorDetails] = []
    while True:
        try:
            return file_models.SpaceFile.model_validate(data).fields(), faults
        except ValidationError as error:
            first, errors = not errors, error.errors(include_url=False)
        # What is empty or missing later had something in it that is told already.
        faults += [_fault(each, document) for each in errors if first or not _is_gap(each)]
        for *above, last in sorted({_place(each) for each in errors}, key=_depth, reverse=True):
            del _at(data, above)[last]


def _at(data: Any, place: Iterable[str | int]) -> Any:
    """Return what stands at a place of the data."""
    for step in place:
        data = data[step]
    return data


def _is_gap(error: ErrorDetails) -> bool:
    return error["type"] == "missing" or isinstance(error.get("ctx", {}).get("error"), Empty)


def _depth(place: Place) -> tuple[int, int]:
    """Sort what is inside of something after it, and the items of a list by their position."""
    return len(place), place[-1] if isinstance(place[-1], int) else 0


def _place(error: ErrorDetails) -> Place:
    """Return where the error is: of a missing key, and of a key itself, where it belongs."""
    place = error["loc"]
    of_key = place[-1] == "[key]" and error["type"] != "extra_forbidden"
    return place[:-1] if of_key or error["type"] == "missing" else place


def _fault(error: ErrorDetails, document: Document) -> Finding:
    """Return pydantic's error with our sentence for it."""
    place, value, told = _place(error), error["input"], error.get("ctx", {}).get("error")
    if error["type"] == "missing":
        return Finding(place, _incomplete(place))
    if error["type"] in ("extra_forbidden", "literal_error"):
        return _unknown(place, document.data)
    lines = document.lines[place]
    if isinstance(told, NoMapping) and isinstance(value, str) and lines.value > lines.key:
        return Finding(place, f"{shown(value, 60)!r} is no `key: value` line", at_value=True)
    return Finding(place, str(told), at_value=isinstance(value, str) and place == error["loc"])


def _unknown(place: Place, data: Any) -> Finding:
    """Say that there is no such key, with the nearest one, or where it belongs."""
    above, name = place[:-1], str(place[-1])
    noun, known = file_models.keys_at(above)
    if not above and name in SETTINGS:
        return Finding(place, "a setting; put it under fixed: or search:")
    if not above and name in SWEEP_ONLY:
        text = "of a W&B sweep; python -m search.space --from-wandb FILE makes a space file of one"
        return Finding(place, text)
    if above in ((), ("prune",)) and (where := belongs(name, data, *above)):
        return Finding(place, where)
    if len(above) == 2 and above[0] == "search" and name in known:
        entry = _at(data, above)
        if "choices" not in entry:
            return Finding(above, _incomplete(above))
        ranged = next(key for key in Span.model_fields if key in entry)
        return Finding(above, f"has both choices and {ranged}; take one out")
    nearest = did_you_mean(name, known) if above else near(name)
    if not nearest and len(names := list(known)) == 1:
        nearest = f"; its only key is {names[0]}"
    return Finding(place, f"not {noun}{odd(name)}{nearest}")


def _incomplete(place: Place) -> str:
    """Say what a searched setting needs that has neither choices nor both ends of a range."""
    setting = SETTINGS[str(place[1])]
    if setting.type in (int, float):
        return "needs a list of choices, or low: and high:"
    example = "false, true" if setting.type is bool else ", ".join(setting.choices[:3])
    return f"takes a list of choices, such as [{example}]"


def _conditions(search: Mapping[str, Domain], declared: Collection[str]) -> Iterator[Finding]:
    """Yield conditions that ask about what is not searched, or never so; and circles.

    Args:
        search: the searched settings that are right by themselves.
        declared: all that the file searches.
    """
    for name, domain in search.items():
        for other, values in domain.when.items():
            place = ("search", name, "when", other)
            if other not in declared:
                yield Finding(place, f"{other} is not searched, so it decides nothing")
            for value in values if other in search else ():
                if not search[other].can_be(value) and not search[other].when:
                    yield Finding(place, f"{other} is never {written(value)}")
    if ring := circle(search):
        text = f"conditions go in a circle: {' → '.join(ring)}"
        yield Finding(("search", ring[0]), text)


def _both_fixed_and_searched(fields: Mapping[str, Any], document: Document) -> Iterator[Finding]:
    """Yield settings that are fixed and also searched in every trial."""
    for name, domain in fields.get("search", {}).items():
        if name in fields.get("fixed", {}) and not domain.when:
            line = document.lines["fixed", name].key
            where = f" on line {line}" if line else ""
            text = f"searched, and fixed{where}; take one out, or give it a `when:`"
            yield Finding(("search", name), text)
