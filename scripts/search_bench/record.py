"""The recording of the table: configurations drawn from a space, trained one after the other.

A folder gets space.yaml, epochs.csv (a line per epoch) and trials.csv (a line per trial with its
settings). A trial is written when it is done, its line in trials.csv last: recording can be killed
at any time, and the same command goes on with the next trial.
"""

from __future__ import annotations

import csv
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from facesiam.config import TrialConfig, Value
from facesiam.config.metrics import FIELDS
from facesiam.data.dataset import FaceData, cache_root
from facesiam.data.preparation import prepare
from facesiam.data.synthetic import writer
from facesiam.files import read_text, write_text
from facesiam.nets.pretrained import find_weights
from facesiam.training.loop import Training
from search.space import SearchSpace, load

SPACE = Path(__file__).parent / "space.yaml"
PEOPLE = 200
"""Drawn people: so many that each fold has the 40 whom the space takes."""
EVERY = 5
"""Each so-manieth configuration is trained with a second seed as well."""
UNRECORDED = ("samples_per_second", "peak_memory_mib")
"""Metrics of the machine and of what else ran on it."""
COLUMNS = ["trial", *(name for name in FIELDS if name not in UNRECORDED)]


class Planned(NamedTuple):
    """A trial to record."""

    name: str
    settings: dict[str, Value]


def plan(space: SearchSpace, configurations: int) -> Iterator[Planned]:
    """Yield the trials in the order of recording: 0001, …; 0005-1 is 0005 with its second seed."""
    for number in range(1, configurations + 1):
        settings = space.sample(random.Random(f"{space.seed}/{number}"))
        yield Planned(f"{number:04d}", settings)
        if number % EVERY == 0:
            yield Planned(f"{number:04d}-1", settings | {"seed": int(settings["seed"]) + 1})


def record(out: Path, configurations: int, file: Path = SPACE) -> None:
    """Record what is not recorded yet, in one process and thread.

    Args:
        out: the folder.
        configurations: how many in all.
        file: the space.
    """
    torch.set_num_threads(1)
    space = load(file)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "space.yaml", read_text(file))
    done = completed(out)
    trials = [trial for trial in plan(space, configurations) if trial.name not in done]
    data, weights = prepared(space), weights_of(space)
    for number, trial in enumerate(trials, len(done) + 1):
        rows = trained(TrialConfig.from_dict(trial.settings), data, weights)
        _add(out / "epochs.csv", COLUMNS, [{"trial": trial.name, **row} for row in rows])
        settings = {"trial": trial.name, **trial.settings}
        _add(out / "trials.csv", list(settings), [settings])
        print(f"{number}/{len(done) + len(trials)} {_summary(trial, rows)}", flush=True)


def _summary(trial: Planned, rows: Sequence[Mapping[str, float]]) -> str:
    scores = " ".join(f"{row['val_acc']:.3f}" for row in rows)
    seconds = sum(row["seconds"] for row in rows)
    what = " ".join(str(trial.settings[name]) for name in ("net", "join", "optimizer", "lr"))
    return f"{trial.name} {what}, CPU {seconds:.0f} s: {scores}"


def trained(
    config: TrialConfig, data: FaceData, weights: dict[str, str]
) -> list[dict[str, float]]:
    """Return the epochs of a training; `seconds` are CPU seconds of this process.

    They do not depend on what else runs. A diverged training is recorded to its end.
    """
    training, rows = Training(config, data, weights, "cpu"), []
    while training.epoch < config.epochs:
        began = time.process_time()
        metrics = next(training).to_dict()
        metrics["seconds"] = time.process_time() - began
        rows.append({name: metrics[name] for name in COLUMNS[1:]})
    return rows


def completed(out: Path) -> set[str]:
    """Return the trials that are recorded; the epochs of one that is not whole are removed."""
    if not (out / "trials.csv").exists():
        (out / "epochs.csv").unlink(missing_ok=True)
        return set()
    text = read_text(out / "trials.csv")
    whole = text[: text.rindex("\n") + 1] if "\n" in text else ""
    names = {row["trial"] for row in csv.DictReader(whole.splitlines())}
    header, *lines = read_text(out / "epochs.csv").splitlines(keepends=True)
    kept = [line for line in lines if line.split(",")[0] in names]
    write_text(out / "trials.csv", whole)
    write_text(out / "epochs.csv", "".join([header, *kept]))
    return names


def _add(file: Path, columns: Sequence[str], rows: Sequence[dict[str, Value]]) -> None:
    """Append lines to a CSV, with its header where it is new."""
    new = not file.exists()
    with file.open("a", encoding="utf-8", newline="") as stream:
        out = csv.DictWriter(stream, columns, lineterminator="\n")
        if new:
            out.writeheader()
        for row in rows:
            out.writerow({name: _rounded(value) for name, value in row.items()})


def _rounded(value: Value) -> Value:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def prepared(space: SearchSpace) -> FaceData:
    """Return the drawn people, packed where they are not yet."""
    packing = TrialConfig.from_dict(space.sample(random.Random(0))).packing
    return prepare(str(drawn_people()), [packing], progress=False)


def drawn_people() -> Path:
    """Return the folder of the drawn people, drawn where they are not yet."""
    return writer.draw(cache_root() / writer.folder_name(PEOPLE), people=PEOPLE, progress=False)


def weights_of(space: SearchSpace) -> dict[str, str]:
    """Return the file of pretrained weights of each net that may begin from them."""
    searched = space.search.get("pretrained")
    nets = searched.when.get("net", space.nets()) if searched else ()
    return {str(net): str(find_weights(str(net), None)) for net in nets}
