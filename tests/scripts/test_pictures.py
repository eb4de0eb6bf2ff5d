"""Pictures to look at: the terminals whose screens are drawn, and the run whose page is."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from builders import SCRIPTS, script

pictures = script("pictures")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux: apt-get install tmux")
def test_a_terminal_wraps_a_line_and_knows_it_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    say = "import os; print('\\033[1mx\\033[0m' * 45); print(os.get_terminal_size().columns); exit(3)"
    with script("screens").Terminal(tmp_path, [sys.executable, "-c", say], 40) as terminal:
        terminal.wait(terminal.ended)
        assert terminal.shows(joined=True).splitlines() == ["x" * 45, "40"]
        lines = terminal.shows().splitlines()
        assert len(lines) == 3 and "\x1b[1m" in lines[0]
        assert terminal.code.read_text() == "3\n"


def test_a_page_is_made_of_a_copy_without_weights(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name in ("space.yaml", "weights/0001.pt", "report/report.md", "retrain/0001/test.json"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).touch()
    (tmp_path / "there").mkdir()
    copy = pictures.copied(run, tmp_path / "there")
    names = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert copy.name == "run" and names == {"space.yaml", "retrain/0001/test.json"}
