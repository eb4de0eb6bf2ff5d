"""Trial: one trial of a run, as Python has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from facesiam.config import TrialConfig, Value
from facesiam.config.costs import COSTS
from search.api.wording import OptionError
from search.runs import layout

FIGURES = ("val_acc", "val_acc_low", "val_acc_high", "train_acc", "best_epoch", "epochs_run")
"""Columns of the ranked trials that are among a trial's figures."""


@dataclass(frozen=True)
class Trial:
    """One trial of a run, as far as it has run."""

    name: str
    """Its id, such as ``"0003"``."""
    rank: int | None
    """From 1; None: no epoch has ended."""
    status: str
    """running, done, stopped, failed or interrupted."""
    reason: str | None
    """Why it was stopped, or failed."""
    settings: Mapping[str, Value] = field(repr=False)
    """All of them, by name."""
    figures: Mapping[str, float]
    """Of its best epoch, by column of ``Run.trials``: shares and intervals in [0, 1], epochs from
    0; of all its epochs ``epochs_run`` and ``seconds``; of its net the costs."""

    @property
    def config(self) -> TrialConfig:
        """Its settings as the trainer takes them."""
        return TrialConfig.from_dict(dict(self.settings))


def trial_id(trial: object) -> str:
    """Return the id of a trial that is given as itself or by its id.

    Raises:
        OptionError: it is neither.
    """
    if isinstance(trial, Trial):
        return trial.name
    if isinstance(trial, str):
        return trial
    near = f"; did you mean {f'{trial:04}'!r}?" if type(trial) is int and trial > 0 else ""
    what = type(trial).__name__
    raise OptionError(f"trial: takes a Trial or an id such as '0005', not {what}{near}")


def read_trial(run: Path, name: str | None) -> Trial:
    """Return a trial of a run; None: the one that ranks first.

    Raises:
        RunError: there is none.
    """
    from search.analysis import ranked_trials

    wanted = ranked_trials.choose(run, name, 1)
    trials, _ = ranked_trials.load(run)
    row = trials[trials["trial"] == wanted].iloc[0].dropna()
    metric = ranked_trials.objective(run).metric
    named = [*FIGURES, "seconds", *COSTS, *([metric] if metric not in FIGURES else [])]
    return Trial(
        name=wanted,
        rank=int(row["rank"]) if "rank" in row else None,
        status=str(row["status"]),
        reason=str(row["stop_reason"]) if "stop_reason" in row else None,
        settings=layout.settings(run)[wanted].to_dict(),
        figures={each: row[each].item() for each in named if each in row},
    )
