"""The command that writes a run's report: ``python -m search.report RUN [RUN …]``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from facesiam import cli
from facesiam.cli.terminal import doing

WATCH_SECONDS = 30
"""Between two pages of a search that goes on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 where a run cannot be read."""
    options = parser().parse_args(arguments)
    work = _watch if options.watch else _write
    return cli.run(lambda: work(options.runs, not options.no_images))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.Parser(
        prog=cli.program("search.report"), description="Write a run's report page."
    )
    which = "run folder; the report goes to the first, the others fill in rows of the tables"
    parser.add_argument("runs", metavar="RUN", nargs="+", help=which)
    again = f"write the page every {WATCH_SECONDS} s until the search has ended"
    parser.add_argument("--watch", action="store_true", help=again)
    without = "leave out the pictures of wrongly judged test pairs"
    parser.add_argument("--no-images", action="store_true", help=without)
    return parser


def _write(runs: Sequence[str], images: bool) -> int:
    doing("reading the run and drawing its figures")
    from search.report.page import report  # it takes seconds to import

    cli.show(report(runs, images=images))
    return cli.DONE


def _watch(runs: Sequence[str], images: bool) -> int:
    from search.analysis.ranked_trials import NoResultsError
    from search.report.page import refresh

    told = False
    while True:
        try:
            page, over = refresh(runs, WATCH_SECONDS, images=images)
        except NoResultsError as waiting:
            cli.say(f"{waiting}; waiting")
        else:
            if over:
                return _write(runs, images)
            if not told:
                cli.show(f"{page}: written every {WATCH_SECONDS} s until the search has ended")
                told = True
        time.sleep(WATCH_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
