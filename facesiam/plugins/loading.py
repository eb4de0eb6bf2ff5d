"""Runs the files of plugins: where a command is given them, and on the workers."""

from __future__ import annotations

import argparse
import hashlib
import linecache
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from facesiam import files
from facesiam.config.own_names import BUILT_IN
from facesiam.errors import FileError, PluginError, first_line
from facesiam.plugins import registry
from facesiam.plugins.registry import Loaded, Part, Plugin


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--plugin`` to the options of a command."""
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="Python file with nets, losses or metrics of your own; may be repeated",
    )


def load(path: str | Path) -> Plugin:
    """Run a plugin's file, and have its parts be known.

    One that was run is not run again, unless it has changed since.

    Raises:
        PluginError: it is missing, cannot be run, registers nothing, or takes a name that there
            is already; the text has file and line.
    """
    try:
        text = files.read_text(Path(path))
    except FileError as error:
        raise PluginError(f"plugin {error}") from None
    return _run(str(Path(path).absolute()), text)


def load_all(paths: Iterable[str | Path]) -> tuple[Plugin, ...]:
    """Return ``load`` of each."""
    return tuple([load(path) for path in paths])


def sources() -> list[tuple[str, str]]:
    """Return file and text of the plugins that were loaded, for ``take`` on another machine."""
    return [(each.plugin.file, each.text) for each in registry.current()]


def take(given: Iterable[tuple[str, str]]) -> None:
    """Run what ``sources`` returned, and forget other plugins.

    Raises:
        PluginError: one cannot be run here.
    """
    wanted = dict(given)
    registry.replace_all(each for each in registry.current() if each.plugin.file in wanted)
    for file, text in wanted.items():
        _run(file, text)


def _run(file: str, text: str) -> Plugin:
    """Run the text of a plugin, once a process, and have its parts be known."""
    content = hashlib.sha256(text.encode()).hexdigest()
    before = registry.current()
    for each in before:
        if each.plugin.sha256 == content:
            return each.plugin
    others = [each for each in before if each.plugin.file != file]  # it was edited since
    registry.replace_all(others)
    try:
        parts = _parts_of(file, text, content)
    except PluginError:
        registry.replace_all(before)
        raise
    names = {kind: tuple(part.name for part in parts if part.kind == kind) for kind in BUILT_IN}
    modes = {part.name: part.mode for part in parts if part.kind == "metric"}
    plugin = Plugin(file, content, names["net"], names["loss"], modes)
    registry.replace_all([*others, Loaded(plugin, text, parts)])
    return plugin


def _parts_of(file: str, text: str, content: str) -> tuple[Part, ...]:
    """Run a plugin's text as a module; return what it registers."""
    stem = re.sub(r"\W", "_", Path(file).stem)
    module = ModuleType(f"{stem}_{content[:8]}")
    module.__file__ = file
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    try:
        code = compile(text, file, "exec")
        sys.modules[module.__name__] = module
        with registry.collected() as parts:
            exec(code, module.__dict__)
    except SyntaxError as error:
        raise PluginError(f"{error.filename or file} line {error.lineno}: {error.msg}") from None
    except (Exception, SystemExit) as error:
        line = registry.line_of(error, file)
        kind = "" if isinstance(error, PluginError) else f"{type(error).__name__}: "
        where = f"{file} line {line}" if line else file
        raise PluginError(f"{where}: {kind}{first_line(error)}") from error
    if not parts:
        raise PluginError(
            f'{file}: registers no net, loss or metric; put @net("a_name") of facesiam.plugins '
            "before what makes a net, @loss or @metric likewise"
        )
    return tuple(parts)
