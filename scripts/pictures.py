"""The pictures of the documentation, made from a real search on drawn faces.

    python scripts/pictures.py                  runs spaces/quickstart.yaml first
    python scripts/pictures.py --run RUN        of a quickstart run that is there already
    python scripts/pictures.py --page RUN --out FOLDER    the whole page of any run, to look at
    python scripts/pictures.py --screens FOLDER    every command at 80 and 200 columns, to look at

Into ``docs/pictures`` go the live table at one moment of the run, replayed from its journal
(``live.svg``), the ranked table (``ranked.svg``), and the report page of a recorded run at two
widths, light and dark (``report.png``, ``report-narrow.png``), which needs Chromium. No image of a
real person is in any of them; the page of ``--page`` shows test pairs where the run's data is.
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

from PIL import Image
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.live import Live

from search.analysis.ranked_trials import load
from search.analysis.trial_table import table
from search.report.page import report
from search.runs import layout
from search.tuning.live_table import LiveTable

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "ray_results" / "reference" / "cpu"
PICTURES = ROOT / "docs" / "pictures"
SPACE = "spaces/quickstart.yaml"
WITHOUT_FONTS = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Rich's frame without the addresses of web fonts, which a repository page does not load."""


def main() -> None:
    """Make every picture."""
    parser = argparse.ArgumentParser(description="Make the pictures of the documentation.")
    parser.add_argument("--run", type=Path, help="a run of spaces/quickstart.yaml")
    parser.add_argument("--page", type=Path, help="a run whose whole page is drawn, and no other")
    parser.add_argument("--screens", type=Path, help="the folder of the screens, drawn alone")
    parser.add_argument("--out", type=Path, default=Path(), help="the folder for --page")
    options = parser.parse_args()
    if options.page:
        whole_page(options.page, options.out)
        return
    if options.screens:
        from screens import screens  # beside this script

        with tempfile.TemporaryDirectory() as folder:
            screens(options.screens, Path(folder), options.run)
        return
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or _search(Path(folder))
        live(run, PICTURES / "live.svg")
        ranked(run, PICTURES / "ranked.svg")
        page(Path(folder), PICTURES)


def page(folder: Path, pictures: Path) -> None:
    """Draw the top of the report page of the reference run, wide and light, narrow and dark."""
    from browser import started  # beside this script

    shown = report([copied(REFERENCE, folder)])
    with started() as browser:
        for name, width, height, dark in (
            ("report.png", 1200, 1500, False),
            ("report-narrow.png", 390, 1100, True),
        ):
            browser.open(shown, width, dark, height)
            browser.screenshot(pictures / name, whole=False)
            picture = Image.open(pictures / name).convert("RGB")
            picture.quantize(64).save(pictures / name, optimize=True)


def whole_page(run: Path, out: Path) -> None:
    """Draw the whole report page of a run at two widths, light and dark."""
    from browser import started  # beside this script

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, started() as browser:
        shown = report([copied(run, Path(folder))])
        for width in (390, 1400):
            for dark in (False, True):
                browser.open(shown, width, dark)
                path = out / f"report-{width}-{'dark' if dark else 'light'}.png"
                browser.screenshot(path)
                print(path)


def copied(run: Path, folder: Path) -> Path:
    """Copy a run but for its weights and logs, so that a report is not written into it."""
    left = shutil.ignore_patterns("weights", "tensorboard", "logs", "state", "ray", "report")
    return Path(shutil.copytree(run, folder / run.resolve().name, ignore=left))


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
    elif line["status"] == "running" and "settings" in line:
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
