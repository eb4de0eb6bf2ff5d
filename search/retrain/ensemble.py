"""An ensemble of a run's best trials, tested with the weights that the run kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from facesiam.device.reproducibility import torch_threads
from facesiam.evaluation import ensemble
from facesiam.files import own_folder
from search.retrain.data import open_data
from search.retrain.kept_nets import kept_nets, refuse_training
from search.retrain.options import RetrainOptions
from search.retrain.repeated import as_it_ran
from search.runs.journal import read_trials
from search.runs.layout import RunError, settings
from search.tuning.tensorboard import TensorBoard


def evaluate(run: Path, options: RetrainOptions, console: Console) -> list[dict[str, Any]]:
    """Test the mean score of the best trials, with the weights that the run kept.

    Args:
        run: its folder.
        options: of the command line, with the size of the ensemble.
        console: gets the path of what is written.

    Returns:
        The figures of each protocol's test.

    Raises:
        RunError: an option that only a training has, or too few weights.
        DataError: as ``open_data``.
    """
    refuse_training(options, "--ensemble")
    size = options.ensemble or 0
    files = kept_nets(run, options.run, size)
    if len(files) < size:
        raise RunError(
            f"{run}: --ensemble {size} needs the weights of as many of its best "
            f"trials, and {len(files)} are there; a space's `keep` says how many a run keeps"
        )
    configs = settings(run)
    known = [configs[trial] for trial in files]
    data = open_data(run, options.data, sorted({config.packing for config in known}))
    name = f"ensemble-{len(files)}"
    folder = own_folder(run, "retrain", name, "seed-0")
    ran = read_trials(run)[next(iter(files))].get("ran") or ()
    now, _ = as_it_ran(ran, known[0], None)
    with torch_threads(now.threads):  # the best one's: alone it is judged as the search did
        tested = [
            ensemble.ensemble(name, files, data, folder, protocol, options.far)
            for protocol in dict.fromkeys(options.protocols or [known[0].protocol])
        ]
    TensorBoard(run / "tensorboard").tested(tested)
    console.print(f"wrote {folder}", highlight=False)
    return tested
