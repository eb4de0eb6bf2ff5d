"""Check space files, print the JSON schema of their format, or turn a W&B sweep into one.

python -m search.space FILE…
python -m search.space --schema
python -m search.space --from-wandb sweep.yaml --out space.yaml
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from facesiam import cli
from facesiam.cli.terminal import WHOLE, columns, hung
from facesiam.errors import counted, shown
from facesiam.files import exists, write_text
from facesiam.nearby import RESULTS
from facesiam.plugins import loading
from search.space import SpaceError, load, shipped


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code, 2 for a faulty file."""
    reader = parser()
    options = reader.parse_args(arguments)
    if not (options.files or options.schema or options.from_wandb):
        reader.error("give a FILE to check, --schema, or --from-wandb SWEEP")
    if options.files and (options.schema or options.from_wandb):
        reader.error(
            f"{options.files[0]}: --schema and --from-wandb check no FILE; --out FILE names what "
            "--from-wandb writes"
        )
    if options.out and not options.from_wandb:
        reader.error("--out goes with --from-wandb")
    return cli.run(lambda: _main(options))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.Parser(prog=cli.program("search.space"), description="Check space files.")
    parser.add_argument("files", nargs="*", metavar="FILE", help="space file to check")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema instead")
    parser.add_argument(
        "--from-wandb", metavar="SWEEP", help="turn a W&B sweep file into a space file"
    )
    parser.add_argument("--out", metavar="FILE", help="write that file instead of printing it")
    loading.add_option(parser)
    return parser


def _main(options: argparse.Namespace) -> int:
    if options.schema:
        from search.space.json_schema import text

        print(text(), end="")
        return 0
    loading.load_all(options.plugin)
    if options.from_wandb:
        return _from_wandb(Path(options.from_wandb), options.out)
    wrong = 0
    for file in options.files:
        try:
            space = load(shipped.space_file(file), strict=True)
            rows = f", {counted(len(space.rows), 'row')}" if space.rows else ""
            size = space.size()
            many = "endlessly many" if size is None else f"{size:,}"
            noun = "configuration" if size == 1 else "configurations"
            print(f"{file}: fine; {many} {noun}{rows}")
        except SpaceError as error:
            cli.say(hung(str(error), columns(WHOLE)))
            wrong = 2
    return wrong


def _from_wandb(path: Path, out: str | None) -> int:
    """Write the space file that a sweep becomes, and say what was left out."""
    from search.space.wandb_sweep import Sweep

    if out and exists(Path(out)):
        raise SpaceError(f"--out {out}: exists; give another name, or remove it")
    sweep = Sweep(path)
    if out:
        write_text(Path(out), sweep.text())
    else:
        cli.show(sweep.text().rstrip())
    cli.say(
        shown(
            f"{path}: {counted(len(sweep.settings), 'setting')}: {', '.join(sweep.settings)}", 2000
        )
    )
    for line in sweep.said:
        cli.say(f"  {shown(line, 400)}")
    if out:
        run = cli.program("search.run")
        said = f"written to {out}; what it would run and cost: {run} {shlex.quote(out)} --dry-run"
        said += " --data …"  # a sweep has none
        name = sweep.plain.get("name", Path(out).stem)
        if name != Path(out).stem:
            said += f"\nits run is named by the sweep: {Path(RESULTS, name)}"
        cli.say(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
