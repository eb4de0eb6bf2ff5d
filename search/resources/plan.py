"""The plan of a search, which ``search.run --dry-run`` prints before anything starts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facesiam.cli.terminal import doing, folded
from facesiam.errors import counted
from search.pruning.halving import Halving
from search.pruning.inactive_rules import cannot_act
from search.pruning.schedule_progress import family
from search.resources import cost, sharing, validation
from search.resources.allocation import Allocation, Setup, this_machine
from search.resources.choosing import drawn_apart, first_tried, who_chooses
from search.space import SearchSpace
from search.space.algorithms import TITLES
from search.space.file_dump import dump
from search.space.prune import UNCERTAIN
from search.space.run_options import RunOptions

if TYPE_CHECKING:
    from facesiam.data.dataset import FaceData


def describe(
    space: SearchSpace,
    out: Path,
    options: RunOptions,
    width: int | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return the plan of a search as text: what would run, with what, for how long.

    Args:
        space: what is searched.
        out: folder with earlier runs, whose epochs say how long one takes.
        options: of the command line.
        width: columns that the lines fit; None: any.
        notes: lines on what the options made of the space.
    """
    inactive = cannot_act(space)
    if space.algorithm == "rows":  # of the rest nothing is run, and rows run to their end
        prune = space.prune | dict.fromkeys(UNCERTAIN, False)
        space = replace(space, search={}, trials=len(space.rows), prune=prune)
        distinct = [json.dumps(space.row_settings(id), sort_keys=True) for id in space.rows]
        size: int | None = len(set(distinct))
    else:
        size = space.size()
    count = space.count()
    text = [*notes, *_counts(space, size, count)]
    text += [line for line in (first_tried(space), drawn_apart(space), _race(space)) if line]
    text += [f"rule {line}" for line in inactive]
    text += [line] if (line := _rungs(space)) else []
    data = _open_data(options.data or space.data, options.format or space.format)
    drawn = (options.data or space.data) == "drawn"
    samples = cost.samples_of(space, data, drawn)
    doing("looking at this machine")  # this imports torch, and the weights torchvision
    resources, at_once = _resources(space, options, samples)
    text += resources
    if space.algorithm in TITLES:
        text.append(who_chooses(space, at_once)[0])
    text += _data_lines(space, options.data or space.data, data)
    doing("looking for pretrained weights")
    text += _weights(space, options.weights)
    text.append(cost.estimate(space, out, count or size, samples))
    if space.finalists:
        trainings = _raced(space) * space.finalists.seeds
        text.append(cost.of_race(space, out, trainings, samples))
    lines = text if width is None else [folded(line, width, rest="  ") for line in text]
    shown = replace(space, data=options.data or space.data, format=options.format or space.format)
    return "\n".join([dump(shown, width).rstrip(), "", *lines])


def _counts(space: SearchSpace, size: int | None, count: int | None) -> list[str]:
    """Say how many configurations there are, and how many of them are tried; None: no end."""
    trials = "until the space is exhausted" if count is None else str(count)
    if space.uses("trials") and count is not None and count < space.trials:
        trials += f", as there are no more configurations ({space.trials} were asked for)"
    return [
        f"distinct configurations: {'infinitely many' if size is None else size}",
        f"algorithm: {space.algorithm}, trials: {trials}",
    ]


def _race(space: SearchSpace) -> str:
    """Say what the race costs that a space is, or that it asks for at its end; "" of none."""
    from search.analysis import raced_finalists  # it imports pandas

    if space.race:
        return f"a race {raced_finalists.cost_of(space.race, space.rows)}"
    if not (terms := space.finalists):
        return ""
    top = _raced(space)
    epochs = [int(value) for value in space.possible("epochs")]
    fewest, most = top * min(2, terms.seeds), top * terms.seeds
    cost_of = raced_finalists.bounded(fewest, most, fewest * min(epochs), most * max(epochs))
    return (
        f"then the best {top} are trained again with up to {terms.seeds} further seeds: {cost_of}"
    )


def _raced(space: SearchSpace) -> int:
    """Return how many trials the race at a search's end takes, at most."""
    assert space.finalists
    return min(space.finalists.top, space.count() or space.finalists.top)


def _rungs(space: SearchSpace) -> str:
    """Say after which epochs `halving` compares trials and how many go on; "" without it."""
    if not space.prune["halving"]:
        return ""
    halving, examples = Halving(space), list(space.examples())
    longest = max(examples, key=lambda config: int(config["epochs"]))
    if not (pauses := halving.pauses(longest)):
        return ""
    shorter = any(halving.pauses(config) != pauses for config in examples)
    others = " (others at the same shares of theirs)" * shorter
    if len({family(config) for config in examples}) > 1:
        on = f"one in {halving.factor:g} goes on from each, each schedule apart"
    else:
        number = halving.expected
        places = [f"{halving.places_beyond(rung, number):,}" for rung in range(len(pauses))]
        on = f"of {counted(number, 'trial')} {_and(places)} go on"
    epochs = counted(int(longest["epochs"]), "epoch")
    return f"halving compares trials after {_and(map(str, pauses))} of {epochs}{others}: {on}"


def _and(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _open_data(given: str | None, format: str | None) -> FaceData | None:
    """Open the lists of the data that a run would take; nothing is packed.

    Returns:
        The data; None: there are none yet, or they would first have to be drawn.

    Raises:
        DataError: they are not there, or cannot be used.
    """
    from facesiam.data.dataset import cache_root
    from facesiam.data.preparation import ARCHIVE, prepare

    spec = given or os.environ.get("FACESIAM_DATA")
    if spec == "drawn" or (spec is None and not (cache_root() / ARCHIVE).exists()):
        return None
    return prepare(spec, [], format=format, progress=False)


def _data_lines(space: SearchSpace, given: str | None, data: FaceData | None) -> list[str]:
    """Name the data that a run would take, and say what their validation pairs can tell."""
    if data is None:
        spec = given or os.environ.get("FACESIAM_DATA")
        return [f"data: {spec or 'none: the start needs --data'}"]
    people = len(set(data.person.tolist()))
    text = [
        f"data: {data.source} ({data.format}: {counted(people, 'person', 'people')}, "
        f"{counted(len(data.names), 'image')})",
        *(f"data: {note}" for note in data.notes),
    ]
    text += [*validation.precision(space, data), *validation.check_rate(space, data)]
    text += validation.check_cohort(space, data)
    _, changed = validation.with_metric(space, data)
    return [*text, changed] if changed else text


def _weights(space: SearchSpace, given: str | None) -> list[str]:
    """Say where the pretrained weights are that a run would take; nothing is downloaded.

    Raises:
        WeightsError: there are none where they have to be.
    """
    nets = sorted({str(config["net"]) for config in space.examples() if config["pretrained"]})
    if not nets:
        return []
    from facesiam.nets.pretrained import place_of_weights

    places = {net: place_of_weights(net, given) for net in nets}
    missing = [net for net, place in places.items() if not place.is_file()]
    here = [f"{net} {place}" for net, place in places.items() if place.is_file()]
    if missing:
        here.append(f"not here, so the start has to download them: {', '.join(missing)}")
    return [f"pretrained weights: {'; '.join(here)}"]


def _resources(
    space: SearchSpace, options: RunOptions, samples: cost.Samples
) -> tuple[list[str], int | None]:
    """Say what each trial gets, here or on a cluster, which is not asked for its machines.

    Returns:
        Lines, and how many trials run at once, where that is known.
    """
    number: int | None = None
    if options.address:
        shares = {net: space.resources.for_net(net) for net in space.nets()}
        at_once = f"as many at once as fit on {options.address}"
    else:
        given = {name: getattr(options, name) for name in ("cpus", "gpus", "concurrent")}
        setup = Setup(Path(), "", **given)
        here = Allocation(space, setup, this_machine())
        shares = {net: here.of(net) for net in space.nets()}
        number = here.concurrent
        at_once = f"{number} at once on this machine"
        if open_ := sharing.nets_to_measure(space, setup, this_machine(), samples):
            at_once += (
                f"; the start measures how many with {' and '.join(open_)} are best, about a "
                "minute, once per machine (--concurrent N skips it)"
            )
    text = [f"a trial with {net}: cpus {c}, gpus {g}" for net, (c, g) in shares.items()]
    return [*text, at_once], number
