"""A run cut off after any line of its journal, and the state that a session comes to from it."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

from builders import write_lines

from search.runs.journal import read_lines
from search.runs.line_format import EPOCHS, TRIALS
from search.tuning.optuna_sampler import OptunaSampler
from search.tuning.recorder import Recorder
from search.tuning.tpe import Tpe


def state(recorder: Recorder) -> dict[str, Any]:
    """All that the decisions to come depend on."""
    scheduler, chooser = recorder.state.scheduler, recorder.state.sampler.chooser
    assert isinstance(chooser, Tpe | OptunaSampler)
    asha, halving = scheduler.asha, scheduler.halving
    going = {name: len(h.rows) for name, h in scheduler.histories.items()}
    return copy.deepcopy(
        {
            "rungs": [(age, list(scores.items())) for age, scores in asha.rungs] if asha else [],
            "waiting": asha.provisional if asha else (),
            "places": halving._places if halving else {},
            "came": halving._came if halving else {},
            # A control that was spared at its rung still is there until it goes on.
            "at rungs": {*halving._waiting} - {*scheduler.controls} if halving else {},
            "paused": sorted(scheduler.paused),
            "leaders": scheduler._leaders,
            "spared": scheduler.controls,
            "decided": scheduler._decided,
            "going": going,
            "best": recorder.state.best,
            "handed out": recorder.state.sampler.handed_out,
            "chooser": chooser.state(),
            "tried": repr(sorted(recorder.state.prospects.tried.items())),  # NaN equals itself
            "enough": recorder.state.prospects.ended_by,
        }
    )


def cut(run: Path, to: Path, lines: int) -> None:
    """Copy a run as it was after so many lines of its journal."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    for name in (TRIALS, EPOCHS):
        write_lines(to / name, [row for row in read_lines(run / name) if row["n"] <= lines])
