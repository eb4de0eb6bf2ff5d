"""Train a trial of a run again and test its best epoch: ``python -m search.retrain RUN``.

With `--protocol` it is tested on other pairs as well, cfp-10fold being CFP's own ten folds: ten
trainings. With `--ensemble N` nothing is trained: the scores of the N best trials, with the
weights that the run kept, are averaged.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from facesiam import cli
from facesiam.config import EpochMetrics, TrialConfig
from facesiam.config.settings import positive, random_seed
from facesiam.config.trial import Geometry
from facesiam.data.dataset import FaceData, cache_root, open_packed
from facesiam.data.lists import ALL_FOLDS, TEN_FOLD
from facesiam.data.preparation import is_packed, prepare
from facesiam.device.hardware import gpu_names
from facesiam.device.reproducibility import (
    Arithmetic,
    ComputeHistory,
    current_arithmetic,
    reproduce,
    torch_threads,
)
from facesiam.errors import DataError
from facesiam.evaluation import ensemble, protocols, ten_fold
from facesiam.files import own_folder
from facesiam.fingerprint import Key, keys
from facesiam.nets.pretrained import find_weights
from facesiam.objective import Objective
from facesiam.storage.bucket import Bucket, is_url
from facesiam.training.train import is_trained, train
from search.analysis import ranked_trials
from search.report import evaluation
from search.runs.journal import read_trials
from search.runs.layout import RunError, data_of, settings
from search.runs.lock import locked
from search.runs.remote import open_run


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 2 wrong input, 130 interrupted."""
    options = _parser().parse_args(argv)
    said = "interrupted; seeds that were finished are kept"
    return cli.run(lambda: _main(options), said, goes_on=True)


def _main(options: argparse.Namespace) -> int:
    tested = retrain(open_run(options.run), options, Console(stderr=True, markup=False))
    for protocol in dict.fromkeys(row["protocol"] for row in tested):
        evaluation.print_table([row for row in tested if row["protocol"] == protocol])
    return 0


def retrain(run: Path, options: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Train the chosen trial once per seed, and test each net.

    A seed that is done, of the same settings, data, weights and code, is not trained again.

    Args:
        run: its folder.
        options: of the command line.
        console: for progress.

    Returns:
        The figures of each test, as in test.json; those of the ten folds are printed only.

    Raises:
        RunError: no such run or trial.
        DataError: the data is missing or is not what the run was made with.
        WeightsError: pretrained weights are not available.
        ConfigError: --epochs or --seed out of bounds.
        JournalError: another command is training the same.
    """
    if options.folds and TEN_FOLD not in (options.protocol or ()):
        raise RunError(f"--folds is of --protocol {TEN_FOLD}")
    if options.ensemble:
        return _ensemble(run, options, console)
    trial = choose(run, options.trial, options.rank)
    ones = _configs(settings(run)[trial], options)
    data = _data(run, options.data, [ones[0].geometry])
    weights: dict[str, str] = {}
    if ones[0].pretrained:
        weights = {ones[0].net: str(find_weights(ones[0].net, options.weights))}
    now, said = _as_it_ran(read_trials(run)[trial].get("ran") or (), ones[0], options.threads)
    console.print(f"trial {trial}: {said}", highlight=False)
    resolved = {"precision": now.precision}
    ones = [TrialConfig.from_dict({**one.to_dict(), **resolved}) for one in ones]
    key = keys(data.key, weights, now.device, lambda net: now.threads)
    with torch_threads(now.threads):
        return _train_and_test(run, trial, ones, data, weights, key, options, console)


def _as_it_ran(
    ran: ComputeHistory, config: TrialConfig, threads: int | None
) -> tuple[Arithmetic, str]:
    """Return the arithmetic to train with, that of the trial if possible, and a sentence on it."""
    now = current_arithmetic(
        config.net, config.precision, "cuda" if gpu_names() else "cpu", threads
    )
    now, why = reproduce(ran, now, 0, threads)
    said = f"trained with {now.describe()}"
    if not ran:
        return now, f"{said}; what it ran with was not recorded"
    if len(ran) > 1:
        return now, (
            f"{said}; what it ran with changed at its epoch {ran[1]['epoch']}, so this gives "
            "another net"
        )
    return now, f"it {why}, which gives another net" if why else f"{said}, as it ran"


def _train_and_test(
    run: Path,
    trial: str,
    ones: Sequence[TrialConfig],
    data: FaceData,
    weights: Mapping[str, str],
    key: Key,
    options: argparse.Namespace,
    console: Console,
) -> list[dict[str, Any]]:
    """Train each seed that is not done, and test it on every protocol of the options."""
    asked = list(dict.fromkeys(options.protocol or [ones[0].protocol]))
    fixed = [protocol for protocol in asked if protocol != TEN_FOLD]
    objective, tested, place = ranked_trials.objective(run), [], own_folder(run, "retrain", trial)

    def train_into(one: TrialConfig, folder: Path) -> None:
        with locked(folder):
            if is_trained(folder, key(one.to_dict())):
                return  # by another command, since this one looked
            _train(one, data, weights, folder, console, objective, key(one.to_dict()))

    for one in ones:
        folder = own_folder(place, f"seed-{one.seed}")
        if fixed:
            if is_trained(folder, key(one.to_dict())):
                console.print(f"seed {one.seed}: trained before", highlight=False)
            else:
                train_into(one, folder)
            tested += [protocols.test(trial, one, data, folder, protocol) for protocol in fixed]
        if TEN_FOLD in asked:
            folder = own_folder(place, TEN_FOLD, f"seed-{one.seed}")
            summary = ten_fold.ten_folds(
                trial,
                one,
                data,
                folder,
                train_into,
                options.folds or tuple(ALL_FOLDS),
                lambda line: console.print(line, highlight=False),
                key,
            )
            print(evaluation.folds(summary))
        console.print(f"wrote {folder}", highlight=False)
    return tested


def _configs(config: TrialConfig, options: argparse.Namespace) -> list[TrialConfig]:
    """Return the settings to train, a seed each; invalid ones are refused before it starts."""
    if options.epochs is not None:
        config = dataclasses.replace(config, epochs=options.epochs)
    if TEN_FOLD in (options.protocol or ()):
        dataclasses.replace(config, fold=1)
    first = config.seed if options.seed is None else options.seed
    return [dataclasses.replace(config, seed=first + n) for n in range(options.seeds)]


def _ensemble(run: Path, options: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Test the mean score of the best trials, with the weights that the run kept."""
    given = {
        "--seed": options.seed is not None,
        "--seeds": options.seeds > 1,
        "--epochs": options.epochs is not None,
        "--weights": options.weights is not None,
        "--threads": options.threads is not None,
        f"--protocol {TEN_FOLD}": TEN_FOLD in (options.protocol or ()),
    }
    if refused := ", ".join(name for name, is_given in given.items() if is_given):
        raise RunError(f"--ensemble trains nothing: no {refused} with it")
    trials, _ = ranked_trials.load(run)
    ranked = trials[trials["rank"].notna()].sort_values("rank")["trial"].head(options.ensemble)
    files = {str(trial): run / "weights" / f"{trial}.pt" for trial in ranked}
    if is_url(options.run):  # the folder here has all but them
        bucket = Bucket(options.run)
        for trial, file in files.items():
            file.parent.mkdir(exist_ok=True)
            bucket.download(f"weights/{trial}.pt", file)
    there = sum(file.is_file() for file in files.values())
    if there < options.ensemble:
        raise RunError(
            f"{run}: --ensemble {options.ensemble} needs the weights of as many of its best "
            f"trials, and {there} are there; a space's `keep` says how many a run keeps"
        )
    configs = settings(run)
    known = [configs[trial] for trial in files]
    data = _data(run, options.data, sorted({config.geometry for config in known}))
    name = f"ensemble-{len(files)}"
    folder = own_folder(run, "retrain", name, "seed-0")
    tested = [
        ensemble.ensemble(name, files, data, folder, protocol)
        for protocol in dict.fromkeys(options.protocol or [known[0].protocol])
    ]
    console.print(f"wrote {folder}", highlight=False)
    return tested


def choose(run: Path, trial: str | None, rank: int) -> str:
    """Return the id of the trial that was named, or of the one at `rank`.

    Raises:
        RunError: there is none.
    """
    trials, _ = ranked_trials.load(run)
    if trial is not None:
        if trial not in set(trials["trial"]):
            known = ", ".join(trials["trial"].head(8))
            raise RunError(f"{run}: no trial {trial}; it has {known}")
        return trial
    ranked = trials[trials["rank"] == rank]
    if ranked.empty:
        most = int(trials["rank"].max()) if trials["rank"].notna().any() else 0
        raise RunError(f"{run}: no trial of rank {rank}; {most} trials have a rank")
    return str(ranked["trial"].iloc[0])


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

        def show(metrics: EpochMetrics) -> None:
            """Show an epoch that has ended."""
            score = f"{objective.metric} {getattr(metrics, objective.metric):.4f}"
            progress.update(task, advance=1, score=score)
            if not console.is_terminal:
                line = f"seed {config.seed} epoch {metrics.epoch}: {score}"
                console.print(line, highlight=False)

        train(config, data, weights, folder, objective, key, show)


def _data(run: Path, given: str | None, geometries: Sequence[Geometry]) -> FaceData:
    """Open the run's data, packed already or from `given`; refuse other data."""
    source, key = data_of(run)
    packed = cache_root() / key
    if given is None and is_packed(packed, geometries):
        return open_packed(packed)
    data = prepare(given or source, [])  # packs nothing yet: it may be refused
    if data.key != key:
        raise DataError(
            f"{given or source}: not the data that {run} was made with "
            f"(content {data.key[:12]}, the run has {key[:12]})"
        )
    return prepare(given or source, geometries)


def _folds(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not set(numbers) <= set(map(str, ALL_FOLDS)):
        raise argparse.ArgumentTypeError(f"must be numbers from 1 to 10 as in 1,2, got {text}")
    return tuple(dict.fromkeys(int(n) for n in numbers))


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(prog=cli.program("search.retrain"), description=__doc__)
    parser.add_argument("run", help="run folder, such as ray_results/code2")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--rank", type=positive, default=1, help="place in the table (1)")
    which.add_argument("--trial", help="id of the trial, instead of its rank")
    which.add_argument(
        "--ensemble",
        type=positive,
        metavar="N",
        help="the mean score of the N best trials, with the weights that the run kept; 1: the "
        "best one's own",
    )
    parser.add_argument(
        "--seeds",
        type=positive,
        default=1,
        help="how many, from its own (1); those that are done are not trained again",
    )
    parser.add_argument("--seed", type=random_seed, help="the first of them, instead of its own")
    parser.add_argument("--epochs", type=positive, help="epochs, instead of the trial's own")
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="threads of torch, instead of those that the trial ran with; another number of them "
        "gives another net",
    )
    parser.add_argument(
        "--protocol",
        action="append",
        choices=protocols.PROTOCOLS,
        metavar="NAME",
        help=f"test on these pairs: {', '.join(protocols.PROTOCOLS)}; more than once for several "
        "(the trial's own)",
    )
    parser.add_argument(
        "--folds",
        type=_folds,
        metavar="N,…",
        help="which of the ten folds (all); those that are done are not trained again",
    )
    parser.add_argument("--data", help="the run's data, if it has moved")
    parser.add_argument("--weights", help="file or folder with pretrained weights")
    return parser


if __name__ == "__main__":
    sys.exit(main())
