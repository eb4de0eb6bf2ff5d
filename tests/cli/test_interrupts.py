"""Signals end a command with a sentence, though somebody catches what they raise."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from builders import ROOT

from facesiam import cli
from facesiam.cli import interrupts


def swallows(number: signal.Signals) -> int:
    """Work that catches whatever a signal raises, as a library may."""
    with contextlib.suppress(BaseException):
        signal.raise_signal(number)
    return 0


def turns_into_another_error(number: signal.Signals) -> int:
    """Work in which an import that is interrupted fails."""
    try:
        signal.raise_signal(number)
    except BaseException:
        raise ImportError("numpy is damaged") from None
    return 0


class Callback:
    """Is called back where nothing can be raised."""

    def __del__(self) -> None:
        """Be interrupted."""
        signal.raise_signal(signal.SIGINT)


def called_back(number: signal.Signals) -> int:
    """Work that is interrupted in a callback; Python only prints what is raised there."""
    Callback()
    return 0


@pytest.mark.parametrize("work", [swallows, turns_into_another_error, called_back])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_whoever_catches_it(
    work: Callable[[signal.Signals], int],
    number: signal.Signals,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if work is called_back:
        number = signal.SIGINT
    before = [signal.getsignal(each) for each in interrupts.WORDS]
    code, word = (130, "interrupted") if number == signal.SIGINT else (143, "terminated")
    said = "interrupted before the search began"
    assert cli.run(lambda: work(number), said, goes_on=True) == code
    assert capsys.readouterr().err == f"{word} before the search began\n"
    assert [signal.getsignal(each) for each in interrupts.WORDS] == before


def test_nohup_stays_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert cli.run(lambda: swallows(signal.SIGHUP), goes_on=True) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        # What hangs where nothing can be raised ends with the second.
        (
            "import signal, time\nfrom facesiam import cli\n"
            "def work():\n"
            "    for _ in range(2):\n"
            "        try: signal.raise_signal(signal.SIGINT)\n"
            "        except BaseException: pass\n"
            "    time.sleep(60)\n"
            "cli.run(work)",
            "",
        ),
        # As under ``python -m``, while it imports.
        (
            "import signal, sys\nsys.argv = ['-m']\nimport search\n"
            "signal.raise_signal(signal.SIGINT)",
            "interrupted\n",
        ),
    ],
)
def test_a_process_that_is_interrupted_at_an_awkward_moment_ends(code: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (130, said)
