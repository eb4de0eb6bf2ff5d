"""A trial trained again, once per seed, and each net tested."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from facesiam.cli.terminal import WHOLE, columns, fitted
from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.data.formats.cfp_lists import KINDS, TEN_FOLD
from facesiam.data.protocol_checks import check_protocol
from facesiam.data.split import ALL_FOLDS
from facesiam.device.reproducibility import emulation, torch_threads
from facesiam.errors import counted
from facesiam.evaluation import protocols, ten_fold
from facesiam.files import own_folder, read_object
from facesiam.fingerprint import Key, keys
from facesiam.nets.pretrained import find_weights
from facesiam.objective import Objective
from facesiam.plugins import registry
from facesiam.training.train import is_trained, train
from search.analysis import ranked_trials
from search.report.ten_folds import print_folds
from search.retrain.data import open_data
from search.retrain.options import RetrainOptions
from search.retrain.repeated import as_it_ran, code_changed, compared
from search.runs.journal import read_trials
from search.runs.layout import RunError, data_of, read, settings
from search.runs.lock import locked
from search.tuning.tensorboard import TensorBoard


def retrain(run: Path, options: RetrainOptions, console: Console) -> list[dict[str, Any]]:
    """Train the chosen trial once per seed, and test each net.

    A seed that is done, of the same settings, data, weights and code, is not trained again.

    Args:
        run: its folder.
        options: of the command line.
        console: for progress.

    Returns:
        The figures of each test, as in test.json; of the ten folds, the lines of ``fold_rows``.

    Raises:
        RunError: no such run or trial.
        PluginError: a plugin of the run was not given.
        DataError: the data is missing, is not what the run was made with, or has no pairs of a
            protocol that is asked for.
        WeightsError: pretrained weights are not available.
        ConfigError: --epochs or --seed out of bounds.
        JournalError: another command is training the same.
    """
    trial = ranked_trials.choose(run, options.trial, options.rank)
    source, _, format = data_of(run)
    for protocol in options.protocols:
        check_protocol(protocol, format, options.data or source)
    own = settings(run)[trial]
    ones = _configs(own, options)
    registry.need(ones[0].net, ones[0].loss, ranked_trials.objective(run).metric)
    data = open_data(run, options.data, [ones[0].packing])
    weights: dict[str, str] = {}
    if ones[0].pretrained:
        weights = {ones[0].net: str(find_weights(ones[0].net, options.weights))}
    line = read_trials(run)[trial]
    now, said = as_it_ran(line.get("ran") or (), ones[0], options.threads)
    key = keys(data.key, weights, now.device, lambda net: now.threads)
    notes = [said, emulation(now), _other_epochs(ones[0], own), code_changed(line, own, key)]
    for note in filter(None, notes):
        console.print(f"trial {trial}: {note}", highlight=False)
    resolved = {"precision": now.precision}
    ones = [TrialConfig.from_dict({**one.to_dict(), **resolved}) for one in ones]
    with torch_threads(now.threads):
        tested, folds = _train_and_test(run, trial, ones, data, weights, key, options, console)
    if tested and options.epochs is None and own.seed in [one.seed for one in ones]:
        _compare(run, trial, own.seed, console)
    TensorBoard(run / "tensorboard").tested(tested)
    return tested + folds


def _other_epochs(asked: TrialConfig, own: TrialConfig) -> str:
    """Return a sentence where a trial is trained for other epochs than in the search; "" else."""
    if asked.epochs == own.epochs:
        return ""
    planned = counted(asked.epochs, "epoch")
    return f"{planned} in place of the search's {own.epochs}, which gives another net"


def _train_and_test(
    run: Path,
    trial: str,
    ones: Sequence[TrialConfig],
    data: FaceData,
    weights: Mapping[str, str],
    key: Key,
    options: RetrainOptions,
    console: Console,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Train each seed that is not done; return its tests, and its ``fold_rows``."""
    asked = list(dict.fromkeys(options.protocols or [ones[0].protocol]))
    fixed = [protocol for protocol in asked if protocol != TEN_FOLD]
    objective, place = ranked_trials.objective(run), own_folder(run, "retrain", trial)
    tested, folds = list[dict[str, Any]](), list[dict[str, Any]]()
    said = functools.partial(console.print, highlight=False)

    def train_into(one: TrialConfig, folder: Path) -> None:
        with locked(folder):
            if folder.is_relative_to(place / TEN_FOLD):
                _drop_means(place / TEN_FOLD, one.seed, folder)
            if is_trained(folder, key(one.to_dict())):
                return  # by another command, since this one looked; or only its test is old
            _train(one, data, weights, folder, console, objective, key(one.to_dict()))

    for one in ones:
        folder = own_folder(place, f"seed-{one.seed}")
        if fixed:
            if is_trained(folder, key(one.to_dict())):
                said(f"seed {one.seed}: trained before")
            else:
                train_into(one, folder)
            tested += [
                protocols.test(trial, one, data, folder, protocol, options.far)
                for protocol in fixed
            ]
        if TEN_FOLD in asked:
            folder = own_folder(place, TEN_FOLD, f"seed-{one.seed}")
            numbers = options.folds or tuple(ALL_FOLDS)
            summary = ten_fold.ten_folds(trial, one, data, folder, train_into, numbers, said, key)
            print_folds(summary)
            folds += fold_rows(summary, folder)
        said(f"wrote {folder}")
    if TEN_FOLD in asked and len(ones) > 1:
        print_folds(ten_fold.folds_of_seeds(trial, ones, data, place / TEN_FOLD, key))
    return tested, folds


def _compare(run: Path, trial: str, seed: int, console: Console) -> None:
    """Say whether the training with the search's own seed gave the numbers of the search."""
    curve = run / "retrain" / trial / f"seed-{seed}" / "epochs.csv"
    if curve.exists():
        said = compared(curve, read(run)[2].get(trial, []), ranked_trials.objective(run))
        said = fitted(f"seed {seed}: {said}", columns(WHOLE))
        console.print(said, highlight=False, soft_wrap=True)


def _drop_means(place: Path, seed: int, fold: Path) -> None:
    """Remove the tables of several seeds' mean that a fold's net has part in, if it had one."""
    if not (fold / "weights.pt").exists():
        return
    for table in place.glob("seeds-*/folds.json"):
        if str(seed) in table.parent.name.split("-")[1:]:
            table.unlink(missing_ok=True)


def fold_rows(summary: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Return the figures of each of the ten folds that is done, one for each kind of pairs.

    Args:
        summary: what ``ten_fold.ten_folds`` returned.
        folder: that it wrote into.
    """
    rows = []
    for number in summary["folds"]:
        fold = read_object(folder / f"fold-{number:02d}" / "fold.json")
        about = {"trial": summary["trial"], "protocol": TEN_FOLD, "seed": summary["seed"]}
        about |= {"epoch": fold["epoch"], "fold": number}
        rows += [{**about, "pairs": kind, **fold[kind]} for kind in KINDS]
    return rows


def _configs(config: TrialConfig, options: RetrainOptions) -> list[TrialConfig]:
    """Return the settings to train, a seed each; invalid ones are refused before it starts."""
    if options.epochs is not None:
        config = dataclasses.replace(config, epochs=options.epochs)
    if TEN_FOLD in options.protocols:
        if config.people:
            raise RunError(
                f"--protocol {TEN_FOLD}: its folds have all people, and the trial is of a search "
                f"with people: {config.people}; retrain one of a search without `people`"
            )
        dataclasses.replace(config, fold=1)
    first = config.seed if options.seed is None else options.seed
    return [dataclasses.replace(config, seed=first + n) for n in range(options.seeds)]


def _train(
    config: TrialConfig,
    data: FaceData,
    weights: Mapping[str, str],
    folder: Path,
    console: Console,
    objective: Objective,
    key: str,
) -> None:
    """Train as ``train``, with a progress bar, or a line an epoch without a terminal."""
    columns = (
        TextColumn("seed {task.fields[seed]}  epoch {task.completed}/{task.total}"),
        BarColumn(),
        TextColumn("{task.fields[score]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=config.epochs, seed=config.seed, score="")

        def show(metrics: Mapping[str, Any]) -> None:
            """Show an epoch that has ended."""
            value = objective.shown(metrics[objective.metric])
            score = f"{objective.metric} {value}{objective.unit}"
            progress.update(task, completed=metrics["epoch"] + 1, score=score)
            if not console.is_terminal:
                say(f"epoch {metrics['epoch']}: {score}")

        def say(line: str) -> None:
            """Say something of this seed's training."""
            console.print(f"seed {config.seed} {line}", highlight=False)

        train(config, data, weights, folder, objective, key, show, say)
