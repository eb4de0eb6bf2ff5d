"""The command that writes a run's report: ``python -m search.report RUN [RUN …]``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

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
    from search.runs.lock import is_locked

    told, before = False, None
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
        now = _journal_size(runs[0])
        if now is not None and now == before and not is_locked(Path(runs[0])):
            cli.say(f"{runs[0]}: its driver was killed; `search.run … --resume` continues it")
            return _write(runs, images)
        before = now
        time.sleep(WATCH_SECONDS)


def _journal_size(run: str) -> int | None:
    """Return the bytes of a run's journal; None behind a URL, whose driver may be anywhere."""
    if "://" in run:
        return None
    return sum(file.stat().st_size for file in Path(run).glob("*.jsonl"))


if __name__ == "__main__":
    sys.exit(main())
