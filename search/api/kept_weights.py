"""The weights that a search kept of a trial: their file, fetched where the run is behind a URL."""

from __future__ import annotations

from pathlib import Path

from facesiam.errors import WeightsError
from facesiam.files import exists
from search.runs import layout


def weights_of(run: Path, url: str | None, trial: str) -> Path:
    """Return the file with the weights that the search kept of a trial.

    Args:
        run: its folder.
        url: where it lies, where that is not its folder.
        trial: its id.

    Raises:
        RunError: there is no such trial.
        WeightsError: the search has kept none of it.
    """
    file = run / "weights" / f"{trial}.pt"
    if url or not exists(file):
        from search.analysis import ranked_trials

        ranked_trials.choose(run, trial, 1)
    if url:
        from facesiam.storage.bucket import Bucket

        file.parent.mkdir(exist_ok=True)
        Bucket(url).download(f"weights/{file.name}", file)
    if not exists(file):
        raise WeightsError(
            f"{run}: no weights of trial {trial} are kept (keep: {layout.space(run).keep}); "
            f"run.retrain(trial={trial!r}) trains it again"
        )
    return file
