"""The command ``siamsearch``, or ``python -m search``: all commands of the project under one name.

``siamsearch run`` is ``python -m search.run``, and so on: the module is run as Python runs it, and
nothing of the other commands is imported.
"""

from __future__ import annotations

import argparse
import runpy
import sys

from facesiam import cli
from search.cli.command_table import COMMANDS


def main() -> int:
    """Run the command that the command line names; return the exit code."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in COMMANDS:
        return _run(name)
    options = _parser().parse_args(sys.argv[1:2])
    if options.version:
        from importlib.metadata import version  # it takes as long to import as all else here

        print(f"siamsearch {version('siamsearch')}")
        return cli.DONE
    if name:
        from facesiam.config.settings import did_you_mean

        near = did_you_mean(name, COMMANDS) or f"; there are {', '.join(COMMANDS)}"
        _parser().error(f"{name}: not a command{near}")
    _parser().print_help()
    return cli.WRONG_INPUT


def _run(name: str) -> int:
    cli.called_as |= {module: f"{_program()} {one}" for one, (module, _) in COMMANDS.items()}
    del sys.argv[1]
    runpy.run_module(COMMANDS[name][0], run_name="__main__", alter_sys=True)
    return cli.DONE


def _program() -> str:
    return "python -m search" if sys.argv[0].endswith("__main__.py") else "siamsearch"


def _parser() -> cli.Parser:
    listed = "\n".join(f"  {name:<12}{does}" for name, (_, does) in COMMANDS.items())
    parser = cli.Parser(
        prog=_program(),
        description="Distributed hyperparameter search for Siamese face verification.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"commands:\n{listed}\n\nEach command has a --help of its own.",
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    # Not as argparse's sub-commands: it breaks the line after a name of ten letters.
    parser.add_argument("command", metavar="COMMAND", nargs="?", help="one of those below")
    return parser


if __name__ == "__main__":
    sys.exit(main())
