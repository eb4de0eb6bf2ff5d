"""How long ``--help`` of each command takes: wall time and CPU time of the whole process.

    python scripts/bench_help.py [--runs 5]

The CPU time is the figure on a busy machine; on an idle one both are alike.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

from search.cli.command_table import COMMANDS


def main() -> None:
    """Print the lowest times of each command."""
    parser = argparse.ArgumentParser(description="How long --help of each command takes.")
    parser.add_argument("--runs", type=int, default=5, help="runs of each command (5)")
    runs = parser.parse_args().runs
    print(f"{'command':<20}{'wall, s':>9}{'CPU, s':>9}   lowest of {runs} runs")
    for module in ("search", *(module for module, _ in COMMANDS.values())):
        walls, cpus = zip(*(measured(module) for _ in range(runs)), strict=True)
        print(f"{module:<20}{min(walls):>9.2f}{min(cpus):>9.2f}")


def measured(module: str) -> tuple[float, float]:
    """Return the wall time and the CPU time of one run, in seconds."""
    before, began = _cpu(), time.perf_counter()
    subprocess.run([sys.executable, "-m", module, "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began, _cpu() - before


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
