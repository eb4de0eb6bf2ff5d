"""A W&B sweep file → a space file, and a line on all that was left out or is not the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from facesiam.config.metrics import OWN
from facesiam.config.settings import did_you_mean
from facesiam.errors import shown
from search.space import file_format
from search.space.contradictions import mode_of
from search.space.errors import Place, Problem, SpaceError, report
from search.space.file_models import NAME
from search.space.wandb_domains import KEYS, Converted, NoMeaning, converted
from search.space.wandb_file import leaves, sweep_document
from search.space.wandb_names import SWEEP_KEYS, metric_of, setting_of, why_not
from search.space.wandb_words import ETA, GOALS, first_band
from search.space.yaml_text import written

TAKEN = ("name", "method", "metric", "early_terminate", "run_cap", "parameters")
"""Keys of a sweep that a space file has something for."""
FROM = {"prune": "early_terminate", "trials": "run_cap", "algorithm": "method"}
"""Keys of a space file, and those of the sweep that they come from."""
METHODS = {"bayes": "tpe", "random": "random", "grid": "grid"}
PAIRS = ("single", "two")
"""Losses of decision nets."""
DISTANCES = ("contrastive", "triplet")
"""Losses of embedding nets by their distance; the others go by the cosine."""


class Sweep:
    """A sweep that is turned into a space.

    Args:
        path: of the sweep file.

    Attributes:
        taken: parameters that became settings, and the settings.
        said: what was left out or is not the same, with its lines.

    Raises:
        SpaceError: the file cannot be read, is no sweep, or no parameter of it is a setting.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.document = sweep_document(path)
        self.plain: dict[str, Any] = {}
        self.fixed: dict[str, Any] = {}
        self.search: dict[str, Any] = {}
        self.taken: dict[str, str] = {}
        self.said: list[Problem] = []
        self._parameters()
        self._top()
        self._join()
        self._fit()

    def text(self) -> str:
        """Return the space file, its header saying what it was made from and what it lacks."""
        head = [f"From the W&B sweep {self.path.name}, by python -m search.space --from-wandb."]
        renamed = [f"{name} → {ours}" for name, ours in self.taken.items() if name != ours]
        head += [f"Renamed: {', '.join(renamed)}."] if renamed else []
        if self.said:
            head += ["Left out, or not the same (lines of the sweep):"]
            head += [f"  {problem}" for problem in self.said]
        comment = "".join(f"# {shown(line, 400)}\n" for line in head)
        return f"{comment}\n{written(self._space())}"

    @property
    def settings(self) -> list[str]:
        """Settings of the space file, searched ones first."""
        return [*self.search, *self.fixed]

    def _space(self) -> dict[str, Any]:
        parts = {"fixed": self.fixed, "search": self.search}
        name = {"name": self.plain["name"]} if "name" in self.plain else {}
        return {**name, **{key: part for key, part in parts.items() if part}, **self.plain}

    def _tell(self, place: Place, text: str) -> None:
        name = ".".join(str(step) for step in place if step != "parameters")
        line = self.document.lines[place].key if place in self.document.lines else 0
        # On one line each, as the space file has them in its comments.
        self.said = sorted({*self.said, Problem(line, name, " ".join(text.split()))})

    # Parameters

    def _parameters(self) -> None:
        found = list(leaves(self.document.data["parameters"], ("parameters",)))
        found += list(self._command())
        for place, name, spec in found:
            ours = setting_of(name)
            if ours is None:
                self._tell(place, f"left out: {why_not(name)}")
            elif ours in self.taken.values():
                first = next(one for one, setting in self.taken.items() if setting == ours)
                self._tell(place, f"left out: {first} is {ours} already")
            else:
                self._take(place, name, ours, spec)
        if not self.taken:
            why = [shown(str(problem), 200) for problem in self.said] or ["it has none"]
            head = f"{self.path}: no parameter becomes a setting; docs/space-file.md lists them"
            raise SpaceError("\n  ".join([head, *why]))

    def _take(self, place: Place, name: str, ours: str, spec: Mapping[str, Any]) -> None:
        try:
            found = converted(ours, spec)
        except NoMeaning as error:
            self._tell(place, f"left out: {error}")
            return
        self.taken[name] = ours
        self._put(ours, found)
        for note in found.notes:
            self._tell(place, note)
        for key in spec:
            if key not in KEYS:
                self._tell((*place, key), "left out: no key of a parameter")

    def _put(self, ours: str, found: Converted) -> None:
        if found.searched is None:
            self.fixed[ours] = found.fixed
        else:
            self.search[ours] = found.searched

    def _command(self) -> Iterator[tuple[Place, str, dict[str, Any]]]:
        """Yield the options with a value of the sweep's command, as constants."""
        command = self.document.data.get("command")
        for at, item in enumerate(command if isinstance(command, list) else ()):
            if isinstance(item, str) and (option := re.fullmatch(r"--([\w.-]+)=(.+)", item)):
                yield ("command", at), option[1], {"value": option[2]}

    # The other keys

    def _top(self) -> None:
        data = self.document.data
        for key in data:
            if key in SWEEP_KEYS:
                self._tell((key,), f"left out: {SWEEP_KEYS[key]}")
            elif key not in TAKEN:
                self._tell((key,), "left out: no key of a sweep that is known here")
        name = re.sub(r"[^\w.\-]+", "-", str(data.get("name") or ""), flags=re.ASCII).strip("-.")
        if name and NAME.fullmatch(name):
            self.plain["name"] = name
        method = data.get("method", "random")
        self.plain["algorithm"] = METHODS.get(str(method), "tpe")
        if method == "bayes":
            self._tell(("method",), "bayes is tpe here; W&B's own is a Gaussian process, gp here")
        elif method not in METHODS:
            self._tell(("method",), f"left out: tpe instead of {method!r}")
        if self.plain["algorithm"] != "grid":
            self._trials(data.get("run_cap"))
        self._metric(data.get("metric"))
        self._early_terminate(data.get("early_terminate"))

    def _trials(self, cap: object) -> None:
        with suppress(ValueError):
            self.plain["trials"] = int(str(cap))
            return
        self._tell(("run_cap",), "a search has an end: 20 trials; change trials: as you like")
        self.plain["trials"] = 20

    def _metric(self, said: object) -> None:
        if not isinstance(said, dict):
            if said is not None:
                self._tell(("metric",), "left out: has no name: and goal:")
            return
        name, goal = str(said.get("name")), said.get("goal", "minimize")
        ours = metric_of(name)
        for key in said:
            if key not in ("name", "goal"):
                why = "a search ends by trials: or minutes:" if key == "target" else "of W&B's own"
                self._tell(("metric", key), f"left out: {why}")
        if ours is None:
            near = did_you_mean(name, OWN)
            text = f"left out: no metric of an epoch has this meaning; val_acc ranks trials{near}"
            self._tell(("metric", "name"), text)
            return
        self.plain["metric"] = ours
        if "test" in name.lower():
            text = f"{ours} instead of {name}: test pairs choose nothing here"
            self._tell(("metric", "name"), text)
        elif ours != name:
            self.taken[name] = ours
        if GOALS.get(str(goal)) != mode_of(ours):
            place = ("metric", "goal") if "goal" in said else ("metric",)
            better = "more" if mode_of(ours) == "max" else "less"
            self._tell(place, f"{goal} left out: {better} is better of {ours}")

    def _early_terminate(self, said: object) -> None:
        if said is None:
            return
        if not isinstance(said, dict) or said.get("type") != "hyperband":
            self._tell(("early_terminate",), "left out: not hyperband")
            return
        for key in said:
            if key not in ("type", "min_iter", "max_iter", "s", "eta", "strict"):
                self._tell(("early_terminate", key), "left out: no key of hyperband")
        eta = str(said.get("eta", ETA))
        grace = str(said.get("min_iter") or first_band({"eta": eta, **said}) or "")
        for key in ("strict", "s", "max_iter"):
            if key in said and (key == "strict" or "min_iter" in said):
                why = "rungs go on up to the last epoch" if key != "strict" else "asha has none"
                self._tell(("early_terminate", key), f"left out: {why}")
        asha: dict[str, Any] = {}
        with suppress(ValueError, OverflowError):
            asha["grace"] = max(1, int(float(grace)))
            asha["factor"] = max(2, round(float(eta)))
        if len(asha) < 2:
            self._tell(("early_terminate",), "left out: neither min_iter nor max_iter and s")
            return
        if float(eta) != asha["factor"]:
            self._tell(("early_terminate", "eta"), f"{asha['factor']} instead of {eta}")
        self.plain["prune"] = {"asha": asha}
        text = "the rule asha: it counts epochs, where W&B counts what the script logs"
        self._tell(("early_terminate",), text)

    # What must go together

    def _join(self) -> None:
        """Choose the join that the losses need, where the sweep says none."""
        losses = self.search.get("loss") or [self.fixed.get("loss", PAIRS[0])]
        kept = [loss for loss in losses if (loss in PAIRS) == (losses[0] in PAIRS)]
        if len(kept) < len(losses):
            gone = ", ".join(loss for loss in losses if loss not in kept)
            place = self._place_of("loss")
            self._tell(place, f"values {gone} left out: of another kind of net than {kept[0]}")
            self.search.pop("loss")
            self._put("loss", Converted(kept if len(kept) > 1 else None, kept[0]))
        if losses[0] not in PAIRS and "join" not in self.taken.values():
            self.fixed["join"] = "distance" if losses[0] in DISTANCES else "cosine"
            text = f"join: {self.fixed['join']} added, as {kept[0]} compares embeddings"
            self._tell(self._place_of("loss"), text)

    def _place_of(self, setting: str) -> Place:
        """Return where the sweep has the parameter that became a setting."""
        for place, name, _ in leaves(self.document.data["parameters"], ("parameters",)):
            if self.taken.get(name) == setting:
                return place
        return ("parameters",)

    def _fit(self) -> None:
        """Take out what the reader of space files refuses, one after the other, and say why."""
        while problems := self._problems():
            for part, name in self._suspects(problems[0]):
                removed = part.pop(name)
                left = self._problems()
                if len(left) < len(problems):
                    place = self._place_of(name)
                    if part is self.plain:
                        place = (FROM.get(name, name),)
                        self.said = [each for each in self.said if each.key != place[0]]
                    what = "" if place[-1] == name else f"{name} "
                    self._tell(place, f"{what}left out: {problems[0].text}")
                    self.taken = {one: ours for one, ours in self.taken.items() if ours != name}
                    break
                part[name] = removed
            else:
                raise report(f"{self.path}, as a space file", problems)

    def _suspects(self, problem: Problem) -> list[tuple[dict[str, Any], str]]:
        """Return what may be at fault: first what the problem names, then the rest."""
        parts = (self.search, self.fixed, self.plain)
        every = [(part, name) for part in parts for name in reversed(part)]
        named = problem.key.split(".")[0]
        return sorted(every, key=lambda each: each[1] != named)

    def _problems(self) -> tuple[Problem, ...]:
        try:
            file_format.read(written(self._space()), self.path, strict=True)
        except SpaceError as error:
            return error.problems or (Problem(0, "", str(error)),)
        return ()
