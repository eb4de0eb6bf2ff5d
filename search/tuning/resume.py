"""An earlier session taken up: its journal gone through, line by line, as it was written.

What was decided stays decided. What a killed driver had not noted of its last decision is decided
again, by what was known then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from search.pruning.scheduler import Stop
from search.runs.journal import TRIALS, read_events, read_trials
from search.tuning.sampler import Suggestion

if TYPE_CHECKING:
    from search.tuning.recorder import Recorder

NO_STOP = Stop(None, None)
"""Of a trial that nothing has stopped."""
UNFINISHED = ("pending", "running", "interrupted", "failed")
"""Trials that a resumed run takes up; a failed one gets another try."""


def take_up(recorder: Recorder) -> list[Suggestion]:
    """Go through what earlier sessions noted, in its order; return the unfinished trials."""
    known, left, last = read_trials(recorder.run), Counter[str](), Counter[str]()
    for file, row in read_events(recorder.run):
        if file == TRIALS:
            left[row["trial"]] += 1
        else:
            last[row["trial"]] += 1
    found: dict[str, Stop | None] = {}
    for file, row in read_events(recorder.run):
        name = row["trial"]
        end, stop = known[name], stop_of(known[name])
        going = end["status"] in UNFINISHED
        if file == TRIALS:
            if name not in found:
                found[name] = None
                recorder.suggester.replay(name, end["settings"])
                recorder.scheduler.begin(name, end["settings"])
            left[name] -= 1
            if not left[name] and not going:
                _known_end(recorder, name, end["status"], stop, end)
            continue
        last[name] -= 1
        found[name] = recorder.scheduler.replay(
            name, row, stop, bool(end.get("control")), going and not last[name]
        )
    return [
        suggestion
        for name, end in known.items()
        if end["status"] in UNFINISHED
        if (suggestion := _go_on(recorder, name, end, found[name]))
    ]


def _go_on(
    recorder: Recorder, name: str, known: Mapping[str, Any], stop: Stop | None
) -> Suggestion | None:
    """Return a trial to go on with; one that had only not been noted as ended ends here.

    Args:
        name: the trial.
        known: its last line.
        stop: what its last epoch brings on, as the driver was killed before it noted that.
    """
    settings, control = known["settings"], bool(known.get("control"))
    recorder.larger |= {name: known["larger"]} if known.get("larger") else {}
    recorder.ran |= {name: known["ran"]} if known.get("ran") else {}
    recorder.scheduler.replayed(name, stop_of(known), control)
    if stop:
        recorder.journal.trial(name, "stopped", **stop.noted(), control=False)
        _known_end(recorder, name, "stopped", None, {**known, **stop.noted()})
    elif recorder.noted(name) == settings["epochs"]:
        recorder.journal.trial(name, "done", **({} if control else NO_STOP.noted()))
        _known_end(recorder, name, "done", None, known)
    else:
        return Suggestion(name, settings, known.get("row"))
    return None


def _known_end(
    recorder: Recorder, name: str, status: str, stop: Stop | None, known: Mapping[str, Any]
) -> None:
    """Enter how a trial of an earlier session ended."""
    if stop:
        recorder.scheduler.replayed(name, stop, bool(known.get("control")))
    value = recorder.enter_end(name, status, known.get("stop_rule"))
    recorder.scheduler.forget(name)
    recorder.board.ended(name, status, value, known.get("stop_reason"), earlier=True)


def stop_of(known: Mapping[str, Any]) -> Stop | None:
    """Return what the journal knows of why a trial was stopped; None where no rule did it."""
    if known.get("stop_rule") in (None, "error", "interrupted"):
        return None
    return Stop(**{name: known.get(f"stop_{name}") for name in Stop._fields})
