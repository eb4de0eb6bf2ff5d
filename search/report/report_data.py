"""The data of a report: its runs, and the trial that repeats each row of the 2019 study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from facesiam.config import TrialConfig
from facesiam.evaluation.metrics import METRICS
from facesiam.evaluation.thresholds import AtFar, ThresholdOrigin, recorded_threshold
from search.analysis import raced_run
from search.analysis.kept_tests import ENSEMBLE, SOUP, scores_beside
from search.analysis.overfitting import at_chance
from search.analysis.race_result import RaceResult
from search.analysis.ranked_trials import load, require_results
from search.runs import layout
from search.runs.evaluation_files import read_test
from search.runs.json_files import Manifest
from search.runs.remote import open_run
from search.space import SearchSpace
from search.space.domains import active
from search.space.effect import has_effect


@dataclass(frozen=True)
class Evaluation:
    """What search.retrain measured of a trial or an ensemble on a protocol's test pairs."""

    protocol: str
    seed: int
    epoch: int | None
    """None of an ensemble."""
    measures: Mapping[str, Mapping[str, float]]
    """METRICS by name, each with value, low and high; older runs lack some."""
    pairs: int
    """Test pairs, each counted once."""
    own: bool
    """Whether the protocol is that of the trial's training."""
    scores: Path
    """The file of the scores."""
    work: Mapping[str, Any]
    """Settings but for the seed, and code: evaluations of equal ones differ in their seed only."""
    ties: int = 0
    """Pairs with the score of a pair of the other kind."""
    same: float | None = None
    """Share of the pairs that are of one person; None: not recorded, by older versions."""
    at_far: Sequence[AtFar] = ()
    """Its rates at thresholds for false accepts."""
    threshold: ThresholdOrigin | None = None
    """What decides that of the accuracy; None: not recorded, by older versions."""
    members: Sequence[str] = ()
    """Trials of an ensemble."""


@dataclass(frozen=True)
class Run:
    """A run folder, read."""

    folder: Path
    searched: SearchSpace
    manifest: Manifest
    trials: pd.DataFrame
    epochs: pd.DataFrame
    configs: dict[str, TrialConfig]
    tests: dict[str, list[Evaluation]]
    """By trial or ensemble."""
    race: RaceResult | None = None
    """What a race of its best trials has come to."""

    @cached_property
    def _curves(self) -> dict[str, pd.DataFrame]:
        return {str(trial): epochs for trial, epochs in self.epochs.groupby("trial", sort=False)}

    def curve(self, trial: str) -> pd.DataFrame:
        """Return the epochs of one trial, in order."""
        return self._curves.get(trial, self.epochs.head(0))


@dataclass(frozen=True)
class RunTrial:
    """A trial with the run that it is of."""

    run: Run
    trial: pd.Series
    """Its row of the ranked trials."""

    @property
    def name(self) -> str:
        """The trial's id."""
        return str(self.trial["trial"])

    @property
    def has_epochs(self) -> bool:
        """Whether it finished one."""
        return bool(self.trial["epochs_run"] > 0)


def read(run: str | Path) -> Run:
    """Return everything that the report needs from a run.

    Args:
        run: its folder, or its URL.

    Raises:
        RunError, SpaceError: as ``ranked_trials.load``, or there is nothing to report yet.
    """
    path = open_run(run)
    trials, epochs = load(path)
    require_results(path, trials)
    searched = layout.space(path)
    noted, configs = layout.manifest(path), layout.settings(path)
    several = [*path.glob(f"retrain/{ENSEMBLE}*"), *path.glob(f"retrain/{SOUP}")]
    names = [*trials["trial"], *sorted(found.name for found in several)]
    tests = {name: _read_tests(path / "retrain" / name) for name in names}
    race = raced_run.of_run(path, run, str(trials["trial"].iloc[0]))
    return Run(path, searched, noted, trials, epochs, configs, tests, race)


def row_trials(runs: Sequence[Run]) -> dict[str, RunTrial]:
    """Return the trial of each row: of the first run that has one, with an epoch if any does."""
    ran: dict[str, RunTrial] = {}
    for run in runs:
        named = run.trials.dropna(subset="row") if "row" in run.trials else run.trials.head(0)
        for _, trial in named.iterrows():
            name, new = str(trial["row"]), RunTrial(run, trial)
            if name not in ran or not ran[name].has_epochs:
                ran[name] = new
    return ran


def settings_frame(run: Run) -> pd.DataFrame:
    """Return the trials with every setting as a column, and whether each stayed at chance."""
    settings = {trial: config.to_dict() for trial, config in run.configs.items()}
    frame = pd.DataFrame([settings[trial] for trial in run.trials["trial"]])
    kept = run.trials[[name for name in run.trials if name not in frame]]
    frame = pd.concat([kept.reset_index(drop=True), frame], axis=1)
    frame["data"] = (run.manifest.get("data") or {}).get("key", "")
    frame["chance"] = [at_chance(list(run.curve(trial)["val_acc"])) for trial in frame["trial"]]
    return frame


def active_settings(run: Run) -> pd.DataFrame:
    """Return where each searched setting has a meaning, of those that have not always one.

    It has none where its condition is not met, or where the trainer does not read it: columns by
    setting, rows in the trials' order.
    """
    of = [run.configs[trial].to_dict() for trial in run.trials["trial"]]
    shown = {
        name: [active(part, one) and has_effect(name, one) for one in of]
        for name, part in run.searched.search.items()
    }
    shown = {
        name: one for name, one in shown.items() if run.searched.search[name].when or not all(one)
    }
    return pd.DataFrame(shown, index=range(len(of)))


def log_settings(runs: Sequence[Run]) -> set[str]:
    """Return the settings that act on a logarithmic scale: lr, and ranges that say so."""
    ranges = {
        name
        for run in runs
        for name, part in run.searched.search.items()
        if getattr(part, "log", False)
    }
    return ranges | {"lr"}


def _read_tests(folder: Path) -> list[Evaluation]:
    tests = [_read_test(path) for path in sorted(folder.glob("seed-*/test*.json"))]
    return sorted(tests, key=lambda test: (test.protocol, test.seed))


def _read_test(path: Path) -> Evaluation:
    test = read_test(path, tuple(METRICS))
    return Evaluation(
        protocol=str(test.get("protocol") or test["config"].get("protocol", "–")),
        seed=int(test["seed"]),
        epoch=test["epoch"],
        measures={name: test[name] for name in METRICS if name in test},
        pairs=test["accuracy"]["n"],
        own=path.name == "test.json",
        scores=scores_beside(path),
        work={
            "config": {**test["config"], "seed": None},
            "trainer": test.get("trainer"),
            "tester": test.get("tester"),
        },
        ties=test.get("ties", 0),
        same=test.get("same"),
        at_far=test.get("at_far", ()),
        threshold=recorded_threshold(test),
        members=test.get("members", ()),
    )
