"""The command that races the best trials of a search: trained again until one is shown to win.

    python -m search.race RUN [--top 5] [--seeds 5] [--level 0.05] [--within 0.005]

Each round trains every finalist that is still in with one further seed, and drops those that are
shown not to be better than another one. The same command goes on with a race that was cut short,
and shows again what one that is over came to.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

from facesiam import cli
from facesiam.config import Value
from facesiam.errors import masked
from search.cli import run_command
from search.cli.run_parser import add_data, add_machines, add_trackers, amount, read_options
from search.runs import layout
from search.runs.remote import open_run
from search.space.fields import single_values
from search.space.finalists import Finalists, FinalistsPart
from search.space.run_options import RunOptions
from search.tuning import racing

TERMS = tuple(FinalistsPart.model_fields)
"""Options that say how the finalists are raced."""


def main(arguments: Sequence[str] | None = None, trainable: type[Any] | None = None) -> int:
    """Run the command; return its exit code, as ``search.cli.run_command.main``.

    Args:
        arguments: of the command line; None: those of the process.
        trainable: what a worker runs for a trial; None: ``facesiam.trainable.FaceTrial``.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    asked = vars(parser().parse_args(given))
    command = masked(f"{cli.program('search.race')} {shlex.join(given)}")
    said = "interrupted before the race began"
    return cli.run(
        lambda: run_command.race(options(asked, command), trainable),
        said,
        cli.STORAGE_FAILED,
        goes_on=True,
    )


def options(asked: dict[str, Any], command: str) -> RunOptions:
    """Return the options of a race.

    Args:
        asked: what was given, by option; None: not given.
        command: how it was asked for.

    Raises:
        UserError: there is no such run, or it cannot be raced.
    """
    place = asked["run"]
    run = open_run(place)
    url = place if "://" in place else None
    space = layout.space(run)
    terms = space.finalists or Finalists()
    given = {name: asked[name] for name in TERMS if asked[name] is not None}
    last = last_session(run)
    told = {name: asked[name] for name in (*racing.HANDED_ON, "name", "minutes", "dry_run")}
    told = {name: value for name, value in told.items() if value not in (None, [], ())}
    kept = RunOptions(**{**last, **told, "space": "", "command": command, "resume_call": command})
    return racing.options(run, url, dataclasses.replace(terms, **given), kept)


def last_session(run: Any) -> dict[str, Any]:
    """Return the options of a run's last session that hold for its race too."""
    words = layout.manifest(run)["sessions"][-1].get("arguments")
    if not words:  # of an older version
        return {}
    found = read_options(words)
    handed = {name: getattr(found, name) for name in racing.HANDED_ON}
    return {name: value for name, value in handed.items() if "***" not in str(value)}


def _term(name: str) -> Callable[[str], Value]:
    """Return what reads one of TERMS as a space file does."""
    setting = single_values(FinalistsPart)[name]

    def read(text: str) -> Value:
        """Return the value."""
        try:
            value = setting.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        if problem := setting.problem(value):
            raise argparse.ArgumentTypeError(problem)
        return value

    return read


def parser(kind: type[cli.Parser] = cli.Parser) -> argparse.ArgumentParser:
    """Return the parser of the command line, of a kind that says what is wrong in its own way."""
    parser = kind(
        prog=cli.program("search.race"),
        description="Train the best trials of a search again, a further seed each per round, and "
        "drop those that are shown to be worse, until one is left.",
    )
    parser.add_argument("run", metavar="RUN", help="run folder, such as ray_results/code2")
    parser.add_argument(
        "--top",
        type=_term("top"),
        help="how many of its best trials are raced (as its space says; 5)",
    )
    parser.add_argument(
        "--seeds", type=_term("seeds"), help="most further seeds of each (as its space says; 5)"
    )
    parser.add_argument(
        "--level",
        type=_term("level"),
        help="greatest chance that what is said of the best of them is wrong (as its space says; "
        "0.05)",
    )
    parser.add_argument(
        "--within",
        type=_term("within"),
        metavar="DIFFERENCE",
        help="of the metric, that does not matter: where none is better by more, the cheapest is "
        "taken (as its space says; 0.005, half a point of an accuracy)",
    )
    parser.add_argument("--name", help="name of the race's run and its folder (RUN-race)")
    add_data(parser)
    parser.add_argument(
        "--minutes", type=amount, help="stop after so many minutes; the same command goes on"
    )
    add_machines(parser)
    add_trackers(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the plan, start nothing")
    return parser


if __name__ == "__main__":
    run_command.leave(main())
