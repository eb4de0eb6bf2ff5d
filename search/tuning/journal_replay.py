"""The state of a search as its journal has it, line by line in its order.

It is reached with the code that ran live: what was decided stays decided, and what a killed driver
had not noted of its last decision is decided again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.pruning.stop_decision import PAUSE, StopDecision, stop_of
from search.runs.journal import read_events, read_trials
from search.runs.line_format import ENQUEUED, EPOCHS, chosen_by
from search.space import SearchSpace
from search.tuning import warm_start
from search.tuning.sampler import Suggestion
from search.tuning.search_state import NO_STOP, PastEnd, SearchState

UNFINISHED = ("pending", "running", "interrupted", "failed")
"""Status of trials that a resumed run goes on with; a failed one gets another try."""


def replay(space: SearchSpace, run: Path) -> SearchState:
    """Return the state of a run's search.

    Args:
        space: what is searched.
        run: folder of the run; a new one has no journal, and may have a warm start.

    Raises:
        JournalError: the journal cannot be read, or lacks lines.
    """
    state, known = SearchState(space, warm_start.read(run)), read_trials(run)
    state.costs = {name: line["cost"] for name, line in known.items() if "cost" in line}
    events = enumerate(read_events(run))
    last_line = {(file, row["trial"]): line for line, (file, row) in events}
    decided: dict[str, StopDecision | None] = {}
    for line, (file, row) in enumerate(read_events(run)):
        name = row["trial"]
        end, is_last = known[name], line == last_line[file, name]
        stop, unfinished = stop_of(end), end["status"] in UNFINISHED
        if file == EPOCHS:
            decided[name] = state.scheduler.replay_epoch(
                name, row, stop, bool(end.get("control")), unfinished and is_last
            )
            continue
        if name not in decided:
            decided[name] = None
            state.ran_with |= {name: end["ran"]} if end.get("ran") else {}
            state.exhausted, state.prospects.enough = False, None  # it went on since
            state.sampler.replay(name, end["settings"], chosen_by(end) == ENQUEUED)
            state.scheduler.begin(name, end["settings"])
        elif name in state.scheduler.paused and _goes_on(row):
            state.scheduler.begin(name, end["settings"])
        if row.get("status") == "failed":
            state.look_ahead(name, None)  # it waits to be tried again, and has no end here
        if is_last and not unfinished:
            if stop:
                state.scheduler.replay_decision(name, stop, bool(end.get("control")))
            _end(state, name, end["status"], end)
    for name, end in known.items():
        if end["status"] in UNFINISHED:
            _resume(state, name, end, decided[name])
    return state


def _goes_on(row: Mapping[str, Any]) -> bool:
    """Say whether a paused trial goes on by this line.

    One that hands it out to a worker has a key, which may be None; one that notes the pause has
    none, nor has one that spares it for the control group.
    """
    return row.get("status") == "running" or "key" in row


def _resume(
    state: SearchState, name: str, known: Mapping[str, Any], stop: StopDecision | None
) -> None:
    """Queue a trial to go on with; end one of which only the end was not noted.

    Args:
        state: in which it is.
        name: the trial.
        known: its last line.
        stop: what follows from its last epoch, where the driver was killed before it noted it.
    """
    control = bool(known.get("control"))
    state.doublings |= {name: known["larger"]} if known.get("larger") else {}
    state.scheduler.replay_decision(name, stop_of(known), control)
    if stop and stop is not PAUSE:
        fields = {**stop.noted(), "control": False}
        _end(state, name, "stopped", {**known, **fields}, fields)
    elif state.epochs_noted(name) == known["settings"]["epochs"]:
        _end(state, name, "done", known, {} if control else NO_STOP.noted())
    else:
        row, by = known.get("row"), chosen_by(known)
        suggestion = Suggestion(name, known["settings"], row, by)
        if name in state.scheduler.paused:
            state.paused[name] = suggestion
        else:
            state.waiting.append(suggestion)


def _end(
    state: SearchState,
    name: str,
    status: str,
    end: Mapping[str, Any],
    missing: dict[str, Any] | None = None,
) -> None:
    epochs, value = state.epochs_noted(name), state.end(name, status, end.get("stop_rule"))
    reason, settings = end.get("stop_reason"), end["settings"]
    state.past_ends.append(PastEnd(name, status, value, reason, settings, epochs, missing))
