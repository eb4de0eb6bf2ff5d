"""The first minute of docs/wandb.md: its sweep goes in, its commands are typed as they stand."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ROOT

from search.space import load
from search.space.__main__ import main as space_command

PAGE = (ROOT / "docs" / "wandb.md").read_text(encoding="utf-8")
SWEEP = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
COMMANDS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0].splitlines()
SAID = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]


def test_the_sweep_of_the_page_becomes_a_space_and_is_told_as_the_page_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sweep.yaml").write_text(SWEEP)
    assert len(COMMANDS) == 5
    first = shlex.split(COMMANDS[0])
    assert first[:3] == ["python", "-m", "search.space"]
    assert space_command(first[3:]) == 0
    assert capsys.readouterr().err == SAID
    space = load("faces.yaml", strict=True)
    assert [*space.search] == ["lr", "optimizer", "hidden"] and space.trials == 4
    assert space.fixed == {"net": "alexnet", "image_size": 64, "epochs": 2}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_its_five_commands_lead_to_a_page(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    for line in COMMANDS:
        _, *arguments = shlex.split(line)
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert (tmp_path / "ray_results" / "faces" / "report" / "report.html").stat().st_size > 100_000
