"""The folder within a run that has Ray's own files: private, and without secrets at the end."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from facesiam.errors import masked


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
    """Remove Ray's copies of the trials' configs where they hold a secret.

    Only Ray's restore reads them, which is not used here. The arguments are those of ``make``.
    """
    if url is None or masked(url) == url:
        return
    for pattern in ("experiment_state-*", "search_gen_state-*", "searcher-state-*", "tuner.pkl"):
        for file in (run / "ray").glob(f"session*/{pattern}"):
            with suppress(OSError):
                file.unlink()
