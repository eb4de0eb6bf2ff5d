"""Check space files, or print the JSON schema of their format.

python -m search.space FILE…
python -m search.space --schema
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from facesiam import cli
from facesiam.plugins import loading
from search.space import SpaceError, load, shipped


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code, 2 for a faulty file."""
    reader = parser()
    options = reader.parse_args(arguments)
    if not (options.files or options.schema):
        reader.error("give a FILE to check, or --schema")
    return cli.run(lambda: _main(options))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.Parser(prog=cli.program("search.space"), description="Check space files.")
    parser.add_argument("files", nargs="*", metavar="FILE", help="space file to check")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema instead")
    loading.add_option(parser)
    return parser


def _main(options: argparse.Namespace) -> int:
    if options.schema:
        from search.space.json_schema import text

        print(text(), end="")
        return 0
    loading.load_all(options.plugin)
    wrong = 0
    for file in options.files:
        try:
            space = load(shipped.space_file(file), strict=True)
            rows = f", {len(space.rows)} rows" if space.rows else ""
            print(f"{file}: fine; {space.size() or 'infinitely many'} configurations{rows}")
        except SpaceError as error:
            cli.say(str(error))
            wrong = 2
    return wrong


if __name__ == "__main__":
    sys.exit(main())
