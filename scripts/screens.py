"""Screens of every command in terminals of 80 and 200 columns, as PNG files to look at.

Each command runs in a terminal of tmux, so lines are wrapped and redrawn as users see them, and
Chromium draws what that terminal holds. ``scripts/pictures.py --screens FOLDER`` is the command.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Self

from browser import Browser, started
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from facesiam.data.synthetic.writer import face

ROOT = Path(__file__).resolve().parent.parent
WIDTHS = (80, 200)
ROWS = 45
WAIT = 1200.0
"""Seconds that a command may take."""
ENDED = ("done", "stopped", "failed")
COMMANDS = {
    "help": "-m search --help",
    "run-help": "-m search.run --help",
    "dry-run": "-m search.run quickstart --dry-run",
    "dry-run-code2": "-m search.run code2 --data drawn --dry-run",
    "results": "-m search.results {run}",
    "why": "-m search.results {run} --why 0003",
    "retrain": "-m search.retrain {run} --seeds 2 --far 1e-1",
    "ensemble": "-m search.retrain {run} --ensemble 2",
    "compare": "-m search.compare {run} {run} --trial-b ensemble-2",
    "report": "-m search.report {run}",
    "replay": "-m search.replay code2 --orders 20",
    "space": "-m search.space spaces/code2.yaml",
    "space-mistakes": "-m search.space {mistakes}",
    "settings": "-m search settings",
    "settings-lr": "-m search settings lr",
    "settings-net": "-m search settings net",
    "doctor": "-m search doctor",
    "data-check": "-m facesiam.data check {faces}",
    "verify": "-m facesiam.verify {run} {faces}/person-1/0.png {faces}/person-2/0.png",
}
"""What follows ``python``, by the name of the picture."""
MISTAKES = """data: drawn
fixed:
  net: alexnett
  epochs: 8
search:
  lr: {low: -1e-4, high: 1e-2, log: true}
  augment: [true, maybe]
trails: 10
"""
PAGE = """<!DOCTYPE html><html data-ready="yes"><meta charset="utf-8">
<style>body {{margin: 0; background: #292929}} pre {{margin: 12px; font: 14px/1.25 monospace}}
</style><title>{title}</title><pre>{code}</pre></html>"""


class Terminal:
    """A command in a terminal of tmux, which has a server of its own."""

    def __init__(self, folder: Path, words: Sequence[str], width: int) -> None:
        """Start it.

        Args:
            folder: for the server's socket and the exit code.
            words: the command.
            width: columns.
        """
        self.width = width
        self.socket, self.code = folder / f"tmux-{time.monotonic_ns()}", folder / "exit-code"
        self.code.unlink(missing_ok=True)
        script = f"{shlex.join(words)}; echo $? > {shlex.quote(str(self.code))}; exec sleep 3600"
        self._tmux("new-session", "-d", "-x", str(width), "-y", str(ROWS), script)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the server, and the command with it."""
        self._tmux("kill-server")

    def shows(self, joined: bool = False) -> str:
        """Return what it shows and what has scrolled away, with its colours.

        Args:
            joined: take the lines that it wrapped for one, without colours.
        """
        text = self._tmux("capture-pane", "-p", "-J" if joined else "-e", "-S", "-")
        return "\n".join(line.rstrip() for line in text.rstrip().split("\n"))

    def press(self, key: str) -> None:
        """Press a key."""
        self._tmux("send-keys", key)

    def ended(self) -> bool:
        """Return whether the command has."""
        return self.code.exists()

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait for something, or for the end of the command."""
        end = time.monotonic() + WAIT
        while not (self.ended() or until()):
            if time.monotonic() > end:
                raise TimeoutError(f"{WAIT:g} s are over; the terminal shows\n{self.shows()}")
            time.sleep(0.2)
        time.sleep(0.5)  # what was written last is on its way

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-S", str(self.socket), "-f", os.devnull, *words]
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def screens(out: Path, folder: Path, run: Path | None) -> None:
    """Draw the screens of all commands.

    Args:
        out: folder of the pictures.
        folder: an empty one, for what the commands read and write.
        run: a run of spaces/quickstart.yaml, into which tests and a report are written; None: a
            search is run, interrupted at 80 columns and resumed at 200.
    """
    out.mkdir(parents=True, exist_ok=True)
    mistakes, faces = folder / "mistakes.yaml", folder / "faces"
    mistakes.write_text(MISTAKES, encoding="utf-8")
    _faces(faces)
    with started() as browser:
        run = run or _search(browser, folder, out)
        for name, command in COMMANDS.items():
            words = shlex.split(command.format(run=run, faces=faces, mistakes=mistakes))
            for width in WIDTHS:
                with Terminal(folder, [sys.executable, *words], width) as terminal:
                    terminal.wait(terminal.ended)
                    draw(browser, terminal, words, out / f"{name}-{width}.png")


def _search(browser: Browser, folder: Path, out: Path) -> Path:
    """Draw a search at work, interrupted, at work again and ended; return its folder."""
    run = folder / "quickstart"
    words = ["-m", "search.run", "quickstart", "--out", str(folder)]
    with Terminal(folder, [sys.executable, *words], WIDTHS[0]) as terminal:
        terminal.wait(lambda: _ended(run) >= 2)
        draw(browser, terminal, words, out / f"live-{WIDTHS[0]}.png")
        terminal.press("C-c")
        terminal.wait(terminal.ended)
        draw(browser, terminal, words, out / f"interrupted-{WIDTHS[0]}.png")
    words.append("--resume")
    with Terminal(folder, [sys.executable, *words], WIDTHS[1]) as terminal:
        terminal.wait(lambda: _ended(run) >= 4)
        draw(browser, terminal, words, out / f"live-{WIDTHS[1]}.png")
        terminal.wait(terminal.ended)
        draw(browser, terminal, words, out / f"ended-{WIDTHS[1]}.png")
    return run


def _ended(run: Path) -> int:
    """Return how many trials have ended."""
    journal = run / "trials.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    return len({one["trial"] for one in map(json.loads, lines) if one["status"] in ENDED})


def _faces(folder: Path) -> None:
    """Draw a dataset in folders, with a damaged image and one that is there twice."""
    for number in range(1, 7):
        person = folder / f"person-{number}"
        person.mkdir(parents=True)
        for shot in range(4):
            face(0, number, "frontal", shot).save(person / f"{shot}.png")
    (folder / "person-1" / "4.png").write_bytes(b"no image")
    (folder / "person-2" / "4.png").write_bytes((folder / "person-3" / "0.png").read_bytes())


def draw(browser: Browser, terminal: Terminal, words: Sequence[str], path: Path) -> None:
    """Write a PNG of a terminal under its command, and print the lines that did not fit."""
    code = f" (exit {terminal.code.read_text().strip()})" if terminal.ended() else ""
    console = Console(record=True, width=terminal.width, file=io.StringIO())
    console.print(Text(f"$ python {shlex.join(words)}{code}", style="bold"), soft_wrap=True)
    console.print(Text.from_ansi(terminal.shows()), soft_wrap=True)
    code = console.export_html(theme=SVG_EXPORT_THEME, inline_styles=True, code_format="{code}")
    page = terminal.code.with_name("screen.html")
    foreground = SVG_EXPORT_THEME.foreground_color.hex
    code = f'<span style="color: {foreground}">{code}</span>'
    page.write_text(PAGE.format(title=escape(path.stem), code=code), encoding="utf-8")
    browser.open(page, round(24 + 8.43 * terminal.width), height=100)
    browser.screenshot(path)
    print(path)
    for line in terminal.shows(joined=True).split("\n"):
        if len(line) > terminal.width:
            print(f"  wrapped: {line}")
