"""The trackers that a user asks for, and whether their packages are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from search.runs import layout
from search.tracking.callback import recorded_trials
from search.tracking.tracker import Tracker, TrackerError

PIP = {"mlflow": "mlflow-skinny", "wandb": "wandb"}
"""What installs each."""


def trackers(
    names: Iterable[str], told: Mapping[str, Mapping[str, str]], study: str | None
) -> list[Tracker]:
    """Return the trackers of a run.

    Args:
        names: those of ``--log``.
        told: those of ``log:`` of the space file, and what it says of each.
        study: URL of the database for Optuna's study; None: none is kept.

    Raises:
        TrackerError: the package of one is not installed, or the database cannot be opened.
    """
    found = [_named(name, told.get(name, {})) for name in dict.fromkeys([*told, *names])]
    if study:
        from search.tracking.optuna_study import OptunaStudy

        found.append(OptunaStudy(study))
    return found


def copy(run: Path, tracker: Tracker) -> str:
    """Bring all that a tracker lacks of a run, and return a sentence on what it has now.

    Args:
        run: folder of the run.
        tracker: a new one.

    Raises:
        UserError: the run cannot be read, or the tracker fails.
    """
    known, space = recorded_trials(layout.read(run)[0]), layout.space(run)
    over = False
    with suppress(layout.RunError):  # without a manifest nobody knows whether it goes on
        over = bool(layout.manifest(run).get("finished"))
    try:
        tracker.on_search_start(run.absolute(), space, known)
        if over:
            tracker.on_search_end(None)
    except BaseException:
        with suppress(Exception):  # the first failure is the one to tell of
            tracker.leave()
        raise
    tracker.let_go()
    return tracker.summary()


def _named(name: str, told: Mapping[str, str]) -> Tracker:
    """Return a tracker by its name."""
    spec = find_spec(name)
    if not spec or not spec.origin:  # a folder such as ./wandb, where W&B keeps its files, is none
        raise TrackerError(f"--log {name}: its package is missing; pip install {PIP[name]}")
    try:
        if name == "mlflow":
            from search.tracking.mlflow_runs import MlflowRuns

            return MlflowRuns(**told)
        from search.tracking.wandb_runs import WandbRuns

        return WandbRuns(**told)
    except ImportError as error:
        raise TrackerError(f"--log {name}: its package cannot be imported: {error}") from error
