"""A stream that is switched off once it cannot be written."""

from __future__ import annotations

import io
import os

import pytest

from facesiam.cli.streams import Outlet


def test_a_full_disk_is_told_once_and_nothing_more_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        outlet = Outlet(full, "stdout")
        for _ in range(2):
            assert outlet.write("a line\n") == 7
            outlet.flush()
        assert os.readlink(f"/proc/self/fd/{full.fileno()}") == os.devnull
    assert capsys.readouterr().err == (
        "stdout cannot be written (No space left on device): nothing more is shown there\n"
    )


def test_the_end_of_a_stream_without_a_name_is_told_nobody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    closed = io.StringIO()
    closed.close()
    outlet = Outlet(closed)
    assert not outlet.isatty()
    assert outlet.write("a line\n") == 7
    outlet.flush()
    assert isinstance(outlet.stream, io.StringIO) and not outlet.stream.closed
    assert capsys.readouterr().err == ""
