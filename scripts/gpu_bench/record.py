"""The file of a GPU benchmark: one JSON object, written whole after each figure.

Whatever ends the benchmark, and when, costs the figure that was being measured. A figure that is
there is not measured again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facesiam.errors import FileError, UserError
from facesiam.files import exists, read_json, write_text

REHEARSED = "a rehearsal on a CPU: drawn faces, tiny nets; no figure of this file is a GPU's"


class Record:
    """The figures so far, by name, and how each part ended.

    Args:
        path: of the file; what is in it is kept.
        rehearsal: whether the figures are a rehearsal's, which each of them says.

    Raises:
        UserError: there is another file, or figures of the other kind.
    """

    def __init__(self, path: Path, rehearsal: bool) -> None:
        self.path, self.rehearsal = path, rehearsal
        self.held: dict[str, Any] = {"figures": {}, "failed": {}, "parts": {}}
        if rehearsal:
            self.held = {"rehearsal": REHEARSED} | self.held
        self.read()

    def read(self) -> None:
        """Read what another process has added."""
        if not exists(self.path):
            return
        found = read_json(self.path)
        if not isinstance(found, dict) or not self.held.keys() - {"rehearsal"} <= found.keys():
            raise FileError(f"{self.path}: not a file of this benchmark; give another name")
        if ("rehearsal" in found) != self.rehearsal:
            kind = "a rehearsal's" if "rehearsal" in found else "a GPU's"
            raise UserError(f"{self.path}: has {kind} figures; give the others another file")
        self.held = found

    @property
    def figures(self) -> dict[str, Any]:
        """The figures by name, ``part/what``."""
        figures: dict[str, Any] = self.held["figures"]
        return figures

    def add(self, name: str, seconds: float, values: Mapping[str, Any]) -> None:
        """Add a figure.

        Args:
            name: ``part/what``.
            seconds: that it took.
            values: what was measured, as JSON has it.
        """
        said = {"rehearsal": True} if self.rehearsal else {}
        self.figures[name] = {**said, "at": _now(), "took": round(seconds, 2), **values}
        self.held["failed"].pop(name, None)
        self._write()

    def has(self, name: str) -> bool:
        """Say whether a figure is there; one of a search that was halted is not `complete`."""
        return name in self.figures and self.figures[name].get("complete", True)

    def fail(self, name: str, why: str) -> None:
        """Note why a figure is not there; it is tried again by the next run."""
        self.held["failed"][name] = why
        self._write()

    def end(self, part: str, seconds: float, how: str) -> None:
        """Note how a part ended: done, cut or failed."""
        ends = self.held["parts"].setdefault(part, [])
        ends.append({"at": _now(), "took": round(seconds, 1), "ended": how})
        self._write()

    def done(self, part: str) -> bool:
        """Say whether nothing of a part is missing."""
        ends = self.held["parts"].get(part, [])
        return bool(ends) and ends[-1]["ended"] == "done"

    def _write(self) -> None:
        write_text(self.path, json.dumps(self.held, indent=1, default=str) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
