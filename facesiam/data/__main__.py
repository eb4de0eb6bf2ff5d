"""The command ``python -m facesiam.data``: fetch the CFP archive, or check a dataset.

python -m facesiam.data download        fetch the official CFP archive into the cache
python -m facesiam.data check PATH      what is in a dataset, and what is wrong with it
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from facesiam import cli, files
from facesiam.data import download, inspection
from facesiam.data.dataset import cache_root
from facesiam.data.formats import FORMATS
from facesiam.data.preparation import ARCHIVE, open_given
from facesiam.errors import shown


def main(arguments: list[str] | None = None) -> int:
    """Run ``download`` or ``check``; returns the exit code (0 fine, 1 flawed data, 2 no data)."""
    options = parser().parse_args(arguments)
    return cli.run(
        lambda: _download(options) if options.command == "download" else _check(options)
    )


def _download(options: argparse.Namespace) -> int:
    if (named := os.environ.get("FACESIAM_DATA")) and files.exists(Path(named)):
        cli.say(
            f"$FACESIAM_DATA, {shown(named)}, is there and taken before a download: nothing has "
            "to be fetched"
        )
    print(download.download(options.url, options.to / ARCHIVE))
    return 0


def _check(options: argparse.Namespace) -> int:
    opened = open_given(options.path, cache_root(), options.format)
    return inspection.report(opened, every=options.all)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.Parser(prog=cli.program("facesiam.data"), description="A dataset of faces.")
    commands = parser.add_subparsers(dest="command", required=True)
    fetch = commands.add_parser(
        "download", help="fetch the official archive of CFP (research use only)"
    )
    fetch.add_argument("--url", default=download.URL, help="default: %(default)s")
    fetch.add_argument("--to", type=Path, metavar="DIR", help="default: the cache, %(default)s")
    fetch.set_defaults(to=cache_root())
    look = commands.add_parser("check", help="count what is there and name what is wrong")
    look.add_argument(
        "path", metavar="DATA", help="a zip, a folder or a file of faces, or the word drawn"
    )
    look.add_argument(
        "--format", choices=FORMATS, metavar="NAME", help=f"of {', '.join(FORMATS)}: recognised"
    )
    look.add_argument("--all", action="store_true", help="name every problem, however alike")
    return parser


if __name__ == "__main__":
    sys.exit(main())
