"""SearchSpace: the settings that a search varies, its options, the configurations it allows."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from facesiam.config import SETTINGS, Value
from facesiam.config.metrics import FIELDS
from facesiam.config.settings import did_you_mean
from facesiam.config.trial import recorded
from facesiam.objective import Objective
from facesiam.plugins.registry import Plugin
from search.space import algorithms, combinations, narrowing, overrides
from search.space.domains import Choice, Domain, Resources, Row, TrialLike, active
from search.space.errors import SpaceError
from search.space.finalists import Finalists, Race
from search.space.prune import pruning

EXAMPLES = 2000
"""Most configurations that ``examples`` lists; of larger spaces it draws as many."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What a space file says, checked, with its defaults filled in."""

    path: Path = field(compare=False)
    name: str
    fixed: dict[str, Value] = field(default_factory=dict)
    search: dict[str, Domain] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    enqueue: tuple[dict[str, Value], ...] = ()
    """Configurations to try first, each some of the searched settings; the rest is drawn."""
    algorithm: str = "tpe"
    trials: int = 20
    """For samplers; grid and rows run all they have."""
    minutes: float = 0.0
    """After which the search halts; 0: never."""
    stop_when: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    metric: str = "val_acc"
    costs: tuple[str, ...] = ()
    """Costs that are searched beside the metric, for the front; pruning knows the metric only."""
    metric_given: bool = field(default=True, compare=False)
    """Whether the file says it; else it is val_auc where the data's pairs are unbalanced."""
    metric_reason: str = field(default="", compare=False)
    """Why it is not the default, where no file says it."""
    packed_given: bool = field(default=True, compare=False)
    """Whether the file says `packed_size`; else ``packed`` decides it."""
    mode: str = "max"
    log: dict[str, dict[str, str]] = field(default_factory=dict)
    """Trackers by name, and what the file says of each."""
    prune: dict[str, Any] = field(default_factory=pruning)
    """Each of prune.RULE_OPTIONS by name: False, its options by name, or True where it has none;
    and control, a share."""
    finalists: Finalists | None = None
    """How the best trials are raced at the end; None: they are not."""
    race: Race | None = None
    """Of the run of a race, whose rows are the trainings of its finalists."""
    resources: Resources = field(default_factory=Resources)
    data: str | None = None
    format: str | None = None
    """What the data are read as, by name; None: recognised."""
    keep: int = 3
    report: bool = False
    plugins: tuple[Plugin, ...] = ()
    """Files that register nets, losses and metrics of the user's own."""

    def size(self) -> int | None:
        """Return the number of distinct configurations that the search allows; None: infinite."""
        return combinations.count(self._base(), self.search)

    @property
    def objective(self) -> Objective:
        """What the best epoch and the best trial are best in."""
        return Objective(self.metric, self.mode)

    def metrics(self) -> tuple[str, ...]:
        """Return what each epoch of a trial measures, metrics of plugins last."""
        return (*FIELDS, *(name for plugin in self.plugins for name in plugin.metrics))

    def count(self) -> int | None:
        """Return the number of trials to run; None where a grid has no end."""
        if self.algorithm == "rows":
            return len(self.rows)
        size = self.size()
        if self.algorithm == "grid":
            return size
        return self.trials if size is None else min(self.trials, size)

    def startup(self) -> int:
        """Return how many trials are drawn at random before the sampler chooses one."""
        searched = sum(domain.count() != 1 for domain in self.search.values())
        return algorithms.startup(self.algorithm, searched, self.count() or 0)

    def grid(self) -> Iterator[dict[str, Value]]:
        """Yield every distinct configuration; continuous ranges have none to yield."""
        return combinations.combinations(self._base(), self.search, self._order())

    def sample(self, rng: random.Random) -> dict[str, Value]:
        """Draw a configuration: each active setting by itself, as its choices or range say."""
        settings = self._base()
        for name in self._order():
            if active(self.search[name], settings):
                settings[name] = self.search[name].sample(rng)
        return settings

    def suggest(self, trial: TrialLike) -> dict[str, Value]:
        """Ask an Optuna trial for a configuration, only for the settings that are active."""
        settings = self._base()
        for name in self._order():
            if active(self.search[name], settings):
                settings[name] = self.search[name].suggest(name, trial)
        return settings

    def row_settings(self, id: str) -> dict[str, Value]:
        """Return the configuration of a row."""
        return self._base() | self.rows[id].settings

    def excludes(self, settings: Mapping[str, Value], row: str | None = None) -> str | None:
        """Return what keeps a trial with these settings out of this space; None: it belongs.

        Args:
            settings: of the trial, all of them.
            row: its row, where it was run as one.
        """
        settings = recorded(settings)  # older runs lack settings that came since
        if self.algorithm == "rows":
            if row not in self.rows:
                return f"row {row}, which is not among the rows: {', '.join(self.rows)}"
            expected = self.row_settings(row)
        else:
            expected = self._base()
            for name in self._order():
                domain, value = self.search[name], settings[name]
                if active(domain, expected):
                    if not domain.holds(value):
                        return f"{name} {value}, and the space now has {domain.plain()}"
                    expected[name] = value
        for name, value in expected.items():
            if settings.get(name) != value:
                return f"{name} {settings.get(name)}, and it is {value} now"
        return None

    def examples(self) -> Iterator[dict[str, Value]]:
        """Yield configurations that stand for all trials: every combination, ranges by their ends.

        Of more than EXAMPLES combinations, that many are drawn, always the same.
        """
        if self.algorithm == "rows":
            return (self.row_settings(id) for id in self.rows)
        asked = [domain.when for domain in self.search.values()]
        few: dict[str, Domain] = {
            name: domain
            if isinstance(domain, Choice)
            else Choice(
                tuple({domain.low, domain.high, *(v for w in asked for v in w.get(name, ()))}),
                domain.when,
            )
            for name, domain in self.search.items()
        }
        small = replace(self, search=few)
        if (small.size() or 0) <= EXAMPLES:
            return small.grid()
        rng = random.Random(0)
        return (small.sample(rng) for _ in range(EXAMPLES))

    def possible(self, name: str) -> list[Value]:
        """Return the distinct values that a setting has in trials; of a range its two ends."""
        if self.algorithm == "rows":
            return list(dict.fromkeys(self.row_settings(id)[name] for id in self.rows))
        domain, rest = self.search.get(name), self._base()[name]
        if domain is None:
            return [rest]
        ends = domain.choices if isinstance(domain, Choice) else (domain.low, domain.high)
        return list(dict.fromkeys([*ends, rest] if domain.when else ends))

    def nets(self) -> list[str]:
        """Return the nets that trials can have."""
        return [str(net) for net in self.possible("net")]

    def all_nets(self) -> list[str]:
        """Return the nets of the trials that a space describes, its search's and its rows'."""
        of_rows = (str(self.row_settings(id)["net"]) for id in self.rows)
        return list(dict.fromkeys([*replace(self, algorithm="tpe").nets(), *of_rows]))

    def uses(self, name: str) -> bool:
        """Say whether an option does something: `trials` and `seed` choose among trials.

        A grid and rows run all they have; the seed still draws who is in the control group. Rows
        are run as they are, without what is enqueued.
        """
        if name == "enqueue":
            return self.algorithm != "rows"
        chooses = self.algorithm not in ("grid", "rows")
        draws = name == "seed" and self.prune["control"]
        return name not in ("trials", "seed", "stop_when") or chooses or bool(draws)

    def max_epochs(self) -> int:
        """Return the most epochs that a trial can have."""
        return max(int(epochs) for epochs in self.possible("epochs"))

    def varied(self) -> list[str]:
        """Return the settings that can differ between trials, in TrialConfig's order."""
        return [name for name in SETTINGS if len(self.possible(name)) > 1]

    def ordered(self) -> list[tuple[str, Domain]]:
        """Return the searched settings, each after those that its condition asks for."""
        return [(name, self.search[name]) for name in self._order()]

    def override(self, assignments: Sequence[str]) -> Self:
        """Return the space with settings pinned by ``KEY=VALUE``, in rows and search alike.

        ``KEY=[…]`` narrows what is searched. Conditions on a pinned setting are met or not from
        now on. ASHA's grace is lowered to pinned epochs. Call ``constraints.check``
        when all changes are made.

        Raises:
            SpaceError: an unknown setting or an impossible value; a line each.
        """
        pinned, lists = overrides.assigned(assignments)
        fixed, search, rows = overrides.pin(self.fixed, self.search, self.rows, pinned)
        if lists:
            search = narrowing.narrow(search, fixed, lists)
        gone = {name for name in self.search if name not in search}
        first = narrowing.without_others(self.enqueue, search, list(lists))
        first = overrides.without(first, gone | pinned.keys())
        changed = replace(self, fixed=fixed, search=search, rows=rows, enqueue=first)
        if "epochs" in pinned and self.prune["asha"]:
            grace = min(self.prune["asha"]["grace"], changed.max_epochs())
            asha = self.prune["asha"] | {"grace": grace}
            changed = replace(changed, prune=self.prune | {"asha": asha})
        left = self.resources.of_nets(changed.all_nets())
        return replace(changed, resources=left) if "net" in {*pinned, *lists} else changed

    def packed(self) -> Self:
        """Return the space with its `packed_size` fixed: the largest `image_size` of its trials.

        A space that says it stays as it is.
        """
        if "packed_size" in {*self.fixed, *self.search}:
            return self
        largest = max(self.possible("image_size"), key=int)
        return replace(self, fixed={**self.fixed, "packed_size": largest}, packed_given=False)

    def rows_named(self, ids: Sequence[str]) -> dict[str, Row]:
        """Return some of the rows, in the order asked for.

        Raises:
            SpaceError: there is no such row; a line for each.
        """
        if not ids:
            raise SpaceError(f"--rows: name at least one; {self._has_rows()}")
        wrong = [id for id in dict.fromkeys(ids) if id not in self.rows]
        if wrong:
            has = f"no such row; {self._has_rows()}"
            lines = [f"--rows {id}: {has}{did_you_mean(id, self.rows)}" for id in wrong]
            raise SpaceError("\n".join(lines))
        return {id: self.rows[id] for id in ids}

    def _base(self) -> dict[str, Value]:
        return combinations.base(self.fixed)

    def _order(self) -> list[str]:
        return combinations.order(self.search)

    def _has_rows(self) -> str:
        return f"{self.path} has {', '.join(self.rows) or 'none'}"
