"""The command that shows a run: its ranked trials, the story of one of them, or a repair.

    python -m search.results RUN [--top N] [--csv FILE] [--json]
    python -m search.results RUN --pareto [params|macs|latency_ms …]
    python -m search.results RUN --why TRIAL
    python -m search.results RUN --optuna sqlite:///study.db, or --log mlflow
    python -m search.results RUN --repair

From Python, ``load``, ``settings`` and ``manifest`` read the run that a folder or URL leads to.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facesiam import cli
from facesiam.cli.terminal import columns, fitted
from facesiam.config import TrialConfig
from facesiam.config.costs import COSTS
from facesiam.config.settings import positive
from facesiam.errors import masked, reason, shown
from facesiam.files import atomic
from search.runs import layout
from search.runs.json_files import Manifest
from search.runs.layout import RunError, folder_of
from search.runs.remote import open_run
from search.space.log import LOGS
from search.tracking.chosen import copy, trackers

if TYPE_CHECKING:
    import pandas as pd

READABLE = 160
"""Columns of a text beyond which a line is hard to follow."""
__all__ = ["RunError", "load", "main", "manifest", "settings"]


def load(run: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the ranked trials and the epochs of a run, as ``ranked_trials.load``."""
    from search.analysis import ranked_trials

    return ranked_trials.load(open_run(run))


def settings(run: str | Path) -> dict[str, TrialConfig]:
    """Return the settings of each trial of a run, as ``layout.settings``."""
    return layout.settings(open_run(run))


def manifest(run: str | Path) -> Manifest:
    """Return what was recorded about a run, as ``layout.manifest``."""
    return layout.manifest(open_run(run))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 where there is nothing to print."""
    reader = parser()
    options = reader.parse_args(arguments)
    table = options.top or options.csv or options.json or options.pareto is not None
    copies = options.optuna or options.log
    if options.repair and (options.why or table or copies):
        reader.error("--repair stands alone")
    if copies and (options.why or table):
        reader.error("--optuna and --log copy the run: leave out what shows it")
    if options.why is not None and table:
        reader.error("--why tells of one trial: leave out --top, --csv, --json and --pareto")
    return cli.run(lambda: _main(options))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.Parser(
        prog=cli.program("search.results"), description="The ranked trials of a run."
    )
    parser.add_argument("run", metavar="RUN", help="run folder, such as ray_results/code2")
    parser.add_argument("--top", metavar="N", type=positive, help="only the N best trials")
    parser.add_argument("--csv", metavar="FILE", help="also write the trials there as CSV")
    parser.add_argument("--json", action="store_true", help="print records as JSON instead")
    parser.add_argument(
        "--pareto",
        choices=COSTS,
        nargs="*",
        metavar="COST",
        help="also the front of the metric against these costs, of params, macs and latency_ms; "
        "without any against those that the search has in metric:, or all that are known. "
        "--csv and --json then have the front alone",
    )
    why = "tell one trial's story instead: what it scored, why it ended, what that saved"
    parser.add_argument("--why", metavar="TRIAL", help=why)
    parser.add_argument(
        "--optuna", metavar="URL", help="bring the run into a study that optuna-dashboard shows"
    )
    parser.add_argument(
        "--log", choices=LOGS, action="append", default=[], help="bring the run into a tracker"
    )
    mend = "keep the certain lines of a damaged journal, and a copy of the old one"
    parser.add_argument("--repair", action="store_true", help=mend)
    return parser


def _main(options: argparse.Namespace) -> int:
    if options.repair:
        _repair(options.run)
        return cli.DONE
    run = open_run(options.run)
    if options.optuna or options.log:
        told = layout.space(run).log
        asked = {name: told.get(name, {}) for name in options.log}
        for tracker in trackers((), asked, options.optuna):
            print(copy(run, tracker))
    elif options.why is not None:
        from search.analysis.trial_story import story

        cli.show(story(run, options.why, min(columns(), READABLE)))
    else:
        _show_trials(run, options)
    return cli.DONE


def _repair(run: str) -> None:
    from search.runs.repair import repair

    if "://" in run:
        raise RunError(f"{run}: --repair needs a local folder; copy the run to this machine")
    print(repair(folder_of(run)))


def _show_trials(run: Path, options: argparse.Namespace) -> None:
    from search.analysis import pareto, ranked_by, ranked_trials, rule_audit
    from search.analysis.trial_table import differing, table
    from search.pruning import going_on

    trials, _ = ranked_trials.load(run)
    ranked_trials.require_results(run, trials)
    shown = trials if options.top is None else trials.head(options.top)
    ranking, front = ranked_by.ranking(run), ""
    if options.pareto is not None:
        objective = ranked_trials.objective(run)
        costs = pareto.chosen_costs(trials, options.pareto or ranking.costs)
        trials["on_front"] = pareto.on_front(trials, objective, costs)
        shown = pareto.front(trials, objective, costs)
        settings = differing(trials)
        front = pareto.text(shown, trials, settings, objective, costs, columns())
        ranking = ranking._replace(costs=tuple(costs))
    rules = rule_audit.record(trials, rule_audit.planned(run, trials))
    if options.csv:
        _write_csv(shown, Path(options.csv))
    if options.json:
        print(shown.to_json(orient="records", indent=2, double_precision=15))
    else:
        parts = [
            table(trials, options.top, columns(), ranking),
            front,
            fitted(rule_audit.text(rules), columns()),
            fitted(_raced(run, options.run, trials["trial"].iloc[0]), columns()),
            fitted(going_on.told(run, layout.space(run)), columns()),
        ]
        cli.show("\n\n".join(part for part in parts if part))


def _raced(run: Path, place: str, best: str) -> str:
    """Return what a race of the run's best trials has come to; "" where there was none."""
    from search.analysis import race_result, raced_run

    if not (result := raced_run.of_run(run, place, best)):
        return ""
    command = f"{cli.program('search.race')} {shlex.quote(masked(place))}"
    return f"raced with further seeds: {race_result.verdict(result)} (`{command}` shows it)"


def _write_csv(trials: pd.DataFrame, path: Path) -> None:
    try:
        with atomic(path) as partial:
            trials.to_csv(partial, index=False)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({reason(error)})") from None
    cli.say(shown(f"wrote {path}"))


if __name__ == "__main__":
    raise SystemExit(main())
