"""What is known of plugins in this process: their parts, and the names of those without code."""

from __future__ import annotations

import math
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from facesiam.config import own_names
from facesiam.config.own_names import BUILT_IN, Kind
from facesiam.errors import PluginError, first_line

Scale = tuple[tuple[float, ...], tuple[float, ...]]
Made = TypeVar("Made", bound=Callable[..., Any])
NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
HALVES: Scale = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Mean and deviation that bring inputs from [0, 1] to [-1, 1]."""


@dataclass(frozen=True)
class Plugin:
    """What is noted of a plugin: enough to read a run or a model file without its code."""

    file: str
    """Path, absolute where it was loaded."""
    sha256: str = ""
    nets: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    metrics: Mapping[str, str] = field(default_factory=dict, hash=False)
    """By name whether more (max) or less (min) of it is better."""

    def plain(self) -> dict[str, Any]:
        """Return it as plain values, for YAML, JSON and model files."""
        return {**asdict(self), "nets": list(self.nets), "losses": list(self.losses)}


class Part(NamedTuple):
    """A net, loss or metric that a plugin registers."""

    kind: Kind
    name: str
    file: str
    line: int
    """On which it is registered."""
    made: Callable[..., Any]
    """What is registered: a function or a class."""
    scale: Scale = HALVES
    """Of a net: mean and deviation of the inputs that its weights are for."""
    mode: str = "max"
    """Of a metric: whether more or less of it is better."""


class Loaded(NamedTuple):
    """A plugin that was run."""

    plugin: Plugin
    text: str
    parts: tuple[Part, ...]


_loaded: dict[str, Loaded] = {}
"""By file."""
_declared: dict[str, Plugin] = {}
"""By file, what is known of plugins without their code."""
_running: list[Part] | None = None
"""Parts so far of the file that is being run; None: none is."""


def register(kind: Kind, name: str, **more: Any) -> Callable[[Made], Made]:
    """Return a decorator that registers a part, and leaves what it decorates as it is."""

    def registered(made: Made) -> Made:
        """Note the part where a plugin is being run, and return what was decorated."""
        if _running is not None:  # else a program of the user's own imports the file
            caller = sys._getframe(1)
            _check_name(kind, name, _running)
            if not callable(made):
                raise PluginError(f"{kind} {name}: must be a function or a class, got {made!r}")
            _running.append(
                Part(kind, name, caller.f_code.co_filename, caller.f_lineno, made, **more)
            )
        return made

    return registered


def _check_name(kind: Kind, name: object, there: Iterable[Part]) -> None:
    """Refuse a name that is none, or is another part's."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise PluginError(
            f"{kind} {name!r}: a name has small letters, digits and _, and begins with a letter"
        )
    if name in BUILT_IN[kind]:
        raise PluginError(f"{kind} {name}: there is a {kind} of this name already; take another")
    if kind == "metric" and not name.startswith("val_"):
        raise PluginError(f"metric {name}: must begin with val_, as it is of the validation pairs")
    for part in (*there, *_parts()):
        if (part.kind, part.name) == (kind, name):
            raise PluginError(f"{kind} {name}: {part.file} line {part.line} has that name")


@contextmanager
def collected() -> Iterator[list[Part]]:
    """Within this, yield the parts that are registered."""
    global _running
    _running = []
    try:
        yield _running
    finally:
        _running = None


def replace_all(plugins: Iterable[Loaded]) -> None:
    """Have these be the plugins that were loaded."""
    every = {each.plugin.file: each for each in plugins}
    _loaded.clear()
    _loaded.update(every)
    _set_names()


def current() -> list[Loaded]:
    """Return the plugins that were loaded, in order."""
    return list(_loaded.values())


def declare(noted: Iterable[Plugin]) -> None:
    """Have the names of plugins be known without their code, for reading what they made."""
    _declared.update({plugin.file: plugin for plugin in noted})
    _set_names()


def noted(plain: Any) -> Plugin:
    """Return what ``Plugin.plain`` wrote.

    Raises:
        PluginError: it is something else.
    """
    try:
        names = {key: tuple(map(str, plain[key])) for key in ("nets", "losses")}
        metrics = {str(name): str(mode) for name, mode in dict(plain["metrics"]).items()}
        return Plugin(str(plain["file"]), str(plain["sha256"]), **names, metrics=metrics)
    except (KeyError, TypeError, ValueError):
        raise PluginError("what it says of its plugins cannot be read") from None


def forget() -> None:
    """Forget all plugins."""
    _loaded.clear()
    _declared.clear()
    _set_names()


def loaded() -> tuple[Plugin, ...]:
    """Return the plugins that were loaded, in order."""
    return tuple(each.plugin for each in current())


def hashes() -> list[str]:
    """Return the SHA-256 of each plugin that was loaded, sorted."""
    return sorted(plugin.sha256 for plugin in loaded())


def used_by(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return what a model file notes of the plugins with a net or a loss of these names."""
    wanted = set(names)
    return [
        replace(plugin, file=Path(plugin.file).name).plain()
        for plugin in loaded()
        if wanted & {*plugin.nets, *plugin.losses}
    ]


def changed(noted: Iterable[Plugin], net: str) -> str:
    """Return the file of a net's plugin where its text is not what was noted of it, else ""."""
    known = {plugin.sha256 for plugin in noted}
    of_net = (plugin for plugin in loaded() if net in plugin.nets)
    return next((plugin.file for plugin in of_net if plugin.sha256 not in known), "")


def part(kind: Kind, name: str) -> Part:
    """Return a part that was registered.

    Raises:
        PluginError: the plugin that it is of was not loaded.
    """
    for each in _parts():
        if (each.kind, each.name) == (kind, name):
            return each
    plugin = next(
        (p for p in _declared.values() if name in {*p.nets, *p.losses, *p.metrics}), None
    )
    file = plugin.file if plugin else "that it is of"
    raise PluginError(f"{kind} {name} needs the plugin {file}: give its file with --plugin")


def need(net: str, loss: str, metric: str) -> None:
    """Refuse to go on without the plugins of a net, a loss and a metric.

    Raises:
        PluginError: as ``part``.
    """
    wanted: dict[Kind, str] = {"net": net, "loss": loss, "metric": metric}
    for kind, name in wanted.items():
        if name not in BUILT_IN[kind]:
            part(kind, name)


def measure(scores: Any, same: Any) -> dict[str, float]:
    """Return the metrics of plugins by name, for scores (P,) and whether same (P,).

    They are NaN where a score is not a finite number.

    Raises:
        PluginError: one of them failed, or returned no number.
    """
    found: dict[str, float] = {}
    finite = math.isfinite(float(scores.sum()))
    for each in _parts():
        found |= {each.name: math.nan} if each.kind == "metric" else {}
        if each.kind == "metric" and finite:
            with blamed(each):
                found[each.name] = float(each.made(scores, same))
    return found


@contextmanager
def blamed(part: Part) -> Iterator[None]:
    """Within this, turn an error into a PluginError that names the part, and the plugin's line."""
    try:
        yield
    except PluginError:
        raise
    except Exception as error:
        line = line_of(error, part.file) or part.line
        said = f"{type(error).__name__}: {first_line(error)}"
        raise PluginError(f"{part.file} line {line}: {part.kind} {part.name}: {said}") from error


def _parts() -> Iterator[Part]:
    return (part for each in _loaded.values() for part in each.parts)


def line_of(error: BaseException, file: str) -> int:
    """Return the line of a file on which an error came up, the innermost; 0: on none."""
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == file]
    return lines[-1] if lines else 0


def _set_names() -> None:
    """Have the settings and the metrics know the names of all plugins."""
    known = (*_declared.values(), *loaded())
    own_names.set_own(
        dict.fromkeys(name for plugin in known for name in plugin.nets),
        dict.fromkeys(name for plugin in known for name in plugin.losses),
        {name: mode for plugin in known for name, mode in plugin.metrics.items()},
    )
