"""Reuse of what was trained: resuming a run with an edited space, and trials of earlier runs.

A finished trial is identified by its key: a hash of its settings, the data, the trainer's code and
the pretrained weights that it starts from. Two trials with the same key are the same work.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from facesiam.errors import FileError, UserError
from facesiam.files import exists, own_folder
from search.runs import layout
from search.runs.journal import read_trials
from search.runs.remote import open_run
from search.space import SearchSpace, enqueue, metric_key
from search.space.combinations import base
from search.space.contradictions import unused
from search.space.prune import CERTAIN

if TYPE_CHECKING:
    from facesiam.device.arithmetic import ComputeHistory


class RunRefused(UserError, ValueError):
    """A run cannot start with these options; the text says why and what to do."""


class ReusableTrial(NamedTuple):
    """A finished trial of an earlier run."""

    run: Path
    trial: str
    rows: list[dict[str, Any]]
    """Its epochs, in order."""
    ran: ComputeHistory = ()
    """Device, threads and precision that it ran with, as far as they were recorded."""
    cost: Mapping[str, float] = {}
    """What its net costs in use, where that was measured."""

    @property
    def weights(self) -> Path:
        """Path of the weights of its best epoch, which may not have been kept."""
        return self.run / "weights" / f"{self.trial}.pt"

    def lacks(self, epoch: int | None) -> str | None:
        """Return why its weights are not those of an epoch; None where they are.

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
"""Folders of a run that searches and reports write to and remove files from."""


def refuse_links(run: Path) -> None:
    """Refuse to resume a run whose own folders are links.

    Raises:
        RunRefused: a folder is; the text names it.
    """
    for name in OWN:
        try:
            own_folder(run, name)
        except FileError as error:
            raise RunRefused(str(error)) from None


def as_begun(run: Path, space: SearchSpace) -> SearchSpace:
    """Return the space of a run that goes on, with what its file leaves open as the run began.

    These are its metric, which the balance of the pairs decides, and `packed_size`, which the
    largest `image_size` does: 224 of runs of before that setting was there. A run with larger
    images than it has packed is left to ``refuse_changes``. What it began with in `enqueue:` comes
    before what the file has there now, as far as the space still allows it. Of fewer trials than
    have begun, as many as have: an ended one is not taken back.
    """
    was = layout.space(run)
    kept = enqueue.fitting(space, was.enqueue)
    kept += tuple(given for given in space.enqueue if given not in kept)
    space = replace(space, enqueue=kept)
    if not space.metric_given:
        space = replace(
            space, metric=was.metric, costs=was.costs, mode=was.mode, metric_given=True
        )
    began = int(base(was.fixed)["packed_size"])
    if not space.packed_given and began >= int(space.fixed["packed_size"]):
        space = replace(space, fixed={**space.fixed, "packed_size": began})
    if space.trials < was.trials:
        space = replace(space, trials=max(space.trials, len(read_trials(run))))
    return space


def refuse_changes(run: Path, space: SearchSpace) -> None:
    """Refuse to resume a run with a space that its trials could not have come from.

    Additions are allowed: more trials, rows, choices, a wider range.

    Raises:
        RunRefused: the text says what changed, and how the run was started.
    """
    refuse_links(run)
    was = layout.space(run)
    changes = [
        f"{name} was {_plain(before)} and is {_plain(now)}"
        for (name, before), now in zip(_asked(was).items(), _asked(space).values(), strict=True)
        if before != now and not unused(space, name)
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
    """Return the finished trials of earlier runs, by key; of equal ones the first run's.

    Stopped trials are left out, as their stop depended on the rules and trials of their run.

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
                ran, cost = line.get("ran") or (), line.get("cost") or {}
                found.setdefault(key, ReusableTrial(run, trial, rows, ran, cost))
    return found


def _asked(space: SearchSpace) -> dict[str, object]:
    """Return what must stay as it was, by the key of the space file."""
    return {
        "algorithm": space.algorithm,
        "metric": metric_key.written(space.metric, space.costs),
        "mode": space.mode,
        "seed": space.seed,
    }


def _plain(option: object) -> str:
    if isinstance(option, str):
        return option
    return json.dumps(option) if option is not None else "not there"
