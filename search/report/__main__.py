"""The command that writes a run's report: ``python -m search.report RUN [RUN …]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from facesiam import cli


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 where a run cannot be read."""
    runs = parser().parse_args(arguments).runs
    return cli.run(lambda: _write(runs))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.Parser(
        prog=cli.program("search.report"), description="Write a run's report page."
    )
    which = "run folder; the report goes to the first, the others fill in rows of the tables"
    parser.add_argument("runs", metavar="RUN", nargs="+", help=which)
    return parser


def _write(runs: Sequence[str]) -> int:
    from search.report.page import report  # it takes seconds to import

    cli.show(report(runs))
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())
