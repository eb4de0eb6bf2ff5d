"""Tables of learning curves: ``epochs.parquet`` or ``epochs.csv``, and ``trials.csv``.

``epochs`` has a row per trial and epoch: `trial`, `epoch`, any metrics, and `seconds` where they
are known. ``trials.csv``, which may be missing, has a row per trial: `trial` and its settings.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from facesiam.config import SETTINGS, Value
from facesiam.config.metrics import SHARES
from facesiam.config.settings import did_you_mean
from facesiam.errors import FileError
from facesiam.files import exists, is_file, read_bytes, read_text
from search.runs.layout import RunError, has_journal

EPOCHS, TRIALS = ("epochs.parquet", "epochs.csv"), "trials.csv"
KEYS = ("trial", "epoch")
DIVERGED = "train_loss"
"""What the rule `diverged` reads: NaN in an epoch without any number."""
READ_BY_RULES = ("schedule", "warmup", "protocol")
"""Settings whose values the rules look up, so that an unknown one is refused."""


class TableCurve(NamedTuple):
    """One trial of a table."""

    id: str
    settings: dict[str, Value]
    rows: tuple[dict[str, float], ...]
    """By epoch, numbered from 0, its metrics and `seconds`."""
    timed: bool
    """Whether the seconds of all its epochs were recorded; otherwise an epoch counts 1."""


class Cell(NamedTuple):
    """An epoch of a trial, and where it stands."""

    place: str
    """Such as ``line 3`` of a CSV, ``row 2`` of a Parquet file."""
    epoch: int
    metrics: dict[str, float]
    timed: bool


def is_table(path: Path) -> bool:
    """Say whether a folder holds a table of curves, and is not that of a run.

    A run leaves its epochs as tables too, but its journal knows more and is never behind.
    """
    return any(exists(path / name) for name in EPOCHS) and not has_journal(path)


def metrics(path: Path) -> list[str]:
    """Return the columns of a table that are metrics.

    Raises:
        RunError: as ``read``.
    """
    file = _epochs_file(path)
    columns = _parquet(file)[0] if file.suffix == ".parquet" else _csv(file, KEYS)[0]
    return [name for name in columns if name not in (*KEYS, "seconds")]


def read(path: Path, first: int = 0) -> list[TableCurve]:
    """Read a table of curves.

    An epoch without any number is that of a trial that has diverged: its metrics are NaN.

    Args:
        path: the folder.
        first: number of the first epoch that was trained; those before it are left out.

    Raises:
        RunError: a missing column, a cell that is not a number, a share such as ``val_acc`` that
            is not from 0 to 1, an epoch that is there twice or missing, or a trial of
            ``trials.csv`` without epochs or the reverse.
    """
    file = _epochs_file(path)
    cells = _cells(file)
    if not cells:
        raise RunError(f"{file}: no epoch is recorded in it")
    settings = _settings(path / TRIALS)
    for trial, (line, _) in settings.items():
        if trial not in cells:
            raise RunError(
                f"{path / TRIALS}: line {line}, trial {trial} has no epoch in {file.name}"
            )
    curves = []
    for trial, epochs in cells.items():
        if settings and trial not in settings:
            raise RunError(
                f"{file}: {epochs[0].place}, trial {trial} is not in {TRIALS}"
                f"{did_you_mean(trial, settings)}"
            )
        rows = _rows(file, trial, epochs, first)
        about = settings[trial][1] if settings else {}
        timed = all(cell.timed for cell in epochs if cell.epoch >= first)
        curves.append(TableCurve(trial, about | {"epochs": len(rows)}, rows, timed))
    return curves


def lines(file: Path, needed: str) -> list[tuple[int, dict[str, Any]]]:
    """Read a CSV with a header, each row with its line; a missing file is empty.

    Raises:
        RunError: it lacks the column ``needed``, or is not text.
    """
    return _csv(file, (needed,))[1] if exists(file) else []


def no_share(name: str, value: float) -> str:
    """Say why a metric, such as an accuracy in percent, cannot have a value; "" where it can."""
    if name not in SHARES or 0 <= value <= 1:
        return ""
    percent = "; if that is in percent, divide the column by 100" * (1 < value <= 100)
    return f"{name} must be a share from 0 to 1, got {value:g}{percent}"


def _epochs_file(path: Path) -> Path:
    found = [path / name for name in EPOCHS if is_file(path / name)]
    if not found:
        raise RunError(f"{path}: holds neither {' nor '.join(EPOCHS)}")
    if len(found) > 1:
        raise RunError(
            f"{path}: holds both {' and '.join(EPOCHS)}, and no journal of a run; leave only the "
            "one that counts there"
        )
    return found[0]


def _cells(file: Path) -> dict[str, list[Cell]]:
    """Return the epochs of each trial as they stand in the file, trials in its order."""
    by_trial: dict[str, list[Cell]] = {}
    for place, row in _numbered(file):
        trial, epoch = row.pop("trial"), row.pop("epoch")
        if trial in (None, ""):
            raise RunError(f"{file}: {place}, trial is empty")
        number = _number(file, place, "epoch", epoch)
        if not (number >= 0 and number.is_integer()):
            raise RunError(f"{file}: {place}, epoch must be a whole number, got {epoch}")
        known = {
            name: _number(file, place, name, value)
            for name, value in row.items()
            if value not in (None, "")
        }
        for name, value in known.items():
            if not math.isnan(value) and (wrong := no_share(name, value)):
                raise RunError(f"{file}: {place}, {wrong}")
        timed = "seconds" in known
        if not 0 < known.setdefault("seconds", 1.0) < math.inf:
            raise RunError(f"{file}: {place}, seconds must be above 0, got {known['seconds']:g}")
        if all(math.isnan(value) for name, value in known.items() if name != "seconds"):
            others = (name for name in row if name != "seconds")
            known |= dict.fromkeys((DIVERGED, *others), math.nan)
        by_trial.setdefault(str(trial), []).append(Cell(place, int(number), known, timed))
    return by_trial


def _number(file: Path, place: str, name: str | None, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        # Cells without a column come under None, as a list.
        what = f"{name} is not a number: {value!r}" if name else "has more cells than columns"
        raise RunError(f"{file}: {place}, {what}") from None


def _rows(
    file: Path, trial: str, cells: Sequence[Cell], first: int
) -> tuple[dict[str, float], ...]:
    """Return a trial's epochs from the first trained one on, numbered from 0."""
    rows: list[dict[str, float]] = []
    before: Cell | None = None
    for cell in sorted(cells, key=lambda cell: cell.epoch):
        if before and before.epoch == cell.epoch:
            raise RunError(
                f"{file}: {cell.place}, trial {trial} has epoch {cell.epoch} twice; the other is "
                f"{before.place}"
            )
        before = cell
        if cell.epoch < first:
            continue
        expected = first + len(rows)
        if cell.epoch != expected:
            hint = "" if rows else f"; --first {cell.epoch} if that is the first trained one"
            raise RunError(
                f"{file}: {cell.place}, trial {trial} has epoch {cell.epoch} where epoch "
                f"{expected} should be{hint}"
            )
        rows.append(cell.metrics | {"epoch": float(len(rows))})
    if not rows:
        raise RunError(f"{file}: {cells[-1].place}, trial {trial} has no epoch from {first} on")
    return tuple(rows)


def _numbered(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of the epochs' file, each with its place."""
    if file.suffix == ".csv":
        yield from ((f"line {number}", row) for number, row in _csv(file, KEYS)[1])
        return
    columns, batches = _parquet(file)
    number = 0
    for batch in batches:
        values = [batch.column(name).to_pylist() for name in columns]
        for cells in zip(*values, strict=True):
            yield f"row {number}", dict(zip(columns, cells, strict=True))
            number += 1


def _parquet(file: Path) -> tuple[list[str], Iterable[Any]]:
    """Return the columns of a Parquet file and its record batches."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(pa.BufferReader(read_bytes(file)))
    except (FileError, pa.ArrowException) as error:
        raise RunError(f"{file}: not a Parquet file ({error})") from None
    _has(file, table.column_names, KEYS)
    return table.column_names, table.to_batches()


def _csv(file: Path, needed: Iterable[str]) -> tuple[list[str], list[tuple[int, dict[str, Any]]]]:
    """Return the columns of a CSV and its rows, each with its line."""
    try:
        with io.StringIO(read_text(file), newline="") as text:
            reader = csv.DictReader(text)
            columns = list(reader.fieldnames or ())
            _has(file, columns, needed)
            return columns, [(reader.line_num, row) for row in reader]
    except (FileError, csv.Error) as error:
        raise RunError(f"{file}: not a CSV ({error})") from None


def _has(file: Path, columns: Sequence[str], needed: Iterable[str]) -> None:
    for name in needed:
        if name not in columns:
            raise RunError(f"{file}: has no column {name}{did_you_mean(name, columns)}")


def _settings(file: Path) -> dict[str, tuple[int, dict[str, Value]]]:
    """Return the settings of each trial in ``trials.csv``, with its line."""
    found: dict[str, tuple[int, dict[str, Value]]] = {}
    for line, row in lines(file, "trial"):
        trial = row.pop("trial")
        if not trial:
            raise RunError(f"{file}: line {line}, trial is empty")
        if trial in found:
            raise RunError(f"{file}: line {line}, trial {trial} is on line {found[trial][0]} too")
        found[trial] = line, _parsed(f"{file}: line {line}", row)
    return found


def _parsed(where: str, row: Mapping[str, Any]) -> dict[str, Value]:
    """Return settings: the search's own read as such, others as numbers where they are that."""
    settings: dict[str, Value] = {}
    for name, text in row.items():
        if name is None or text is None:
            raise RunError(f"{where} has more or fewer cells than columns")
        if not text or name == "epochs":  # those that were recorded count
            continue
        try:
            settings[name] = SETTINGS[name].parse(text) if name in SETTINGS else _free(text)
        except ValueError as error:
            raise RunError(f"{where}, {name} {error}") from None
        if name in READ_BY_RULES and (wrong := SETTINGS[name].problem(settings[name])):
            raise RunError(f"{where}, {name} {wrong}")
    return settings


def _free(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        return text
