"""The command that examines this machine, or a cluster, before a search runs there.

    siamsearch doctor [SPACE] [--address HOST:PORT] [--out FOLDER_OR_URL] [--data DATA]

Each line says what was looked at and what was found; what is wrong has a line with what to do.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from facesiam import cli
from facesiam.device.cores import cores
from facesiam.errors import UserError, counted, masked, shown
from facesiam.nearby import RESULTS
from search.resources import findings
from search.resources.findings import TRAINING, Finding, Level, fail, ok
from search.resources.machine_report import MachineReport, examine
from search.space import SearchSpace
from search.space.run_options import RunOptions

WOULD_FAIL = 1
"""Exit code where a search would fail."""
SUBJECT = 14
"""Width of the column of subjects."""
ABOUT = (
    "Examine this machine, or a cluster, before a search runs there: versions, GPUs, memory, "
    "storage, tokens, ports, clocks; with a space file also its data and weights. Exit code 1: a "
    "search would fail."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0; 1 where a search would fail; 2 for wrong input."""
    options = parser().parse_args(arguments)
    return cli.run(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    cli.needs_docstrings()
    found = []
    for finding in _findings(options):
        found.append(finding)
        cli.show(_lines(finding))
        sys.stdout.flush()
    level = findings.worst(found)
    failed = sum(finding.level is Level.FAIL for finding in found)
    print(
        {
            Level.FAIL: f"a search would fail: {failed} of {len(found)} lines say what to mend",
            Level.NOTE: "a search would run; the notes say what it would miss",
            Level.OK: "a search would run",
        }[level]
    )
    return WOULD_FAIL if level is Level.FAIL else cli.DONE


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    """Yield what is found, what is quick first."""
    is_url = "://" in options.out
    out, url = (None, options.out) if is_url else (Path(options.out).absolute(), None)
    packages = list(dict.fromkeys([*findings.requirements(), *TRAINING]))
    yield ok("Python", f"{platform.python_version()} on {platform.node()}, {cores()} cores")
    here = examine(packages, str(out) if out else None, "", url)
    yield from findings.of_machine(here)
    if options.space:
        yield from _of_search(options)
    if here.torch_error or "ray" not in here.versions:
        yield from findings.of_storage(masked(options.out), here, {}, is_url)
        return
    from search.tuning.cluster_check import ClusterCheck

    check = ClusterCheck(options.address, packages, out, url)
    yield from check.steps()
    others: dict[str, MachineReport] = check.reports if options.address else {}
    for address, report in others.items():
        for finding in findings.of_machine(report):
            if finding.level is not Level.OK:
                yield Finding(finding.level, address, finding.text, finding.remedy)
    yield from findings.of_cluster(here, others, check.skews)
    yield from findings.of_storage(masked(options.out), here, others, is_url)


def _of_search(options: argparse.Namespace) -> Iterator[Finding]:
    """Yield whether the space file, its data and its pretrained weights are there."""
    from search.tuning import preparation

    asked = RunOptions(
        space=options.space,
        data=options.data,
        weights=options.weights,
        out=options.out,
        address=options.address,
        dry_run=True,  # the name may be taken
    )
    try:
        space, _, _ = preparation.check(asked)
        count = space.count()
        many = "trials without end" if count is None else counted(count, "trial")
        yield ok("space", f"{options.space}: {many}")
    except UserError as error:
        yield fail("space", str(error), "python -m search.space FILE checks a space file")
        return
    for subject, look in (("data", _data), ("weights", _weights)):
        try:
            yield ok(subject, look(asked, space))
        except UserError as error:
            yield fail(subject, str(error), f"--{subject} names another")


def _data(asked: RunOptions, space: SearchSpace) -> str:
    """Return where the data of a search are, once their lists are checked; nothing is packed."""
    from facesiam.data.preparation import DRAWN
    from search.tuning.preparation import open_lists

    data = open_lists(asked, space, Path(asked.out), list(space.examples()))
    return "drawn faces" if data.source == DRAWN else f"{data.source}, read as {data.format}"


def _weights(asked: RunOptions, space: SearchSpace) -> str:
    """Return where the pretrained weights of a search are; those of torchvision are downloaded."""
    from facesiam.nets.pretrained import find_weights

    nets = sorted({str(one["net"]) for one in space.examples() if one["pretrained"]})
    found = [str(find_weights(net, asked.weights)) for net in nets]
    return ", ".join(found) or "no trial starts from pretrained weights"


def _lines(finding: Finding) -> str:
    """Return a finding in as many lines as it needs, the remedy on lines of its own."""
    width = max(60, shutil.get_terminal_size((80, 24)).columns)
    start = f"{finding.level.value:5} {finding.subject:{SUBJECT}} "
    rest = " " * len(start)
    lines = textwrap.wrap(shown(finding.text), width - len(start), break_on_hyphens=False) or [""]
    if finding.remedy:
        remedy = textwrap.wrap(finding.remedy, width - len(start) - 3, break_on_hyphens=False)
        lines += [f"{'-> ' if not i else '   '}{line}" for i, line in enumerate(remedy)]
    return "\n".join(f"{rest if i else start}{line}".rstrip() for i, line in enumerate(lines))


def parser() -> cli.Parser:
    """Return the parser of the command line."""
    parser = cli.Parser(prog=cli.program("search.doctor"), description=ABOUT)
    parser.add_argument(
        "space",
        metavar="SPACE",
        nargs="?",
        help="space file whose data and weights are looked for",
    )
    parser.add_argument("--address", help="Ray cluster: auto or HOST:PORT (this machine alone)")
    parser.add_argument("--out", default=RESULTS, help="folder or URL of the runs (ray_results)")
    parser.add_argument("--data", help="a dataset, as of search.run")
    parser.add_argument("--weights", help="file or folder of pretrained weights")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
