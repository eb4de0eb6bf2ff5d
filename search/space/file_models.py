"""The format of a space file as pydantic models: every key, its type, default, bounds, meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from facesiam.config import SETTINGS, Value
from facesiam.config.metrics import METRICS
from facesiam.config.settings import Setting
from facesiam.config.trial import DataFormat
from facesiam.plugins.registry import Plugin
from search.space import domains, metric_key
from search.space.algorithms import Algorithm
from search.space.domain_format import Choices, Span, domain
from search.space.domains import Domain
from search.space.errors import Place, label
from search.space.fields import Empty, Part, by_setting, filled, given, key, read, single_values
from search.space.finalists import FinalistPart, FinalistsPart, RacePart
from search.space.log import Log, MlflowPlace, WandbPlace, named, places
from search.space.prune import RULE_OPTIONS, SWITCH, Prune, pruning, switch
from search.space.resource_models import Amounts, Resources

SAMPLER = 2
"""Raised whenever `tpe` suggests otherwise than before for the same trials; 1: Optuna's own order,
ten trials of start-up."""
NAME = re.compile(r"\w[\w.\-]{0,99}", re.ASCII)

Settings = Annotated[dict[str, Value], PlainValidator(partial(by_setting, read))]
SettingsOrNone = Annotated[
    dict[str, Value],
    PlainValidator(lambda said: {} if said in (None, {}) else by_setting(read, said)),
]


def _listed(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError("must be a list of mappings, such as [{lr: 1e-3}]")
    if not value:
        raise Empty("an empty list; name at least one configuration, or leave it out")
    return value


# rows:


def _file_name(value: str, got: bool = False) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("letters, digits, '-', '_' and '.' only" + f", got {value!r}" * got)
    return value


def _overfit(value: object) -> bool | None:
    return None if value is None else bool(read(SWITCH, value))


class Published(Part):
    """What the 2019 study reports of a run."""

    val: float = key(None, low=0, high=100)
    """Best validation accuracy in percent."""
    test: float = key(None, low=0, high=100)
    """Test accuracy of that epoch in percent."""
    overfit: Annotated[bool | None, BeforeValidator(_overfit)] = key(None)
    """The study's verdict; null: none."""
    epoch: int = key(None, low=0)
    """Best epoch, from 0."""


class Row(Part):
    """One run of the 2019 study."""

    model_config = ConfigDict(json_schema_extra={})  # an empty one is as the fixed settings say

    settings: SettingsOrNone = key({})
    """What differs from the fixed settings, as the run really ran."""
    published: Published = key(None)
    """What the study reports."""
    printed: SettingsOrNone = key({})
    """Settings that the study's table prints otherwise."""
    note: str = key("")
    """What a reader of the table should know."""

    def row(self) -> domains.Row:
        """Return the row of a SearchSpace. The study prints 81, not 81.0, and so does that."""
        published = given(self.published) if self.published else {}
        for name, value in published.items():
            if isinstance(value, float) and value.is_integer():
                published[name] = int(value)
        return domains.Row(**given(self) | {"published": published})


# plugins:


class PluginFile(Part):
    """A plugin: its file, and what a run notes of it."""

    file: str = key("")
    """Path of the file, from the folder of the space file."""
    sha256: str = key("")
    """Of its content."""
    nets: list[str] = key([])
    """Values of `net` that it registers."""
    losses: list[str] = key([])
    """Values of `loss` that it registers."""
    metrics: dict[str, Literal["max", "min"]] = key({})
    """Metrics that it registers, and which of them are better."""

    def plugin(self) -> Plugin:
        """Return it as it is noted."""
        names = {"nets": tuple(self.nets), "losses": tuple(self.losses)}
        return Plugin(self.file, self.sha256, **names, metrics=self.metrics)


def _plugin(value: object) -> object:
    return value if isinstance(value, dict) else {"file": value}


# The whole file


class StopWhen(Part):
    """When a search ends before its last trial."""

    example = "{gain: 0.3}"

    gain: float = key(None, above=0, high=1e6)
    """So many points of an accuracy or a rate, or so much of another metric: no trial begins any
    more once the trials left would gain less, by the upper end of the 95 % interval."""


class SpaceFile(Part):
    """What to search."""

    _filled = model_validator(mode="before")(lambda value: value)  # nothing at all is told as such

    name: Annotated[str, AfterValidator(partial(_file_name, got=True))] = key("")
    """Name of the run and its folder; without it, the file's name."""
    data: str = key("")
    """A dataset: a zip, a folder or a file that lists it, or drawn for drawn faces; --data wins
    over it."""
    format: DataFormat = key("")
    """What the data are read as; without it that is recognised; --format wins over it."""
    plugins: list[
        Annotated[PluginFile, BeforeValidator(_plugin, json_schema_input_type=str | PluginFile)]
    ] = key([])
    """Files that register nets, losses and metrics of your own, from the space file's folder."""
    algorithm: Algorithm = key("tpe")
    """How trials are chosen: tpe, gp (Gaussian process), cmaes or nsga2 by scores; random;
    quasi-random (evenly spread); grid (every combination); rows (the rows below); without it tpe,
    or rows or grid where nothing is searched."""
    trials: int = key(20, low=1, high=100_000)
    """Number of trials, but of a grid and of rows, which run all they have."""
    minutes: float = key(0.0, low=0, high=1e6)
    """How long the search may take: then no trial starts, those that run save their state within
    their step, and what there is is ranked; --resume goes on, for as long again; 0: no limit."""
    stop_when: StopWhen = key({})
    """What ends the search before its last trial; trials that run go on to their end."""
    seed: int = key(0, low=0, high=2**31 - 1)
    """Seeds the choice of trials."""
    metric: Annotated[
        str | list[str],
        BeforeValidator(metric_key.read),
        WithJsonSchema({"enum": list(METRICS), "type": "string"}),
    ] = key("val_acc")
    """What the best epoch and trial are best in; or a list of it and of costs, params, macs or
    latency_ms: then the front is searched, of trials that no other one beats in all of them."""
    mode: Literal["max", "min"] = key("max")
    """Whether more (max) or less (min) of the metric is better; without it max for accuracies, min
    for losses."""
    keep: int = key(3, low=1, high=100_000)
    """How many of the best trials keep their weights, best epoch's."""
    report: bool = key(False)
    """Write the report when the search is done."""
    fixed: Settings = key({})
    """Settings that are the same in every trial; for a searched setting with a `when:`, its value
    where it is not active."""
    search: Annotated[dict[str, Domain], PlainValidator(partial(by_setting, domain))] = key({})
    """Settings that differ between trials: a list of choices, or a range."""
    enqueue: Annotated[list[Settings], BeforeValidator(_listed)] = key([])
    """Configurations to try first, each with values of searched settings; what one leaves out is
    drawn."""
    rows: Annotated[
        dict[
            Annotated[str, AfterValidator(_file_name)],
            Annotated[Row | None, BeforeValidator(lambda row: None if row == {} else row)],
        ],
        BeforeValidator(filled),
    ] = key({})
    """The 2019 study's runs by id."""
    prune: Annotated[
        Prune | bool,
        BeforeValidator(
            partial(switch, options=Prune, forms="false (no rule), true (every rule, asha too)")
        ),
    ] = key({})
    """Rules that stop a trial early; false: none of them, true: all of them, asha too."""
    finalists: FinalistsPart = key(None)
    """The best trials of the search, which are trained again with further seeds at its end until
    one is shown to win; the others are dropped one by one."""
    race: RacePart = key(None)
    """Written by a race into its own run: what is raced there."""
    resources: Resources = key({})
    """CPUs and GPUs of a trial."""
    log: Annotated[Log, named] = key({})
    """Trackers that keep a copy of the run: mlflow, wandb, or both in a list; or a mapping of
    each to where it keeps it."""

    def fields(self) -> dict[str, Any]:
        """Return what the file says, by SearchSpace's field."""
        found = given(self)
        if isinstance(metric := found.get("metric"), list):
            found["metric"], found["costs"] = metric[0], tuple(metric[1:])
        if rows := found.get("rows"):
            found["rows"] = {id: row.row() if row else domains.Row() for id, row in rows.items()}
        if enqueue := found.get("enqueue"):
            found["enqueue"] = tuple(enqueue)
        if finalists := found.get("finalists"):
            found["finalists"] = finalists.terms()
        if race := found.get("race"):
            found["race"] = race.race()
        if stop_when := found.get("stop_when"):
            found["stop_when"] = given(stop_when)
        if resources := found.get("resources"):
            found["resources"] = resources.resources()
        if log := found.get("log"):
            found["log"] = places(log)
        if plugins := found.get("plugins"):
            found["plugins"] = tuple(each.plugin() for each in plugins)
        return found | {"prune": pruning(found.get("prune"))}


OWNERS: dict[str, list[str]] = {}
"""Options of rules by name, and the rules that have it."""
for _rule, _kind in RULE_OPTIONS.items():
    for _option in _kind.model_fields if _kind else ():
        OWNERS.setdefault(_option, []).append(_rule)
OPTIONS: dict[str, Setting] = single_values(SpaceFile)
"""Keys of a file with a single value."""


def keys_at(place: Place) -> tuple[str, Iterable[str]]:
    """Return what a key at a place of a file is called, and those that there are."""
    known: Iterable[str]
    match place:
        case ():
            return "a key of a space file", SpaceFile.model_fields
        case (
            ("fixed",)
            | ("search",)
            | ("search", _, "when")
            | ("rows", _, "settings" | "printed")
            | ("enqueue", _)
        ):
            return "a setting", SETTINGS
        case ("rows", _):
            return "a key of a row", Row.model_fields
        case ("rows", _, "published"):
            return "a published figure", Published.model_fields
        case ("resources", "per_net"):
            return "a net", SETTINGS["net"].choices
        case ("resources", "per_net", _):
            known = Amounts.model_fields
        case ("resources",):
            known = Resources.model_fields
        case ("finalists",):
            known = FinalistsPart.model_fields
        case ("race",):
            known = RacePart.model_fields
        case ("race", "trials", _):
            known = FinalistPart.model_fields
        case ("stop_when",):
            known = StopWhen.model_fields
        case ("log",):
            known = Log.model_fields
        case ("log", "mlflow"):
            known = MlflowPlace.model_fields
        case ("log", _):
            known = WandbPlace.model_fields
        case ("prune",):
            known = [*Prune.model_fields, *OWNERS]
        case ("prune", rule):
            known = [option for option, owners in OWNERS.items() if rule in owners]
        case _:
            known = [*Choices.model_fields, *Span.model_fields]
    return f"a key of {label(place)}", known
