"""YAML → SearchSpace: what to search, every problem of a file reported at once with its line.

No torch, no Ray, no Optuna: a mistake in a file is told before anything heavy is imported.

    python -m search.space FILE…        check space files
    python -m search.space --schema     print the JSON schema of the format
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import yaml

from facesiam import cli
from facesiam.config.trial import SETTINGS, Value, did_you_mean, recorded
from facesiam.objective import Objective
from search.space import (
    combinations,
    constraints,
    contradictions,
    overrides,
    shipped,
)
from search.space.domains import Choice, Domain, Range, Resources, Row, TrialLike, active
from search.space.file_format import Reader
from search.space.problems import Problem, SpaceError, report
from search.space.spec import ALGORITHMS, pruning
from search.space.typos import slips
from search.space.yaml_lines import parse, read_text

__all__ = [
    "ALGORITHMS",
    "Choice",
    "Range",
    "Resources",
    "Row",
    "SearchSpace",
    "SpaceError",
    "load",
]

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
    algorithm: str = "tpe"
    trials: int = 20
    """For random and tpe; grid and rows run all they have."""
    minutes: float = 0.0
    """After which the search halts; 0: never."""
    seed: int = 0
    metric: str = "val_acc"
    mode: str = "max"
    prune: dict[str, Any] = field(default_factory=pruning)
    """Each of options.RULES by name: False, or its options by name, or True where it has none;
    and control, a share."""
    resources: Resources = field(default_factory=Resources)
    data: str | None = None
    keep: int = 3
    report: bool = False

    # Which configurations there are

    def size(self) -> int | None:
        """Return the number of distinct configurations that the search allows; None: infinite."""
        return combinations.count(self._base(), self.search)

    @property
    def objective(self) -> Objective:
        """What the best epoch and the best trial are best in."""
        return Objective(self.metric, self.mode)

    def count(self) -> int | None:
        """Return the number of trials to run; None where a grid has no end."""
        if self.algorithm == "rows":
            return len(self.rows)
        size = self.size()
        if self.algorithm == "grid":
            return size
        return self.trials if size is None else min(self.trials, size)

    def startup(self) -> int:
        """Return how many trials are drawn at random before TPE chooses one.

        Two for each setting that is searched, at most ten (Optuna's number), and never more than
        a third of the trials: a search that is over before TPE begins would be random search.
        """
        searched = sum(domain.count() != 1 for domain in self.search.values())
        return max(1, min(10, 2 * searched, (self.count() or 0) // 3))

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

    def max_epochs(self) -> int:
        """Return the most epochs that a trial can have."""
        return max(int(epochs) for epochs in self.possible("epochs"))

    def varied(self) -> list[str]:
        """Return the settings that can differ between trials, in TrialConfig's order."""
        return [name for name in SETTINGS if len(self.possible(name)) > 1]

    def ordered(self) -> list[tuple[str, Domain]]:
        """Return the searched settings, each after those that its condition asks for."""
        return [(name, self.search[name]) for name in self._order()]

    # Changes by the command line

    def override(self, assignments: Sequence[str]) -> Self:
        """Return the space with settings pinned by ``KEY=VALUE``, in rows and search alike.

        Conditions on a pinned setting are met or not from now on. ASHA's grace is lowered to
        pinned epochs. Call ``checked`` when all changes are made.

        Raises:
            SpaceError: an unknown setting or an impossible value; a line each.
        """
        pinned = overrides.assigned(assignments)
        fixed, search, rows = overrides.pin(self.fixed, self.search, self.rows, pinned)
        prune = dict(self.prune)
        if "epochs" in pinned and prune["asha"]:
            grace = min(prune["asha"]["grace"], int(pinned["epochs"]))
            prune["asha"] = prune["asha"] | {"grace": grace}
        changed = replace(self, fixed=fixed, search=search, rows=rows, prune=prune)
        left = self.resources.of_nets(contradictions.nets(changed))
        return replace(changed, resources=left) if "net" in pinned else changed

    def rows_named(self, ids: Sequence[str]) -> dict[str, Row]:
        """Return some of the rows, in the order asked for.

        Raises:
            SpaceError: there is no such row; a line for each.
        """
        if not ids:
            raise SpaceError(f"--rows: name at least one; {self._has_rows()}")
        wrong = [id for id in dict.fromkeys(ids) if id not in self.rows]
        if wrong:
            raise SpaceError(
                "\n".join(
                    f"--rows {id}: no such row; {self._has_rows()}{self._row_near(id)}"
                    for id in wrong
                )
            )
        return {id: self.rows[id] for id in ids}

    def checked(self) -> Self:
        """Return the space itself, once it is known that its trials can run as they are.

        Raises:
            SpaceError: what the command line changed does not fit the rest.
        """
        problems = [Problem(0, key, text) for _, key, text in constraints.problems(self)]
        if problems:
            raise report(f"{self.path}, with the options given", problems)
        return self

    def dump(self) -> str:
        """Return the space as YAML, which ``load`` reads back to an equal space."""
        plain: dict[str, object] = {"name": self.name}
        plain |= {"data": self.data} if self.data else {}
        plain |= {"fixed": self.fixed} if self.fixed else {}
        if self.search:
            plain["search"] = {name: part.plain() for name, part in self.search.items()}
        if self.rows:
            plain["rows"] = {id: row.plain() for id, row in self.rows.items()}
        for name in ("algorithm", "trials", "minutes", "seed", "metric", "mode", "prune"):
            # What does nothing is left out: whoever writes it in a file is told so.
            if name not in ("trials", "seed") or not contradictions.unused(self, name):
                plain[name] = getattr(self, name)
        if self.algorithm == "rows":
            kept = (*contradictions.CERTAIN, "control")
            plain["prune"] = {n: on for n, on in self.prune.items() if n in kept or not on}
        plain["resources"] = self.resources.plain()
        plain |= {"keep": self.keep, "report": self.report}
        return yaml.dump(
            plain,
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            width=99,
            default_flow_style=None,
        )

    def _base(self) -> dict[str, Value]:
        return combinations.base(self.fixed)

    def _order(self) -> list[str]:
        return combinations.order(self.search)

    def _has_rows(self) -> str:
        return f"{self.path} has {', '.join(self.rows) or 'none'}"

    def _row_near(self, id: str) -> str:
        upper = {row.upper(): row for row in self.rows}
        if id.upper() in upper:
            return f"; did you mean {upper[id.upper()]}?"
        return did_you_mean(id, self.rows)


def load(path: str | Path, strict: bool = False, of_run: bool = False) -> SearchSpace:
    """Read a space file.

    Args:
        path: of the file.
        strict: what it says and what would do nothing is refused as well, as commands do.
        of_run: it is the one that a run left: what has run is not refused for contradictions.

    Raises:
        SpaceError: names every problem of the file, with its line.
    """
    path = Path(path)
    text = read_text(path)
    try:
        return _read(text, path, strict, of_run)
    except SpaceError:
        meant, found = slips(text)
        if not found:
            raise
    try:
        _read(meant, path, strict, of_run)
    except SpaceError as error:
        found += error.problems
    raise report(str(path), found)


def _read(text: str, path: Path, strict: bool, of_run: bool) -> SearchSpace:
    """Return what the text of a space file says, as ``load``."""
    root, problems = parse(text, path)
    reader = Reader()
    found = reader.read(root)
    said = set(found)
    found["prune"] = pruning() | found.get("prune", {})
    nothing_searched = "rows" if found.get("rows") else "grid"
    found.setdefault("algorithm", "tpe" if found.get("search") else nothing_searched)
    found.setdefault("mode", contradictions.mode_of(found.get("metric", "")))
    stem = re.sub(r"[^\w.\-]+", "-", path.stem, flags=re.ASCII).strip("-.")
    found.setdefault("name", stem or "space")
    space = SearchSpace(path=path, **found)
    problems += reader.problems
    if reader.settings_read:
        problems += [
            Problem(reader.line(place), key, text)
            for place, key, text in constraints.problems(space)
        ]
    if not problems and not of_run:
        rules = {place.removeprefix("prune.") for place in reader.lines}
        wrong = [*constraints.never_searched(space), *contradictions.opposite(space, said)]
        wrong += contradictions.idle(space, said, rules) if strict else []
        problems = [Problem(reader.line(place), key, text) for place, key, text in wrong]
    if problems:
        raise report(str(path), problems)
    return space


class _Dumper(yaml.SafeDumper):
    """Writes values out instead of referring back to an equal one."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Check space files or print the schema; return the exit code, 2 for a faulty file."""
    parser = cli.Parser(prog=cli.program("search.space"), description="Check space files.")
    parser.add_argument("files", nargs="*", metavar="FILE", help="space file to check")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema instead")
    options = parser.parse_args(arguments)
    return cli.run(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    if options.schema:
        from search.space.schema import text

        print(text(), end="")
        return 0
    wrong = 0
    for file in options.files:
        try:
            space = load(shipped.space_file(file), strict=True)
            print(
                f"{file}: {space.size() or 'infinitely many'} configurations, "
                f"{len(space.rows)} rows"
            )
        except SpaceError as error:
            cli.say(str(error))
            wrong = 2
    return wrong
