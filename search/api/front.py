"""The front of a run's trials for ``Run.pareto``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from facesiam.config.costs import COSTS
from facesiam.config.settings import did_you_mean
from search.api.wording import OptionError
from search.runs import layout

if TYPE_CHECKING:
    import pandas as pd


def front(run: Path, costs: tuple[str, ...]) -> pd.DataFrame:
    """Return the front of a run; see ``Run.pareto``.

    Raises:
        OptionError: there is no such cost.
        RunError: no trial has it.
    """
    from search.analysis import pareto, ranked_trials

    for name in costs:
        if name not in COSTS:
            near = did_you_mean(str(name), COSTS) or f": {', '.join(COSTS)}"
            raise OptionError(f"{name!r} is no cost{near}")
    (trials, _), space = ranked_trials.load(run), layout.space(run)
    return pareto.front(trials, space.objective, pareto.chosen_costs(trials, costs or space.costs))
