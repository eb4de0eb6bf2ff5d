"""The tests that search.retrain left: found in a run, in a folder of one, or by a scores file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facesiam import cli
from facesiam.evaluation.metrics import METRICS
from facesiam.evaluation.thresholds import ThresholdOrigin, recorded_threshold
from facesiam.files import exists, is_dir, read_object
from search.analysis.ranked_trials import choose
from search.runs.evaluation_files import read_test
from search.runs.layout import RunError
from search.runs.remote import open_run

ENSEMBLE = "ensemble-"
"""How the folder of an ensemble begins, before the number of its nets."""
SOUP = "soup"
"""The folder of the mean of the kept nets' weights."""


@dataclass(frozen=True)
class KeptTest:
    """A test with its scores, one of those that a user's words may mean."""

    name: str
    """What is tested, as the user called it."""
    scores: Path
    """The file of the scores; it may be missing."""
    protocol: str | None = None
    """None of a scores file, which is meant whatever it is of."""
    seed: int | None = None
    """None of an ensemble, and where the user named a scores file or the folder of a seed."""
    data: str | None = None
    """Key of the data; None: not known."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the trial, as far as they are known."""
    threshold: ThresholdOrigin | None = None
    """What decides that of the accuracy; None: not recorded."""

    @property
    def label(self) -> str:
        """The name, with the seed where that had to be chosen."""
        return self.name if self.seed is None else f"{self.name}, seed {self.seed}"

    def command(self, *more: str) -> str:
        """Return the search.retrain command of this trial or ensemble, with more options."""
        given = self.scores  # RUN/retrain/TRIAL/seed-S/scores.csv
        folder = given.parent if len(given.parts) > 4 else given.absolute().parent
        trial = folder.parent
        retrain = trial.parent
        return retrain_command(retrain.parent, trial.name, *more)


def retrain_command(run: str | Path, trial: str, *more: str) -> str:
    """Return the command that tests a trial, an ensemble or the soup of a run."""
    size = trial.removeprefix(ENSEMBLE)
    which = f"--trial {trial}" if size == trial else f"--ensemble {size}"
    which = "--soup" if trial == SOUP else which
    return " ".join([cli.program("search.retrain"), str(run), which, *more])


def scores_beside(test: Path) -> Path:
    """Return the scores file of a test.json or test-NAME.json."""
    return test.with_name(test.name.replace("test", "scores", 1)).with_suffix(".csv")


def find(given: str, trial: str | None, rank: int, option: str) -> list[KeptTest]:
    """Return the tests that a user's words may mean, those on a trial's own protocol first.

    Args:
        given: a run folder or its URL, the folder of a trial in a run's ``retrain``, the folder of
            one seed in that, or a scores file.
        trial: id of the trial or ensemble of a run; None: by its rank.
        rank: place in the run's table.
        option: that names the trial, for messages.

    Raises:
        RunError: nothing is there, or no test; says which command makes one.
        FileError: a test.json is damaged.
    """
    place, found = Path(given), []
    if "://" not in given and exists(place):
        found = _in_folder(place, given) if is_dir(place) else [_of_scores(place)]
    if not found:
        return _of_run(given, trial, rank, option)
    if trial is not None:
        raise RunError(f"{option} is of a run folder, and {given} is a test already")
    return found


def _of_scores(path: Path) -> KeptTest:
    """Return the test that a scores file is of, with what the figures beside it tell."""
    if path.suffix == ".json":
        raise RunError(f"{path}: holds figures, not scores; name {scores_beside(path)} instead")
    names = (path.name.replace("scores", "test", 1), "fold.json")
    beside = [path.with_name(name).with_suffix(".json") for name in names]
    figures = next((read_object(file) for file in beside if exists(file)), {})
    data, settings = figures.get("data"), figures.get("config")
    return KeptTest(
        str(path),
        path,
        data=data if isinstance(data, str) else None,
        settings=settings if isinstance(settings, dict) else {},
        threshold=recorded_threshold(figures),
    )


def _in_folder(folder: Path, name: str) -> list[KeptTest]:
    """Return the tests in the folder of a seed, or in that of a trial or ensemble."""
    found = [_of_figures(path, name, False) for path in folder.glob("test*.json")]
    seeds = not folder.name.startswith(ENSEMBLE) and folder.name != SOUP
    found += [_of_figures(path, name, seeds) for path in folder.glob("seed-*/test*.json")]
    own = "scores.csv"
    return sorted(found, key=lambda test: (test.scores.name != own, test.protocol, test.seed or 0))


def _of_figures(path: Path, name: str, with_seed: bool) -> KeptTest:
    test = read_test(path, tuple(METRICS))
    return KeptTest(
        name,
        scores_beside(path),
        str(test.get("protocol") or test["config"].get("protocol", "–")),
        int(test["seed"]) if with_seed else None,
        test.get("data"),
        test["config"],
        recorded_threshold(test),
    )


def _of_run(given: str, trial: str | None, rank: int, option: str) -> list[KeptTest]:
    run = open_run(given)
    if trial is None or not (trial.startswith(ENSEMBLE) or trial == SOUP):
        trial = choose(run, trial, rank)
    if found := _in_folder(run / "retrain" / trial, f"{given}, {trial}"):
        return found
    trials = run.glob("retrain/*")
    names = sorted(
        folder.name for folder in trials if next(folder.glob("seed-*/test*.json"), None)
    )
    others = f"; tested are {', '.join(names)} ({option})" if names else ""
    command = retrain_command(given, trial)
    raise RunError(f"{given}: {trial} has not been tested; `{command}` tests it{others}")
