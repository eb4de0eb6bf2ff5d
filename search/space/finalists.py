"""`finalists:` of a space file, and what a race of them notes in its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated

from pydantic import BeforeValidator

from facesiam.config import Value
from facesiam.errors import UserError
from search.space.fields import Part, filled, key

TOP, SEEDS, LEVEL, WITHIN = 5, 5, 0.05, 0.005


@dataclass(frozen=True)
class Finalists:
    """How the best trials of a search are raced."""

    top: int = TOP
    """How many of the best trials."""
    seeds: int = SEEDS
    """Most further trainings of each."""
    level: float = LEVEL
    """Greatest chance that what the race says of the best of them is wrong."""
    within: float = WITHIN
    """Difference of the metric that does not matter."""

    def plain(self) -> dict[str, object]:
        """Return what a space file says for this."""
        return asdict(self)


@dataclass(frozen=True)
class Finalist:
    """A trial that is in a race."""

    score: float
    """Its best value of the metric in the search."""
    cost: float
    """Of its net in use, as the race's ``cost`` says."""


@dataclass(frozen=True)
class Race:
    """What a run is that races the finalists of another one."""

    of: str
    """Name of the other run."""
    terms: Finalists
    trials: Mapping[str, Finalist] = field(default_factory=dict)
    """The finalists by their names in the other run, the best first."""
    cost: str = ""
    """Which cost of a net decides between equals, by its name in ``facesiam.config.costs``; ""
    where it is not known: they cost the same then."""
    worst: float = 0.0
    """The worst score that a trial of the other run has."""

    def plain(self) -> dict[str, object]:
        """Return what the run's space file says for this."""
        own = {trial: asdict(one) for trial, one in self.trials.items()}
        found = {"of": self.of, **self.terms.plain(), "worst": self.worst, "trials": own}
        return found | ({"cost": self.cost} if self.cost else {})


class NothingToRace(UserError, ValueError):
    """A run has no two finalists."""


def row_of(trial: str, seed: Value) -> str:
    """Return the row of a race in which a finalist is trained with a seed."""
    return f"{trial}-s{seed}"


class FinalistsPart(Part):
    """The best trials, trained again with further seeds until one is shown to win."""

    example = "{top: 5}"

    top: int = key(TOP, low=2, high=50)
    """How many of the best trials."""
    seeds: int = key(SEEDS, low=1, high=100)
    """Most further seeds that each is trained with."""
    level: float = key(LEVEL, above=0, high=0.5)
    """Greatest chance that what the race says of the best of them is wrong."""
    within: float = key(WITHIN, low=0)
    """Difference of the metric that does not matter: where no finalist is better by more, the
    cheapest is taken."""

    def terms(self) -> Finalists:
        """Return the terms of a race."""
        return Finalists(self.top, self.seeds, self.level, self.within)


class FinalistPart(Part):
    """A trial that is in a race."""

    score: float = key(0.0)
    """Its best value of the metric in the search."""
    cost: float = key(0.0, low=0)
    """Of its net in use."""


class RacePart(FinalistsPart):
    """Written by search.race into the run of a race: what is raced there."""

    of: str = key("")
    """Run whose best trials are raced."""
    trials: Annotated[dict[str, FinalistPart], BeforeValidator(filled)] = key({})
    """The trials, the best first."""
    cost: str = key("")
    """Which cost of a net decides between trials that are equal."""
    worst: float = key(0.0)
    """The worst score that a trial of that run ended with."""

    def race(self) -> Race:
        """Return the part of a SearchSpace."""
        own = {trial: Finalist(one.score, one.cost) for trial, one in self.trials.items()}
        return Race(self.of, self.terms(), own, self.cost, self.worst)
