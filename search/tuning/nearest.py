"""The untried configuration nearest to one that was tried before."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from facesiam.config import Value
from search.space import SearchSpace
from search.space.combinations import base
from search.space.domains import Choice, Domain, active
from search.tuning.configuration_pool import DRAWS, ConfigurationPool


def nearest_untried(
    space: SearchSpace, pool: ConfigurationPool, settings: Mapping[str, Value], seed: int
) -> dict[str, Value] | None:
    """Return the untried configuration nearest to ``settings``; of equally near ones any.

    Settings with an order count by the share of their range that lies between two values, others
    as equal or not. Of a space that is not listed, changes of ever more settings are tried.
    """
    rng = random.Random(seed)
    if pool.few():
        left = [pool.settings(int(place)) for place in pool.left()]
    else:
        drawn = (_changed(space, settings, 1 + n * 8 // DRAWS, rng) for n in range(DRAWS))
        left = [each for each in drawn if pool.new(each)]
    near = [(_distance(space, settings, each), rng.random(), each) for each in left]
    return min(near, key=lambda each: each[:2])[2] if near else None


def _changed(
    space: SearchSpace, settings: Mapping[str, Value], count: int, rng: random.Random
) -> dict[str, Value]:
    """Return settings of which some are drawn anew, and those that become active with them."""
    names = [name for name, domain in space.ordered() if domain.count() != 1]
    anew = rng.sample(names, min(count, len(names)))
    found = base(space.fixed)
    for name, domain in space.ordered():
        if active(domain, found):
            kept = name not in anew and domain.holds(settings[name])
            found[name] = settings[name] if kept else domain.sample(rng)
    return found


def _distance(space: SearchSpace, one: Mapping[str, Value], other: Mapping[str, Value]) -> float:
    return sum(_apart(domain, one[name], other[name]) for name, domain in space.search.items())


def _apart(domain: Domain, one: Value, other: Value) -> float:
    if one == other:
        return 0.0
    if isinstance(domain, Choice) or isinstance(one, str) or isinstance(other, str):
        return 1.0
    if domain.log and min(one, other) > 0:
        return abs(math.log(one / other)) / math.log(domain.high / domain.low)
    return abs(one - other) / (domain.high - domain.low)
