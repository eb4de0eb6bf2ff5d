"""How scripts/browser.py ends where Chromium does."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from builders import script

Browser = script("browser").Browser


@pytest.mark.parametrize("reads", ["", "read -r -d '' -n 1 <&3\n"])
def test_a_chromium_that_ends_at_its_start_leaves_nothing_open(tmp_path: Path, reads: str) -> None:
    """It ends before it is sent a command, or with one in the pipe."""
    path = tmp_path / "chromium"
    path.write_text(f"#!/usr/bin/env bash\n{reads}exit 3\n")
    path.chmod(0o755)
    others = set(psutil.Process().children())  # of other tests, such as Ray's
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(RuntimeError, match="Chromium ended with exit code 3"):
        Browser(str(path))
    assert set(os.listdir("/proc/self/fd")) == before
    assert set(psutil.Process().children()) == others  # a zombie would be one of them
