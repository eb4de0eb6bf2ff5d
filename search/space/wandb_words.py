"""W&B's words in a space file, where they mean the same: `values:`, `min:`, `method: bayes`.

A file is read as if it had our words. Problems keep the words and the lines of the file. What a
sweep has besides belongs to its own file, which ``--from-wandb`` turns into a space file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from facesiam.config import SETTINGS
from facesiam.config.settings import did_you_mean, number
from search.space.algorithms import OTHER_WORDS
from search.space.errors import Place, Problem, label
from search.space.yaml_lines import Document, Lines

GOALS = {"maximize": "max", "minimize": "min", "maximise": "max", "minimise": "min"}
OF_DOMAIN = {"values": "choices", "min": "low", "max": "high", "q": "step"}
"""Keys of a searched setting, and ours for them."""
DISTRIBUTIONS = (
    "categorical",
    "constant",
    "uniform",
    "int_uniform",
    "q_uniform",
    "log_uniform_values",
)
"""Those that a searched setting may name."""
OF_HYPERBAND = {"min_iter": "grace", "eta": "factor"}
ETA = "3"
"""W&B's, where it is not given."""
SWEEP_ONLY = (
    "parameters",
    "program",
    "command",
    "project",
    "entity",
    "run_cap",
    "controller",
    "job",
)
"""Keys of a sweep file that a space file does not take."""


def translated(document: Document) -> Document:
    """Return the document in our words; places in its problems are still called as in the file."""
    return _Translation(document).done()


class _Translation:
    """A document whose W&B words are being replaced."""

    def __init__(self, document: Document) -> None:
        self.data, self.lines = dict(document.data), dict(document.lines)
        self.problems, self.words = list(document.problems), dict[Place, Place]()

    def done(self) -> Document:
        """Replace all words and return the document."""
        self._rename((), "method", "algorithm")
        self._value(self.data, ("algorithm",), OTHER_WORDS)
        self._metric()
        self._value(self.data, ("mode",), GOALS)
        self._early_terminate()
        search = self.data.get("search")
        if isinstance(search, dict):
            self.data["search"] = dict(search)
            for name, domain in search.items():
                if isinstance(domain, dict):
                    self.data["search"][name] = dict(domain)
                    self._domain(name, self.data["search"][name])
        return Document(self.data, self.lines, self.problems, self.words)

    def _metric(self) -> None:
        """Turn ``metric: {name: val_acc, goal: maximize}`` into ``metric:`` and ``mode:``."""
        said = self.data.get("metric")
        if not isinstance(said, dict) or not said:
            return
        for key in said:
            if key not in ("name", "goal"):
                near = did_you_mean(key, ("name", "goal"))
                self._tell(
                    ("metric", key), f"not a key of metric, which takes name and goal{near}"
                )
        del self.data["metric"]
        if "goal" in said:
            self._put(said["goal"], ("metric", "goal"), ("mode",))
        if "name" in said:
            self._put(said["name"], ("metric", "name"), ("metric",))

    def _early_terminate(self) -> None:
        """Turn ``early_terminate: {type: hyperband, …}`` into the rule ``asha``."""
        place: Place = ("early_terminate",)
        said = self.data.pop("early_terminate", None)
        if place not in self.lines:
            return
        if not isinstance(said, dict):
            self._tell(place, "must be a mapping, such as {type: hyperband, min_iter: 3}")
            return
        known = ("type", *OF_HYPERBAND, "max_iter", "s")
        for key in said:
            if key not in known:
                text = f"not a key of early_terminate{did_you_mean(key, known)}"
                self._tell((*place, key), text)
        if (kind := said.get("type", "hyperband")) != "hyperband":
            near = did_you_mean(str(kind), ("hyperband",))
            self._tell((*place, "type"), f"must be hyperband, got {kind!r}{near}")
        prune = self.data.get("prune", {})
        if not isinstance(prune, dict) or "asha" in prune:
            self._tell(place, "is the rule asha, which prune: says too; take one out")
            return
        self.data["prune"] = dict(prune)
        self.lines.setdefault(("prune",), self.lines[place])
        said = {"eta": ETA} | said
        if "min_iter" not in said and (grace := first_band(said)):
            said["min_iter"] = grace
        self._put({}, place, ("prune", "asha"))
        for key, ours in OF_HYPERBAND.items():
            if key in said:
                self._put(said[key], (*place, key), ("prune", "asha", ours))

    def _domain(self, name: str, domain: dict[str, Any]) -> None:
        """Turn what a searched setting has in W&B's words into choices or a range."""
        place: Place = ("search", name)
        kind = domain.pop("distribution", None)
        if (*place, "distribution") in self.lines:
            self._distribution(place, kind, domain)
        for key, ours in OF_DOMAIN.items():
            self._rename(place, key, ours)
        if "value" in domain and "choices" not in domain:
            line = self.lines[*place, "value"]
            self._put([domain.pop("value")], (*place, "value"), (*place, "choices"))
            self.lines[*place, "choices", 0] = line

    def _distribution(self, place: Place, kind: object, domain: dict[str, Any]) -> None:
        """Take the meaning of a distribution over into the domain."""
        at = (*place, "distribution")
        whole = place[1] in SETTINGS and SETTINGS[str(place[1])].type is int
        if kind == "log_uniform":
            self._tell(at, f"its min and max are exponents of e; {_as_values(domain)}")
            domain.update(min="1", max="2")  # else they would be told to be no values
        elif kind not in DISTRIBUTIONS:
            near = did_you_mean(str(kind), DISTRIBUTIONS)
            known = ", ".join(DISTRIBUTIONS)
            self._tell(at, f"{kind!r} is not one of {known}{near}")
        elif kind == "log_uniform_values":
            self._put("true", at, (*place, "log"))
        elif (kind == "q_uniform" or (kind == "int_uniform" and not whole)) and "q" not in domain:
            self._put("1", at, (*place, "step"))

    def _rename(self, above: Place, key: str, ours: str) -> None:
        """Call a key by our word."""
        found = self._at(above)
        if key not in found:
            return
        if ours in found:
            line = self.lines[*above, ours].key
            self._tell((*above, key), f"is {ours}, which line {line} gives; take one out")
            del found[key]
            return
        self._put(found.pop(key), (*above, key), (*above, ours))

    def _put(self, value: object, said: Place, ours: Place) -> None:
        """Have what stands at a place of the file stand at another, with its lines."""
        found = self._at(ours[:-1])
        if ours[-1] in found:
            self._tell(said, f"is {label(ours)}, which is given too; take one out")
            return
        found[ours[-1]] = value
        line = self.lines.get(said) or self.lines[said[:-1]]
        self.lines[ours] = line
        self.words[ours] = said
        for place, lines in list(self.lines.items()):
            if place[: len(said)] == said and len(place) > len(said):
                self.lines[*ours, *place[len(said) :]] = lines

    def _value(self, data: Mapping[str, Any], place: Place, words: Mapping[str, str]) -> None:
        """Replace a word that stands as a value."""
        said = data.get(str(place[-1]))
        if isinstance(said, str) and said in words:
            self._at(place[:-1])[place[-1]] = words[said]

    def _at(self, place: Place) -> Any:
        found: Any = self.data
        for step in place:
            found = found[step]
        return found

    def _tell(self, place: Place, text: str) -> None:
        line: Lines = self.lines.get(place) or self.lines[place[:-1]]
        self.problems.append(Problem(line.key, label(place), text))


def first_band(said: Mapping[str, Any]) -> str | None:
    """Return the first band of a hyperband that is given by its last: max_iter / eta ** s."""
    with suppress(ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        whole, parts = number(said["max_iter"]), number(said["eta"]) ** number(said["s"])
        return str(max(1, math.floor(whole / parts)))
    return None


def _as_values(domain: Mapping[str, Any]) -> str:
    """Return how a range of exponents is written by its values."""
    try:
        low, high = (math.exp(number(domain[key])) for key in ("min", "max"))
    except (ValueError, KeyError, TypeError, OverflowError):
        return "write log_uniform_values, with the values themselves"
    return f"write log_uniform_values, with min: {low:.3g} and max: {high:.3g}"
