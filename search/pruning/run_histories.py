"""The histories of a run's trials, from its journal, with the settings of its rule ``chance``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from search.pruning.history import LEVEL, History
from search.pruning.scatter import Noise
from search.runs.line_format import EpochLine, TrialLine
from search.space import SearchSpace


def of_run(
    trials: Mapping[str, TrialLine], epochs: Mapping[str, Sequence[EpochLine]], space: SearchSpace
) -> dict[str, History]:
    """Return the history of each trial by its name.

    Args:
        trials: the last line of each.
        epochs: of each trial that has one.
        space: of the run.
    """
    chance, noise, found = space.prune.get("chance") or {}, Noise(), dict[str, History]()
    for name, line in trials.items():
        rows: list[Mapping[str, Any]] = [*epochs.get(name, ())]
        level = chance.get("level", LEVEL)
        history = History(rows, line.get("settings") or {}, level=level)
        history.metric, history.mode = space.metric, space.mode
        history.guess = history.said_guess(chance)
        found[name] = history
        if not history.measured:
            history.scatter.update([row.get(space.metric, math.nan) for row in history.rows])
            noise.add(history.contest, name, history.scatter.deviation)
    for history in found.values():
        history.typical = noise.typical(history.contest)
    return found


def rule_of(line: TrialLine) -> str | None:
    """Return the rule that stopped a trial; None: none did, or it ran on as a control."""
    return line.get("stop_rule") if line.get("status") == "stopped" else None
