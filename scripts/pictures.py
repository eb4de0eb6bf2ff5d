"""The pictures of the documentation, made from a real search on drawn faces.

    python scripts/pictures.py                  runs spaces/quickstart.yaml first
    python scripts/pictures.py --run RUN        of a quickstart run that is there already

Into ``docs/pictures`` go the live table at one moment of the run, replayed from its journal
(``live.svg``), the ranked table (``ranked.svg``) and the report's figures (PNG). No image of a
real person is in any of them.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.live import Live

from search.analysis.ranked_trials import load
from search.analysis.trial_table import table
from search.report.page import report
from search.runs import layout
from search.tuning.live_table import LiveTable

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
SPACE = "spaces/quickstart.yaml"
WITHOUT_FONTS = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Rich's frame without the addresses of web fonts, which a repository page does not load."""


def main() -> None:
    """Make every picture."""
    parser = argparse.ArgumentParser(description="Make the pictures of the documentation.")
    parser.add_argument("--run", type=Path, help="a run of spaces/quickstart.yaml")
    options = parser.parse_args()
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or _search(Path(folder))
        live(run, PICTURES / "live.svg")
        ranked(run, PICTURES / "ranked.svg")
        figures = report([run]).parent
        for name in ("overview.png", "settings.png"):
            shutil.copy(figures / name, PICTURES / name)


def _search(out: Path) -> Path:
    command = [sys.executable, "-m", "search.run", SPACE, "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True)
    return out / "quickstart"


def live(run: Path, path: Path, width: int = 82) -> None:
    """Replay the first two thirds of the journal into the live table, and draw that."""
    lines = [
        json.loads(line)
        for name in ("trials.jsonl", "epochs.jsonl")
        for line in (run / name).read_text(encoding="utf-8").splitlines()
    ]
    lines.sort(key=lambda line: int(line["n"]))
    now = 0.0
    space = layout.space(run)
    count = len({line["trial"] for line in lines})
    console = _console(width)
    live = LiveTable(count, space.objective, console, space.varied(), clock=lambda: now)
    since: dict[str, float] = {}
    for at, line in enumerate(lines[: 2 * len(lines) // 3]):
        if "time" in line:
            now = float(line["time"])
        else:  # an epoch has no time of its own
            now = max(now, since[line["trial"]] + float(line["seconds"]))
        if at == 0:
            live.began = now
        since[line["trial"]] = now
        _show(live, line)
    console.print(f"$ python -m search.run {SPACE}", style="bold", highlight=False)
    console.print(live.render())
    _save(console, path, "a search at work")


def _show(live: LiveTable, line: dict[str, Any]) -> None:
    """Show one line of the journal."""
    trial = line["trial"]
    if "train_loss" in line:
        live.epoch(trial, line)
    elif line["status"] == "running":
        live.started(trial, line["settings"]["epochs"], line["settings"])
    elif line["status"] in live.counts:
        reason = line.get("stop_reason") and f"{line['stop_rule']}: {line['stop_reason']}"
        live.live = live.live or Live()  # never begun: ends are shown in the table alone
        live.ended(trial, line["status"], live.places.get(trial), reason)


def ranked(run: Path, path: Path) -> None:
    """Draw the ranked table as the command prints it."""
    console = _console(122)
    console.print(
        "$ python -m search.results ray_results/quickstart", style="bold", highlight=False
    )
    trials, _ = load(run)
    console.print(table(trials, width=120), highlight=False, markup=False)
    _save(console, path, "its ranked trials")


def _console(width: int) -> Console:
    return Console(record=True, width=width, height=40, file=io.StringIO(), force_terminal=True)


def _save(console: Console, path: Path, title: str) -> None:
    console.save_svg(str(path), title=title, code_format=WITHOUT_FONTS, unique_id=path.stem)


if __name__ == "__main__":
    main()
