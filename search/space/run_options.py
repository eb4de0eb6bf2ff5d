"""What a user asks of ``search.run`` on its command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facesiam.nearby import RESULTS
from search.space.domains import Row
from search.space.finalists import Race


@dataclass(frozen=True)
class Raced:
    """A race, and the trainings that it may take."""

    race: Race
    rows: Mapping[str, Row]
    note: str = ""
    """A sentence on a run that is raced before its end; "" of one that is at its end."""


@dataclass(frozen=True)
class RunOptions:
    """The options of one search, over what its space file says; None: as the file says.

    ``search.cli.run_parser`` describes each of them, and makes them from the command line.
    """

    space: str
    """Path of the space file, or the name of one that is shipped."""
    data: str | None = None
    format: str | None = None
    """What the data are read as; None: as the file says, or recognised."""
    weights: str | None = None
    plugin: Sequence[str] = ()
    """Files of plugins, besides those that the space file names."""
    name: str | None = None
    out: str = RESULTS
    """Folder or URL of the runs."""
    algorithm: str | None = None
    rows: str | None = None
    """Ids of rows, separated by commas."""
    trials: int | None = None
    minutes: float | None = None
    stop_when: Mapping[str, float] | None = None
    """What ends the search before its last trial, as in a space file."""
    set: Sequence[str] = ()
    """Settings to fix, each as KEY=VALUE."""
    seed: int | None = None
    enqueue: Sequence[Mapping[str, Any]] = ()
    """Configurations to try first, besides those of the space file."""
    concurrent: int | None = None
    cpus: float | None = None
    gpus: float | None = None
    address: str | None = None
    """Of a Ray cluster; None: a Ray of this machine."""
    resume: bool = False
    reuse: Sequence[str] = ()
    warm_start: Sequence[str] = ()
    ablate: str | None = None
    race: Raced | None = None
    """The finalists that are raced, where the rows of the run are theirs."""
    seeds: int = 1
    dashboard: bool = False
    log: Sequence[str] = ()
    """Trackers, besides those of the space file."""
    optuna: str | None = None
    """URL of a database with a study of Optuna's."""
    dry_run: bool = False
    report: bool = False
    content: Mapping[str, Any] | None = None
    """What a space file would say, where `space` is none but its name."""
    command: str = ""
    """The command line, or the call from Python, as it was given, without secrets."""
    arguments: Sequence[str] = ()
    """Those of the command line, or what would say the same there, without secrets."""
    resume_call: str = ""
    """What goes on with this search, where that is not the command line with --resume."""

    @property
    def resume_command(self) -> str:
        """What goes on with this search: the command line, or a call from Python."""
        if self.resume_call:
            return self.resume_call
        command = self.command if self.resume else f"{self.command} --resume"
        if "***" in command:
            command += "\n(with the secret in place of ***: it is noted nowhere)"
        return command
