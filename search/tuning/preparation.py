"""From a user's options to a search that can start: checked, cheapest first, its data packed.

What is heavy (torch, pandas) is imported after the space file and the options have been checked,
so that a mistake is reported at once.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facesiam.cli import interrupts
from facesiam.config import Value
from facesiam.config.trial import packing_of
from facesiam.plugins import registry
from search.resources import validation
from search.runs.reuse import ReusableTrial, reusable_trials
from search.space import SearchSpace
from search.space.algorithms import TITLES
from search.space.effect import without_effect
from search.space.run_options import RunOptions
from search.tuning import option_checks, run_folder, warm_start
from search.tuning.asked_space import resolve
from search.tuning.warm_start import WarmStartTrial

if TYPE_CHECKING:
    from facesiam.data.dataset import FaceData
    from search.resources.allocation import Allocation, Setup
    from search.tracking.callback import Callback


@dataclass(frozen=True)
class Search:
    """A search that can start."""

    options: RunOptions
    space: SearchSpace
    setup: Setup
    data: FaceData
    reusable: Mapping[str, ReusableTrial]
    """Finished trials of earlier runs, by key, that are not run again."""
    known: Sequence[WarmStartTrial]
    """Trials of earlier runs that TPE begins with; a run that goes on has those that it began
    with."""
    inactive: Sequence[str]
    """A sentence for each pruning rule that can stop no trial of the space."""
    callbacks: Sequence[Callback] = ()
    """Are told what happens."""

    @property
    def place(self) -> str:
        """The URL of the run, or its folder as short as it can be typed here."""
        return self.setup.storage or short(self.setup.run)


def short(path: Path) -> str:
    """Return a path as short as it can be typed here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def check(options: RunOptions) -> tuple[SearchSpace, Path, str | None]:
    """Return the space, and the folder and URL of the run, as ``choose`` does.

    Raises:
        UserError: an option is wrong.
    """
    space = resolve(options)
    space, run, url = run_folder.choose(options, space)
    if options.weights:
        option_checks.check_weights(Path(options.weights))
    if options.warm_start:
        option_checks.check_warm_start(options, space, run)
    return space, run, url


def notes(options: RunOptions, space: SearchSpace) -> list[str]:
    """Return what a user should know of what the options make of a space, a line each.

    Args:
        options: of the command.
        space: as ``check`` returned it.

    Raises:
        UserError: the run of --ablate cannot be read.
    """
    if options.race and options.race.note:
        return [options.race.note]  # its settings are those of the race's finalists
    told = without_effect(space)
    if options.ablate:
        from search.tuning import ablation

        told.insert(0, ablation.told(space, options.ablate))
    return told


def prepare(
    options: RunOptions,
    space: SearchSpace,
    run: Path,
    url: str | None,
    say: Callable[[str], None] | None = print,
) -> Search:
    """Check everything that needs the machine, cheapest first; then pack the data.

    Args:
        options: of the command.
        space: the space, as the other two returned by ``check``.
        run: folder of the run.
        url: of the run, where it lies behind one.
        say: shows a line; None: nothing is shown, nor a progress bar.

    Raises:
        UserError: this machine, the data or the weights are not what the search needs.
    """
    from search.pruning.inactive_rules import cannot_act
    from search.tracking.chosen import trackers

    shown, tell = say is not None, say or _silent
    cannot_act(space)  # refuses an installation without recordings, before all else
    for line in [*_cost_of_race(options), *notes(options, space)]:
        tell(line)
    logs = trackers(options.log, space.log, options.optuna)
    setup = _setup(options, space, run, url)
    configs = list(space.examples())
    index = open_lists(options, space, run, configs, progress=shown)
    for line in index.notes:
        tell(f"data: {line}")
    space, changed = validation.with_metric(space, index)
    for line in [*validation.check_rate(space, index), *validation.check_cohort(space, index)]:
        tell(line)
    if changed:
        tell(changed)
    inactive = cannot_act(space)
    from facesiam.data.preparation import prepare

    _check_parts(space)
    weights = _pretrained(options, configs, tell)
    packings = sorted({packing_of(config) for config in configs})
    data = prepare(index.source, packings, format=index.format, progress=shown)
    setup = dataclasses.replace(setup, data=str(data.folder), weights=weights)
    reusable, known = reusable_trials(options.reuse), list[WarmStartTrial]()
    if options.warm_start and not options.resume:
        known, lines = warm_start.gather(options.warm_start, space, data.key)
        for line in lines:
            tell(line)
    return Search(options, space, setup, data, reusable, known, inactive, logs)


def _silent(line: str) -> None:
    """Show nothing."""


def _cost_of_race(options: RunOptions) -> list[str]:
    """Return a line on what a race costs; none of a search."""
    if not options.race:
        return []
    from search.analysis import raced_finalists

    return [f"a race {raced_finalists.cost_of(options.race.race, options.race.rows)}"]


def _pretrained(
    options: RunOptions, configs: Sequence[Mapping[str, Value]], tell: Callable[[str], None]
) -> dict[str, str]:
    """Return the file of pretrained weights of each net that starts from them."""
    from facesiam.nets.pretrained import find_weights

    nets = sorted({str(config["net"]) for config in configs if config["pretrained"]})
    if options.weights and not nets:
        tell(f"--weights {options.weights}: not used, no trial starts from pretrained weights")
    return {net: str(find_weights(net, options.weights)) for net in nets}


def _check_parts(space: SearchSpace) -> None:
    """Try the nets, losses and metrics that come from elsewhere.

    Raises:
        NetError: the package of a net is not installed.
        PluginError: what a plugin registers does not do what it should.
    """
    import numpy as np

    from facesiam.nets.losses import check_loss
    from facesiam.nets.trunks import check_net

    for net in space.nets():
        check_net(net)
    for loss in space.possible("loss"):
        check_loss(str(loss))
    registry.measure(np.array([0.9, 0.1, 0.2, -0.3]), np.array([True, True, False, False]))


def allocate(search: Search, say: Callable[[str], None]) -> Allocation:
    """Start Ray or join a cluster; return what each trial gets, as measured there.

    Args:
        search: the search.
        say: shows a line.

    Raises:
        DriverError: Ray does not start, the cluster is not there, or has nothing for a trial.
    """
    from search.tuning import ray_environment

    space, setup = search.space, search.setup
    unused = ray_environment.set_environment(local=not setup.address)  # before Ray reads it
    if unused:
        say(f"environment variables without effect here: {', '.join(unused)}")
    from search.resources import cost, sharing
    from search.resources.allocation import Allocation
    from search.tuning import driver, ray_cluster, ray_tasks

    ray_cluster.connect(setup.address, setup.dashboard)
    interrupts.check()
    if setup.dashboard:
        say(f"dashboard: {ray_cluster.dashboard()}")
    nodes = ray_cluster.wait_for_machines(setup.address, say)
    if setup.address and not setup.storage:
        ray_tasks.check_shared(setup.run)
    given = search.options.data or space.data
    samples = cost.samples_of(space, search.data, given == "drawn")
    at_once = sharing.measure(space, setup, nodes, samples, driver.sharing_probe(setup), say)
    interrupts.check()
    return Allocation(space, setup, nodes, at_once)


def sampler_note(search: Search, concurrent: int) -> str | None:
    """Return lines where a sampler's name means less than it says; None where it does not.

    Args:
        search: the search, whose session stands in the manifest.
        concurrent: how many trials run at once.
    """
    from search.resources.choosing import drawn_apart, who_chooses
    from search.runs import manifest

    run, space = search.setup.run, search.space
    if space.algorithm not in TITLES:
        return None
    if not search.options.resume:
        text, chosen = who_chooses(space, concurrent, len(warm_start.read(run)))
        return drawn_apart(space) if chosen else text
    if space.algorithm == "tpe" and manifest.sampler_changed(run):
        return (
            "TPE has changed since the last session of this run: from now on it chooses other "
            "trials than it would have chosen then"
        )
    return None


def _setup(options: RunOptions, space: SearchSpace, run: Path, url: str | None) -> Setup:
    """Return where and on what the search runs; refuse what no machine could give."""
    from search.resources import allocation

    setup = allocation.Setup(
        run=run,
        data="",
        address=options.address,
        concurrent=options.concurrent,
        cpus=options.cpus,
        gpus=options.gpus,
        storage=url,
        dashboard=options.dashboard,
    )
    if options.dashboard:
        option_checks.check_dashboard(options)
    if options.address:
        allocation.check_address(options.address)
    else:
        allocation.check_gpus(space, options.gpus)
        allocation.Allocation(space, setup, allocation.this_machine())
    return setup


def open_lists(
    options: RunOptions,
    space: SearchSpace,
    run: Path,
    configs: Sequence[Mapping[str, Value]],
    progress: bool = True,
) -> FaceData:
    """Open the data's lists and check what they tell, before a download or minutes of packing."""
    from facesiam.data.preparation import prepare

    given, format = options.data or space.data, options.format or space.format
    data = prepare(given, [], format=format, progress=progress)
    asked = ("protocol", "people", "pair_seed", "fold")
    for protocol, people, seed, fold in {tuple(c[name] for name in asked) for c in configs}:
        for part in ("train", "val", "test"):
            data.pairs(protocol, part, people=people, seed=seed, fold=fold)  # type: ignore[arg-type]
    if options.resume or options.race:
        of = run if options.resume else Path(options.space).parent
        run_folder.refuse_other_data(of, data.source, data.key)
    return data
