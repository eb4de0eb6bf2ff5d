"""Everything that is claimed of a GPU, measured by one command into one JSON file.

    python scripts/bench_gpu.py cfp-dataset.zip gpu.json --minutes 10
    python scripts/bench_gpu.py drawn rehearsal.json --rehearse

What matters most comes first: whether the GPU computes what the CPU computes, pairs a second
beside the notebooks' loop, rows of the 2019 study through a search, the best configuration with
other nets. Each part has a share of the minutes and is cut at its end. The file is written after
each figure, and the same command goes on with what is missing: docs/performance.md says more.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from facesiam import cli
from facesiam.errors import UserError
from facesiam.files import exists

PEOPLE, FRONTAL, PROFILE = 20, 6, 2
"""What a rehearsal draws: people, and images of each."""


def main() -> int:
    """Read the command line, and measure; return 1 where figures are missing."""
    parser = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("data", metavar="DATA", help="CFP zip or folder; drawn: drawn faces")
    add("out", metavar="OUT.json", type=Path, help="file of the figures")
    add("--minutes", type=float, default=10.0, help="for all parts together (10)")
    add("--rehearse", action="store_true", help="on the CPU, with tiny nets: no figure counts")
    add("--runs", type=Path, help="folder of the searches; default: OUT.runs")
    add("--parts", help="some of the parts, such as machine,speed")
    add("--part", help=argparse.SUPPRESS)
    add("--ends", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    return cli.run(lambda: _part(options) if options.part else _all(options), goes_on=True)


def _all(options: argparse.Namespace) -> int:
    from gpu_bench.budget import run_parts
    from gpu_bench.facts import lacking
    from gpu_bench.parts import PARTS
    from gpu_bench.record import Record

    names = options.parts.split(",") if options.parts else list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        raise UserError(f"--parts {unknown[0]}: not one of {', '.join(PARTS)}")
    record = Record(options.out, options.rehearse)
    data = _checked(options)
    for line in lacking():
        cli.say(line)

    def command(part: str, seconds: float) -> list[str]:
        more = ["--rehearse"] if options.rehearse else []
        # A time of day: what the start of the part takes is of its share.
        given = [data, str(options.out), "--part", part, "--ends", str(time.time() + seconds)]
        return [sys.executable, __file__, *given, "--runs", str(_work(options)), *more]

    absent = run_parts(record, options.minutes, command, names)
    if absent:
        cli.say(f"not measured: {', '.join(absent)}; the same command goes on with them")
    cli.say(str(options.out))
    return 1 if absent else 0


def _checked(options: argparse.Namespace) -> str:
    """Return the dataset, which is there, and refuse a machine without a GPU."""
    import torch

    if options.minutes <= 0:
        raise UserError(f"--minutes {options.minutes:g}: must be above 0")
    if not options.rehearse and not torch.cuda.is_available():
        raise UserError("there is no GPU that torch can use; --rehearse needs none")
    options.out.absolute().parent.mkdir(parents=True, exist_ok=True)
    if options.rehearse and options.data == "drawn":
        from facesiam.data.synthetic.writer import draw

        folder = _work(options) / "faces"
        return str(draw(folder, people=PEOPLE, frontal=FRONTAL, profile=PROFILE, progress=False))
    if options.data != "drawn" and not exists(Path(options.data)):
        raise UserError(f"{options.data}: does not exist")
    return str(options.data)


def _part(options: argparse.Namespace) -> int:
    """Measure one part, in the process that the command starts for it."""
    from gpu_bench.budget import end_with_parent
    from gpu_bench.parts import measure
    from gpu_bench.plan import Plan
    from gpu_bench.record import Record

    end_with_parent()
    until = time.monotonic() + options.ends - time.time()
    plan = Plan(options.data, _work(options), options.rehearse, until)
    return 0 if measure(options.part, plan, Record(options.out, options.rehearse)) else 1


def _work(options: argparse.Namespace) -> Path:
    """Return the folder of the searches."""
    given: Path = options.runs or options.out.with_suffix(".runs")
    return given.absolute()


if __name__ == "__main__":
    sys.exit(main())
