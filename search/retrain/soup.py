"""A greedy soup of a run's kept nets: made as one net, and tested."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from facesiam.config import TrialConfig
from facesiam.config.metrics import ENDS
from facesiam.device.reproducibility import torch_threads
from facesiam.evaluation import protocols
from facesiam.files import own_folder, write_text
from facesiam.nets.checkpoint import epoch_of, save_model
from facesiam.objective import Objective
from facesiam.plugins import registry
from facesiam.training.soup import Soup, greedy_soup
from search.analysis import ranked_trials
from search.analysis.formatting import interval
from search.analysis.kept_tests import SOUP
from search.pruning import significance
from search.pruning.significance import NOISY
from search.retrain.data import open_data
from search.retrain.kept_nets import kept_nets, refuse_training
from search.retrain.options import RetrainOptions
from search.retrain.repeated import as_it_ran
from search.runs.journal import read_trials
from search.runs.layout import RunError, settings
from search.tuning.tensorboard import TensorBoard

SAME = ("net", "join", "hidden", "embedding", "input_scale", "pretrained")
"""Settings of the architecture, which the nets of a soup have in common."""
SAME_PAIRS = (
    "protocol",
    "fold",
    "people",
    "views",
    "pair_seed",
    "align",
    "image_size",
    "packed_size",
)
"""Settings of the images and pairs that they are trained and judged on; in common too."""
OF_TRAINING = ("train_acc", "train_loss")
"""Metrics of the training's own batches, which no net has that is not trained."""


def evaluate(run: Path, options: RetrainOptions, console: Console) -> list[dict[str, Any]]:
    """Make the soup of the nets that a run kept, and test it.

    Args:
        run: its folder.
        options: of the command line.
        console: for what is added, and for the path of what is written.

    Returns:
        The figures of each protocol's test.

    Raises:
        RunError: an option that only a training has, or fewer than two nets that go together.
        PluginError: the plugin of the run's metric was not given.
        DataError: as ``open_data``, ``greedy_soup`` and ``protocols.test``.
    """
    refuse_training(options, "--soup")
    files = _of_one_kind(run, kept_nets(run, options.run), console)
    first = next(iter(files))
    config = settings(run)[first]
    objective = ranked_trials.objective(run)
    if objective.metric in OF_TRAINING:
        said = f"validated by val_acc: {objective.metric} is measured in training only"
        console.print(said, highlight=False)
        objective = Objective()
    registry.need(config.net, config.loss, objective.metric)
    data = open_data(run, options.data, [config.packing])
    now, _ = as_it_ran(read_trials(run)[first].get("ran") or (), config, None)

    pairs = len(np.unique(data.distinct(data.pairs_of(config, "val"))))

    def show(trial: str, scores: Mapping[str, float], added: bool) -> None:
        """Say what came of adding a net."""
        what = "added" if added else "left out"
        said = f"with {trial} {_said(objective, scores, pairs)}: {what}"
        console.print(said, highlight=False, soft_wrap=True)

    with torch_threads(now.threads):  # as the best one ran
        soup = greedy_soup(files, data, objective, show)
        folder = own_folder(run, "retrain", SOUP, f"seed-{soup.config.seed}")
        _write(folder, soup, files[first], objective, data.key)
        tested = [
            protocols.test(SOUP, soup.config, data, folder, protocol, options.far)
            for protocol in dict.fromkeys(options.protocols or [soup.config.protocol])
        ]
    TensorBoard(run / "tensorboard").tested(tested)
    scored = _said(objective, soup.scores, pairs)
    said = f"a soup of {' and '.join(soup.members)}: {scored}"
    console.print(f"{said}; wrote {folder}", highlight=False, soft_wrap=True)
    return tested


def _said(objective: Objective, scores: Mapping[str, float], pairs: int) -> str:
    """Return a score with its metric, and its 95 % interval where the metric has one.

    Args:
        objective: what decides.
        scores: by metric, with the ends of the interval where a validation measures them.
        pairs: number of validation pairs, those of the same two pictures counted once.
    """
    name, score = objective.metric, scores[objective.metric]
    if name in ENDS:
        low, high = (scores[end] for end in ENDS[name])
    elif name in NOISY:
        low, high = significance.interval(name, score, pairs)
    else:
        shown = f"{100 * score:.2f}" if objective.unit else objective.shown(score)
        return f"{name} {shown}{objective.unit}"
    if objective.unit:  # to a hundredth of a percent, a pair of 10,000
        shown = f"{interval(score, low, high, 2)}{objective.unit}"
    else:
        shown = f"{objective.shown(score)} [{objective.shown(low)}, {objective.shown(high)}]"
    return f"{name} {shown}"


def _of_one_kind(run: Path, files: Mapping[str, Path], console: Console) -> dict[str, Path]:
    """Return the nets that go with the best one; say of the others why they do not.

    Raises:
        RunError: no other does.
    """
    if len(files) < 2:
        raise RunError(
            f"{run}: --soup needs the weights of two of its best trials or more, and {len(files)} "
            "are there; a space's `keep` says how many a run keeps"
        )
    configs = settings(run)
    first = next(iter(files))
    told = {trial: _differs(configs[first], configs[trial]) for trial in files}
    out = [f"{trial}: {why}, of {first} it is {own}" for trial, (why, own) in told.items() if why]
    fit = {trial: file for trial, file in files.items() if not told[trial][0]}
    if len(fit) < 2:
        raise RunError(
            f"{run}: --soup averages the weights of nets of one architecture on the same pairs, "
            f"and no other kept net goes with the best ({'; '.join(out)})"
        )
    for line in out:
        console.print(f"left out {line}", highlight=False)
    return fit


def _differs(best: TrialConfig, other: TrialConfig) -> tuple[str, str]:
    """Return the first setting that keeps a net out of the best one's soup, and the best's value.

    Both "" where there is none.
    """
    mine, theirs = best.to_dict(), other.to_dict()
    for name in SAME + SAME_PAIRS:
        if mine[name] != theirs[name]:
            return f"{name} is {theirs[name]}", str(mine[name])
    return "", ""


def _write(folder: Path, soup: Soup, best: Path, objective: Objective, data: str) -> None:
    """Write the net and how it came about; what an earlier soup left there goes first."""
    for name in ("weights.pt", "test*.json", "scores*.csv", "soup.json"):
        for file in folder.glob(name):
            file.unlink()
    save_model(
        folder / "weights.pt",
        soup.weights,
        soup.config,
        epoch=epoch_of(best),
        data=data,
        **{**soup.scores, **objective.noted(soup.scores[objective.metric])},
    )
    chosen = {"members": soup.members, "metric": objective.metric, "mode": objective.mode}
    made = {**chosen, **soup.scores, "tried": soup.tried}
    write_text(folder / "soup.json", json.dumps(made, indent=1) + "\n")
