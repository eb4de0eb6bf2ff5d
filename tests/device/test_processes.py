"""Where a worker's output goes, and which processes run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ROOT

from facesiam.device.processes import redirect_output, runs_elsewhere

REDIRECT = """
import os, sys
from pathlib import Path
from facesiam.device.processes import redirect_output
print("before")
redirect_output(Path(sys.argv[1]))
print("by Python ±")
sys.stdout.flush()
os.write(1, b"by a library\\n")
print("a warning", file=sys.stderr)
"""


def test_all_output_goes_to_a_new_file(tmp_path: Path) -> None:
    file = tmp_path / "0001.log"
    file.write_text("of an earlier try\n" * 9)
    command = [sys.executable, "-c", REDIRECT, str(file)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "before\n", "")
    assert file.read_text() == "by Python \\xb1\nby a library\na warning\n"


def test_output_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("old")
    (tmp_path / "0001.log").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic link"):
        redirect_output(tmp_path / "0001.log")
    assert (tmp_path / "precious").read_text() == "old"


def test_only_another_process_that_runs_counts() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert runs_elsewhere(child.pid)
    assert not runs_elsewhere(child.pid)
    assert not runs_elsewhere(os.getpid()) and not runs_elsewhere(0) and not runs_elsewhere(2**40)
