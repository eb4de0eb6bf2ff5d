"""A run folder on disk: the names of its files, and reading what they hold.

A folder that is no run, or a damaged file, is a RunError of one sentence.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from facesiam import nearby
from facesiam.config import SETTINGS, TrialConfig
from facesiam.config.settings import did_you_mean
from facesiam.config.trial import recorded
from facesiam.errors import ConfigError, FileError, MissingFileError, UserError
from facesiam.files import exists, is_dir
from search.runs import journal, json_files
from search.runs.json_files import Manifest
from search.runs.line_format import EPOCHS, TRIALS, EpochLine, JournalError, TrialLine
from search.space import SearchSpace, load

MANIFEST, SPACE, WARM_START = "manifest.json", "space.yaml", "prior.json"
"""Files of a run besides its journal."""


class RunError(UserError, ValueError):
    """A run folder that cannot be read; the text is ready to be shown to the user."""


def settings(run: str | Path) -> dict[str, TrialConfig]:
    """Return the settings that each trial ran with, by trial.

    Raises:
        RunError: as ``read``, or a trial's settings are not those of this version.
    """
    folder, known, _ = read(run)
    if any(_has_own_parts(line) for line in known.values()):
        space(folder)  # which declares them
    configs = {}
    for trial, line in known.items():
        try:
            configs[trial] = TrialConfig.from_dict(recorded(line.get("settings") or {}))
        except ConfigError as error:
            raise RunError(f"{folder / TRIALS}: trial {trial}: {error}") from None
    return configs


def _has_own_parts(line: TrialLine) -> bool:
    """Return whether a trial has a net or a loss that is not known: that of a plugin."""
    ran = line.get("settings") or {}
    return any(ran.get(name) not in (None, *SETTINGS[name].choices) for name in ("net", "loss"))


def manifest(run: str | Path) -> Manifest:
    """Return what the driver noted about the run: versions, data, machine, seed, command.

    Raises:
        RunError: not a run folder, or its manifest.json is missing or damaged.
    """
    path = _with_manifest(run) / MANIFEST
    try:
        return json_files.read_manifest(path)
    except MissingFileError:
        raise RunError(f"{path}: missing, so what ran here is not known") from None
    except FileError as error:
        raise RunError(str(error)) from None


def _with_manifest(run: str | Path) -> Path:
    """Return the run's folder, which may be one that no trial has started in yet."""
    return Path(run) if exists(Path(run) / MANIFEST) else folder_of(run)


def space(run: Path) -> SearchSpace:
    """Return the space that a run searches, or searched.

    Raises:
        SpaceError: its space.yaml is missing or cannot be read.
    """
    return load(run / SPACE, of_run=True)


def data_of(run: str | Path) -> tuple[str, str, str]:
    """Return where a run's data came from, the key of their content, and their format.

    Raises:
        RunError: as ``manifest``, or it does not tell.
    """
    folder = _with_manifest(run)
    try:
        return json_files.data_of(manifest(folder), folder / MANIFEST)
    except FileError as error:
        raise RunError(str(error)) from None


def has_journal(folder: Path) -> bool:
    """Return whether a folder holds a file of a run's journal."""
    return any(exists(folder / name) for name in (TRIALS, EPOCHS))


def folder_of(run: str | Path) -> Path:
    """Return the run's folder once it looks like one.

    Raises:
        RunError: it does not exist (with the nearest run beside it), or holds no run.
    """
    folder = Path(run)
    if not exists(folder):
        raise RunError(f"{folder}: no such run folder{nearby.did_you_mean(folder, _is_run)}")
    missing = [name for name in (SPACE, TRIALS) if not exists(folder / name)]
    if missing == [TRIALS] and journal.has_lines(folder / EPOCHS):
        return folder  # whoever reads the journal is told what is missing in it
    if missing == [TRIALS] and exists(folder / MANIFEST):
        raise RunError(f"{folder}: no trial has started yet")
    if missing:
        inside = _runs_in(folder)
        hint = f"; it holds the runs {', '.join(inside)}" if inside else ""
        raise RunError(f"{folder}: not a run folder, it has no {' and no '.join(missing)}{hint}")
    return folder


def require_trial(run: str | Path, trial: str, known: Iterable[str]) -> None:
    """Refuse a trial that a run does not have.

    Args:
        run: its folder, as the message names it.
        trial: the id that is asked for.
        known: ids of the run's trials.

    Raises:
        RunError: there is no such trial; the text has the nearest, or the first and the last.
    """
    names = sorted(known, key=lambda name: (len(name), name))
    if trial in names:
        return
    near = did_you_mean(trial, names)
    if trial.isdecimal():  # 0010 is not near to 0001, of whose digits it is made
        same = [name for name in names if name.lstrip("0") == trial.lstrip("0")]
        near = f"; did you mean {same[0]}?" if same else ""
    there = f"{len(names)} trials are {names[0]} to {names[-1]}"
    if len(names) == 1:
        there = f"only trial is {names[0]}"
    raise RunError(f"{run}: no trial {trial}{near or f'; its {there}'}")


def read(run: str | Path) -> tuple[Path, dict[str, TrialLine], dict[str, list[EpochLine]]]:
    """Return the folder, each trial's last known line, and its epochs' lines, both by trial.

    Raises:
        RunError: not a run folder, a damaged file, or no trial has started.
    """
    folder = folder_of(run)
    try:
        known, measured = journal.read(folder)
    except JournalError as error:
        raise RunError(str(error)) from None
    if not known:
        raise RunError(f"{folder}: no trial has started yet")
    return folder, known, measured


def _is_run(folder: Path) -> bool:
    return exists(folder / TRIALS)


def _runs_in(folder: Path) -> list[str]:
    if not is_dir(folder):
        return []
    return sorted(path.parent.name for path in folder.glob(f"*/{TRIALS}"))
