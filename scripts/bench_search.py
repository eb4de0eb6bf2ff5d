"""Whole searches against those of Ray Tune and Optuna, played on a recorded table of trainings.

    nice -n 19 python scripts/bench_search.py record --out FOLDER     hours of CPU, resumable

docs/benchmark.md says what is recorded, how searches are played on it, and how to read the figures.
"""

from __future__ import annotations

import sys
from pathlib import Path

from facesiam.cli.parser import Parser
from facesiam.config.settings import positive

HERE = Path(__file__).parent
TABLE = HERE.parent / "ray_results" / "reference" / "bench-search"


def main() -> None:
    """Read the command line and run one of the commands."""
    parser = Parser(description=(__doc__ or "").split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record", help="record the table; goes on where it was killed")
    record.add_argument("--out", type=Path, required=True, help="the table's folder")
    record.add_argument("--configurations", type=positive, default=150)
    args = parser.parse_args()
    if args.command == "record":
        from search_bench.record import record as run

        run(args.out, args.configurations)


if __name__ == "__main__":
    sys.exit(main())
