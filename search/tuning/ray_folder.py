"""The folder within a run that has Ray's own files: private, and without secrets at the end."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from facesiam.errors import masked
from facesiam.files import write_text

_PROCESSES = re.compile(r"^Top \d+ memory users:.*?(?=^Refer to|\Z)", re.DOTALL | re.MULTILINE)
"""What Ray writes of a worker that its memory monitor has ended: the command lines of the
machine's largest processes, whosever they are."""


def make(run: Path, url: str | None) -> None:
    """Make a folder for Ray's files that nobody else can enter.

    The files hold the trials' configs, and so the URL of a run, with its key and secret if any.

    Args:
        run: folder of the run.
        url: of the run, where it lies behind one.
    """
    folder = run / "ray"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    remove_secrets(run, url)  # those of a session that was killed


def remove_secrets(run: Path, url: str | None) -> None:
    """Remove from Ray's files what may be a secret: nothing here reads them again.

    These are its copies of the trials' configs, where they hold one, and the command lines of
    other processes. The arguments are those of ``make``.
    """
    _remove_command_lines(run / "ray")
    if url is None or masked(url) == url:
        return
    for pattern in ("experiment_state-*", "search_gen_state-*", "searcher-state-*", "tuner.pkl"):
        for file in (run / "ray").glob(f"session*/{pattern}"):
            with suppress(OSError):
                file.unlink()


def _remove_command_lines(folder: Path) -> None:
    """Remove the command lines from the errors of trials."""
    for file in folder.glob("session*/*/error.txt"):
        with suppress(OSError):
            text = file.read_text(errors="replace")
            if (kept := _PROCESSES.sub("", text)) != text:
                file.with_suffix(".pkl").unlink(missing_ok=True)  # the same error
                write_text(file, kept)
