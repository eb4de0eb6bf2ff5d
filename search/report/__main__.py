"""The command that writes a run's report: ``python -m search.report RUN [RUN …]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from facesiam import cli
from search.report.page import report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 where a run cannot be read."""
    parser = cli.Parser(
        prog=cli.program("search.report"), description="Write a run's report page."
    )
    which = "run folder; the report goes to the first, the others fill in rows of the tables"
    parser.add_argument("runs", metavar="RUN", nargs="+", help=which)
    runs = parser.parse_args(arguments).runs
    return cli.run(lambda: _write(runs))


def _write(runs: Sequence[str]) -> int:
    cli.show(report(runs))
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())
