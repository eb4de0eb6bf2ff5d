"""What was trained before: may a run go on with an edited space, and whose trials can be taken.

A finished trial is known by its key: a hash of its settings, the data, the trainer's code and,
where it starts from pretrained weights, those. Two trials with the same key are the same work.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from facesiam.errors import FileError, UserError
from facesiam.files import exists, own_folder
from search.runs import layout
from search.runs.journal import read_trials
from search.runs.remote import open_run
from search.space import SearchSpace, load
from search.space.contradictions import unused
from search.space.prune import CERTAIN

if TYPE_CHECKING:
    from facesiam.device.arithmetic import ComputeHistory


class RunRefused(UserError, ValueError):
    """A run that cannot start as it was asked for; the text says why and what to do."""


class ReusableTrial(NamedTuple):
    """A finished trial of an earlier run."""

    run: Path
    trial: str
    rows: list[dict[str, Any]]
    """Its epochs, in order."""
    ran: ComputeHistory = ()
    """What it ran with, as far as that was noted."""

    @property
    def weights(self) -> Path:
        """Where the weights are of the epoch that was best for its search, if they were kept."""
        return self.run / "weights" / f"{self.trial}.pt"

    def lacks(self, epoch: int | None) -> str | None:
        """Say why it has no weights of an epoch, None where it has.

        Its own search may have had another metric, and so another best epoch.
        """
        from facesiam.errors import WeightsError
        from facesiam.nets.checkpoint import epoch_of  # torch takes seconds to import

        if epoch is None:
            return "no epoch has a score"
        try:
            if not exists(self.weights):
                return "that run kept none of it"
            kept = epoch_of(self.weights)
        except (WeightsError, FileError) as error:
            return str(error)
        return None if kept == epoch else f"that run kept epoch {kept}, and here {epoch} is best"


OWN = ("weights", "state", "logs", "ray", "tensorboard", "report")
"""Folders of a run that a search or a report writes to, and removes files from."""


def refuse_links(run: Path) -> None:
    """Refuse to go on with a run whose own folders are links.

    Raises:
        RunRefused: names the first.
    """
    for name in OWN:
        try:
            own_folder(run, name)
        except FileError as error:
            raise RunRefused(str(error)) from None


def refuse_changes(run: Path, space: SearchSpace) -> None:
    """Refuse to go on with a space in which what has run would not have its place.

    Additions are welcome: more trials, rows, choices, a wider range.

    Raises:
        RunRefused: says what changed, and how the run was started.
    """
    refuse_links(run)
    was = load(run / "space.yaml", of_run=True)
    changes = [
        f"{name} was {getattr(was, name)} and is {getattr(space, name)}"
        for name in ("algorithm", "metric", "mode", "seed")
        if getattr(was, name) != getattr(space, name) and not unused(space, name)
    ]
    changes += [
        f"prune.{name} was {_plain(was.prune.get(name))} and is {_plain(space.prune.get(name))}"
        for name in {**was.prune, **space.prune}
        if was.prune.get(name) != space.prune.get(name)
        if space.algorithm != "rows" or name in (*CERTAIN, "control")
    ]
    asha = space.prune.get("asha")
    if asha and asha["compare"] == "share" and was.max_epochs() != space.max_epochs():
        changes.append(
            f"prune.asha compares at the same share of {was.max_epochs()} epochs, and the most "
            f"are {space.max_epochs()} now"
        )
    ran = layout.settings(run) if (trials := read_trials(run)) else {}
    for name, known in trials.items():
        if why := space.excludes(ran[name].to_dict(), known.get("row")):
            changes.append(f"trial {name} has run with {why}")
    if changes:
        began = layout.manifest(run).get("command", "not known")
        more = [f"and {len(changes) - 5} more"] if len(changes) > 5 else []
        said = "\n  ".join([*changes[:5], *more])
        raise RunRefused(
            f"--resume: what has run in {run} does not belong to this space:\n  {said}\n"
            f"It was started as\n  {began}\nGive another --name, with --reuse {run} for the "
            "trials that are the same"
        )


def reusable_trials(runs: Iterable[str]) -> dict[str, ReusableTrial]:
    """Return the finished trials of earlier runs, by key: the first run that has one lends it.

    Those that ran to their end: what was stopped was held against rules and trials of its run.

    Raises:
        RunError: no such run, or it cannot be read.
    """
    found: dict[str, ReusableTrial] = {}
    for name in runs:
        run, known, epochs = layout.read(open_run(name))
        for trial, line in known.items():
            rows = epochs.get(trial, [])
            planned = line.get("settings", {}).get("epochs")
            whole = line["status"] == "done" and len(rows) == planned
            if whole and (key := line.get("key")):
                found.setdefault(key, ReusableTrial(run, trial, rows, line.get("ran") or ()))
    return found


def _plain(option: object) -> str:
    return json.dumps(option) if option is not None else "not there"
