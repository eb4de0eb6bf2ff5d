"""The nets that a run kept: their model files, and what cannot be asked of them."""

from __future__ import annotations

from pathlib import Path

from facesiam.data.formats.cfp_lists import TEN_FOLD
from facesiam.storage.bucket import Bucket, is_url
from search.analysis import ranked_trials
from search.retrain.options import RetrainOptions
from search.runs import layout
from search.runs.layout import RunError


def refuse_training(options: RetrainOptions, asked: str) -> None:
    """Refuse options that only a training has.

    Args:
        options: of the command line.
        asked: the option that trains nothing.

    Raises:
        RunError: names them.
    """
    given = {
        "--seed": options.seed is not None,
        "--seeds": options.seeds > 1,
        "--epochs": options.epochs is not None,
        "--weights": options.weights is not None,
        "--threads": options.threads is not None,
        f"--protocol {TEN_FOLD}": TEN_FOLD in options.protocols,
    }
    if refused := ", ".join(name for name, is_given in given.items() if is_given):
        told = f"{asked} trains nothing: no {refused} with it"
        if TEN_FOLD in options.protocols:  # which test people that kept nets have trained on
            told += f"; --protocol {TEN_FOLD} --seeds 3 tests the mean score of three nets a fold"
        raise RunError(told)


def kept_nets(run: Path, given: str, size: int | None = None) -> dict[str, Path]:
    """Return the model files that are there of a run's best trials, the best first.

    Args:
        run: its folder.
        given: that or its URL, from which they are brought here.
        size: how many trials; None: as many as the space keeps.
    """
    trials, _ = ranked_trials.load(run)
    size = layout.space(run).keep if size is None else size
    ranked = trials[trials["rank"].notna()].sort_values("rank")["trial"].head(size)
    files = {str(trial): run / "weights" / f"{trial}.pt" for trial in ranked}
    if is_url(given):  # the folder here has all but them
        bucket = Bucket(given)
        for trial, file in files.items():
            file.parent.mkdir(exist_ok=True)
            bucket.download(f"weights/{trial}.pt", file)
    return {trial: file for trial, file in files.items() if file.is_file()}
