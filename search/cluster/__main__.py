"""The command that writes a search's job file for Slurm or Kubernetes.

    siamsearch cluster slurm SPACE --nodes 4 --gpus 1 --out /shared/runs [search.run options]
    siamsearch cluster kubernetes SPACE --nodes 2 --image IMAGE --out s3://BUCKET/runs

The space file and the options of the search are checked before anything is written.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from facesiam import cli
from facesiam.config.settings import positive
from facesiam.files import exists, read_text, write_text
from search.cli.run_parser import read_options
from search.cluster.render import Job, JobError, rayjob, slurm, words
from search.space import shipped
from search.tuning.asked_space import resolve

KINDS = {"slurm": ".sbatch", "kubernetes": "-rayjob.yaml"}
"""The schedulers, and how the names of their job files end."""
ABOUT = (
    "Write the job file of a search for a cluster. Further options of search.run may follow; "
    "--address and --resume are the job's own."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 for wrong input."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options, more = parser().parse_known_args(given)
    return cli.run(lambda: _main(options, more, given))


def _main(options: argparse.Namespace, more: list[str], given: Sequence[str]) -> int:
    job = _job(options, more, given)
    if options.kind == "slurm":
        names = ("account", "partition", "qos", "constraint")
        asked = {name: getattr(options, name) for name in names}
        text = slurm(job, options.time, asked, _setup(options), not options.shared_nodes)
    else:
        drawn = (job.options.data or job.space.data) == "drawn"
        text = rayjob(
            job,
            options.image,
            options.memory,
            options.secret,
            None if drawn else options.claim,
            options.data_file,
            read_text(shipped.space_file(job.options.space)),
        )
    file = Path(job.file)
    if not options.force and exists(file):
        raise JobError(f"{file}: exists; give another --file, or --force to write over it")
    write_text(file, text)
    start = "sbatch" if options.kind == "slurm" else "kubectl apply --filename"
    print(f"wrote {file}\nstart it with: {start} {shlex.quote(str(file))}")
    return cli.DONE


def _job(options: argparse.Namespace, more: list[str], given: Sequence[str]) -> Job:
    """Return the job, once the search's own options and its space have been checked.

    Raises:
        JobError: an option is the job's own.
        UserError: the space file or an option of the search is wrong.
    """
    named = ["--name", options.name] if options.name else []
    search = read_options([options.space, "--out", options.out, *named, *more])
    for name in ("address", "resume", "dry_run", "dashboard"):
        if getattr(search, name):
            option = "--" + name.replace("_", "-")
            raise JobError(f"{option}: leave it out; the job itself starts and resumes the search")
    space = resolve(search)
    if options.kind == "kubernetes" and space.plugins:
        raise JobError(
            f"{options.space}: plugins are files of this machine; copy them into the image and "
            "name them there with --plugin"
        )
    return Job(
        options=search,
        space=space,
        more=tuple(more),
        command=f"{cli.program('search.cluster')} {words(given)}",
        file=options.file or f"{search.name or space.name}{KINDS[options.kind]}",
        nodes=options.nodes,
        cpus=options.cpus,
        gpus=options.gpus,
    )


def _setup(options: argparse.Namespace) -> str:
    """Return the shell lines of --setup, or those that enter this Python's virtual environment."""
    if options.setup is not None:
        return str(options.setup)
    if sys.prefix == sys.base_prefix:
        return "# (none: python is the one that the nodes find)"
    return f"source {shlex.quote(f'{sys.prefix}/bin/activate')}"


def _count(text: str) -> int:
    if text == "0":
        return 0
    return positive(text)


def parser() -> cli.Parser:
    """Return the parser of the command line."""
    parser = cli.Parser(prog=cli.program("search.cluster"), description=ABOUT, allow_abbrev=False)
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for kind, ending in KINDS.items():
        one = kinds.add_parser(kind, help=f"write NAME{ending}", allow_abbrev=False)
        one.add_argument("space", metavar="SPACE", help="space file, or the name of a shipped one")
        one.add_argument("--nodes", type=positive, default=2, help="machines that run trials (2)")
        one.add_argument("--cpus", type=positive, default=8, help="CPUs of each (8)")
        one.add_argument("--gpus", type=_count, default=1, help="GPUs of each (1); 0: none")
        one.add_argument("--name", help="name of the run (that of the space file)")
        one.add_argument("--file", metavar="FILE", help=f"file to write (NAME{ending})")
        one.add_argument("--force", action="store_true", help="write over a file that is there")
        (_slurm if kind == "slurm" else _kubernetes)(one)
    return parser


def _slurm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="ray_results", help="folder that all nodes see, or a URL")
    parser.add_argument("--time", help="time limit (the space's minutes and 30, or 24:00:00)")
    for name in ("account", "partition", "qos", "constraint"):
        parser.add_argument(f"--{name}", help=f"Slurm's {name}")
    parser.add_argument(
        "--shared-nodes", action="store_true", help="do not ask for the nodes alone"
    )
    parser.add_argument(
        "--setup", metavar="LINES", help="shell lines before the search (activate this venv)"
    )


def _kubernetes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, help="URL of the runs, such as s3://BUCKET/runs")
    parser.add_argument("--image", required=True, help="image made by scripts/cluster/Dockerfile")
    parser.add_argument("--memory", default="32Gi", help="memory of each worker (32Gi)")
    parser.add_argument(
        "--secret", default="siamsearch-aws", help="secret with credentials (siamsearch-aws)"
    )
    parser.add_argument("--claim", default="cfp", help="volume claim with the data (cfp)")
    parser.add_argument(
        "--data-file", default="cfp-dataset.zip", help="the data within it (cfp-dataset.zip)"
    )


if __name__ == "__main__":
    raise SystemExit(main())
