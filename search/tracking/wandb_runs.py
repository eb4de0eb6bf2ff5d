"""A run in Weights & Biases: a run of W&B's for each trial, in a group of the search's name."""

from __future__ import annotations

import json
import math
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import wandb

from facesiam.errors import FileError, first_line
from facesiam.files import exists, write_text
from search.runs.lock import locked
from search.tracking.callback import TrialRecord
from search.tracking.tracker import EXPORT, Tracker, TrackerError, identity

NOTES = "wandb.json"
"""File of a run that says what W&B has of it: offline there is nobody to ask."""
FILES = "wandb"
"""Folder of a run with W&B's files."""
SILENT: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "x_disable_stats": True,  # of the driver's machine, not of the worker's
    "init_timeout": 20,
}


class WandbRuns(Tracker):
    """Keeps the runs of a project up to date.

    Args:
        project: its name; empty: as WANDB_PROJECT says, or siamsearch.
        entity: user or team; empty: as WANDB_ENTITY says, or the login's default.
        mode: online or offline; empty: as WANDB_MODE says.

    Raises:
        TrackerError: W&B would ask for a key.
    """

    title, option = "W&B", "--log wandb"

    def __init__(self, project: str = "", entity: str = "", mode: str = "") -> None:
        super().__init__()
        self.project = project or os.environ.get("WANDB_PROJECT") or "siamsearch"
        self.entity, self.mode = entity or None, mode or os.environ.get("WANDB_MODE") or "online"
        if self.mode == "online" and not _logged_in():
            raise TrackerError(
                "--log wandb: not logged in; run wandb login, or set WANDB_API_KEY, or keep the "
                "files here with WANDB_MODE=offline"
            )
        self.noted: dict[str, dict[str, Any]] = {}
        """What W&B has of a trial: how many epochs, and its status."""
        self.live: dict[str, Any] = {}
        """W&B's runs of trials that run."""
        self.alone = ExitStack()
        """Holds the lock of W&B's folder."""

    def open(self) -> None:
        """Read what W&B has, which nobody else changes from now on.

        Two copies at once, as of a search and of search.results, would send epochs twice, and the
        notes of one would be lost.
        """
        with ExitStack() as alone:
            alone.enter_context(locked(self.run / FILES))
            if exists(self.run / NOTES):
                try:
                    self.noted = json.loads((self.run / NOTES).read_text())
                except ValueError as error:
                    raise FileError(f"{self.run / NOTES}: {error}; remove it") from None
            self.key = identity(self.run)
            self.alone = alone.pop_all()

    def update(self, trial: str, record: TrialRecord) -> None:
        """Bring what W&B lacks of a trial."""
        noted = {"epochs": len(record.epochs), "status": record.status}
        known = self.noted.get(trial, {"epochs": 0})
        if known == noted:
            return
        run = self.live.get(trial) or self._begin(trial, record)
        if record.cost and not known["epochs"]:
            run.config.update(dict(record.cost), allow_val_change=True)
        for epoch, row in list(record.epochs.items())[int(known["epochs"]) :]:
            run.log({"epoch": epoch, **_numbers(row)}, step=int(epoch))
        run.summary.update({"status": record.status, "reason": record.reason or ""})
        if best := self.best_epoch(record):
            name = self.space.metric
            run.summary.update({f"best_{name}": best[name], "best_epoch": best["epoch"]})
        if record.status != "running":
            self.live.pop(trial)
            run.finish(exit_code=int(record.status == "failed"))
        self.noted[trial] = noted
        self._write_notes()  # also of one that runs: whoever goes on must not send it again

    def leave(self) -> None:
        """End W&B's runs of trials that run: the next copy goes on with them."""
        with self.alone:
            self._end_live(exit_code=0)

    def finish(self, stop: str | None) -> None:
        """End what is still open, and note what W&B has."""
        with self.alone:
            self._end_live(exit_code=1)
            self._bring_export()
            self._write_notes()

    def summary(self) -> str:
        """Return where the runs are."""
        where = f"project {self.project} of W&B has {self.many} of this run"
        if self.mode == "offline":
            folder = Path(os.environ.get("WANDB_DIR") or self.run) / FILES
            where += (
                f", in files; upload them with\n  wandb sync {folder}/offline-run-*-{self.key}-*"
            )
        return where

    def _end_live(self, exit_code: int) -> None:
        for run in self.live.values():
            run.finish(exit_code=exit_code)
        self.live.clear()

    def _write_notes(self) -> None:
        write_text(self.run / NOTES, json.dumps(self.noted, indent=1) + "\n")

    def _bring_export(self) -> None:
        """Bring the exported net, where there is one that W&B has not."""
        folder = self.run / EXPORT
        if not folder.is_dir():
            return
        noted = {"files": sorted([f.name, f.stat().st_mtime_ns] for f in folder.iterdir())}
        if self.noted.get(EXPORT) == noted:
            return
        run = self._init(EXPORT, "export", {})
        artifact = wandb.Artifact(f"{self.run.name}-{EXPORT}", type="model")
        artifact.add_dir(str(folder))
        run.log_artifact(artifact)
        run.finish()
        self.noted[EXPORT] = noted

    def _begin(self, trial: str, record: TrialRecord) -> Any:
        """Make W&B's run of a trial, or go on with it."""
        self.live[trial] = self._init(trial, "trial", dict(record.settings))
        return self.live[trial]

    def _init(self, name: str, kind: str, config: dict[str, Any]) -> Any:
        return wandb.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,  # type: ignore[arg-type]
            id=f"{self.key}-{name}",
            name=f"{self.run.name} {name}",
            group=self.run.name,
            job_type=kind,
            config=config,
            dir=os.environ.get("WANDB_DIR") or str(self.run),
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(**SILENT),
        )


def _logged_in() -> bool:
    """Say whether W&B has a key.

    Raises:
        TrackerError: W&B refuses the key, or cannot be asked.
    """
    try:
        return wandb.run is not None or wandb.login(prompt=False)
    except Exception as error:  # of W&B, or of the network
        offline = "WANDB_MODE=offline keeps the files here"
        raise TrackerError(f"--log wandb: {first_line(error)}; {offline}") from error


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    """Return what an epoch measured, without what is no number."""
    return {
        name: value
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    }
