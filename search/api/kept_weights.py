"""The weights that a search kept of a trial: their file, fetched where the run is behind a URL."""

from __future__ import annotations

from pathlib import Path

from facesiam.errors import WeightsError
from facesiam.files import exists
from search.runs import layout


def place_of(run: Path, url: str | None, trial: str | None) -> Path:
    """Return where ``Verifier.load`` finds a net of a run: the run's folder, or a weights file.

    Args:
        run: as for ``weights_of``, as is `url`.
        url: behind one, what was trained again is only where that was done.
        trial: its id; None: the best net there is.

    Raises:
        RunError, WeightsError: as ``weights_of``.
    """
    if trial is None and url and not any(run.glob("retrain/*/seed-*/weights.pt")):
        from search.api.trial import read_trial

        trial = read_trial(run, None).name
    return run if trial is None else weights_of(run, url, trial)


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
