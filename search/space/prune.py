"""Models of `prune:` in a space file: which rules stop a trial early, and their options."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, WithJsonSchema

from facesiam.config.settings import Setting
from search.space.fields import Part, given, key, kind_of, read

SWITCH = Setting("switch", bool, False)


def switch(
    value: object, options: type[Part] | None = None, forms: str = "true or false"
) -> Part | bool:
    """Return true, false, or the options that a mapping gives.

    Args:
        value: what the file says.
        options: the model of such a mapping; without it there must be none.
        forms: which single values it takes, in messages.

    Raises:
        ValueError: it is nothing of that.
    """
    if options and (value is None or isinstance(value, dict)):
        return options.model_validate(value)
    if value is None:
        raise ValueError("has no value")
    got = kind_of(value)
    if isinstance(value, str):
        with suppress(ValueError):
            return bool(SWITCH.parse(value))
        got = repr(value)
    *keys, last = [f"{key}:" for key in options.model_fields] if options else [""]
    under = f", or have {', '.join(keys)} or {last} under it" if options else ""
    raise ValueError(f"must be {forms}{under}, got {got}")


def _rule(options: type[Part] | None = None) -> BeforeValidator:
    return BeforeValidator(partial(switch, options=options))


class Chance(Part):
    """Options of the rule `chance`."""

    care: float = key(16.0, above=0)
    """How many times a lost good trial weighs more than its epochs."""
    level: float = key(0.01, above=0, high=0.5)
    """How likely a net that guesses leaves the band at all, over all its epochs."""
    score: Annotated[
        float | None,
        BeforeValidator(partial(read, Setting("score", float, 0.0))),
        WithJsonSchema({"type": "number"}),
    ] = key(None)
    """What a guess scores in the metric of the search; needed where no exact band of guessing is
    known: the noise is then estimated from how the metric scatters."""


class Plateau(Part):
    """Options of the rule `plateau`."""

    patience: int = key(20, low=1)
    """Epochs without a new best."""
    within: float = key(0.02, low=0, high=1)
    """Gap to the leader up to which the trial still goes on."""


class Asha(Part):
    """Options of the rule `asha`."""

    grace: int = key(3, low=1)
    """Epochs that every trial may run, from its take-off on where that is in the first third of
    its epochs."""
    factor: int = key(4, low=2)
    """One trial in this many goes on from each rung."""
    compare: Literal["epoch", "share"] = key("epoch")
    """Trials with different `epochs` meet at the same epoch, or at the same share of their
    schedule (grace then counts epochs of the longest), as they do wherever the learning rate
    falls."""
    noise: float = key(0.5, low=0, high=10)
    """A trial this many standard errors below the cutoff still goes on."""


class Halving(Part):
    """Options of the rule `halving`."""

    units = {"grace": "a share of a trial's epochs"}

    grace: float = key(0.14, above=0, high=0.9)
    """Share of its epochs that every trial runs."""
    factor: float = key(2.0, above=1, high=100)
    """One trial in this many goes on from each rung; each is at 1.6 times the age of the last."""


class Prune(Part):
    """The rules that stop a trial early, each on, off, or on with options."""

    dead: Annotated[bool, _rule()] = key(True)
    """Stop a trial whose trunk got no gradient for whole epochs of 100 updates and more, and whose
    outputs cannot depend on the input: nothing can change that."""
    diverged: Annotated[bool, _rule()] = key(True)
    """Stop a trial whose loss is not finite."""
    chance: Annotated[Chance | bool, _rule(Chance)] = key(True)
    """Stop a trial that guesses: neither accuracy nor the metric ever outside the band of
    guessing, and the odds of a late start (learned from recorded curves, an epoch counted by its
    learning rate) not worth its epochs. On, but off beside `halving`."""
    plateau: Annotated[Plateau | bool, _rule(Plateau)] = key(True)
    """Stop a trial whose metric has not improved for `patience` epochs and whose 95 % interval
    lies below the leader's, by more than `within`, where the learning rate has fallen and no trial
    like it has gained as much since."""
    asha: Annotated[Asha | bool, _rule(Asha)] = key(False)
    """Successive halving (ASHA): of the trials at a rung, only the best go on."""
    halving: Annotated[Halving | bool, _rule(Halving)] = key(False)
    """Successive halving with pauses: every trial runs to the first rung, of all of them the
    better half goes on to the next one, and so on. A trial waits at its rung, its state kept,
    until it is as good as sure to be in that half, or out of it."""
    control: float = key(0.0, low=0, high=1)
    """Share of the trials that a rule would stop and that run on to the end all the same, to
    measure how often the rules are wrong."""


RULE_OPTIONS: dict[str, type[Part] | None] = {
    name: next((kind for kind in get_args(field.annotation) if kind is not bool), None)
    for name, field in Prune.model_fields.items()
    if name != "control"
}
"""The rules of `prune:`, in the order of a dumped file, each with the model of its options."""
CERTAIN = ("dead", "diverged")
"""The rules that may stop a published row."""
UNCERTAIN = tuple(name for name in RULE_OPTIONS if name not in CERTAIN)
"""The other rules, which let rows run to their end."""


HALVING: dict[str, Any] = Halving.model_construct().model_dump()
"""Options of `halving` where a file gives none."""


def pruning(said: Prune | bool | None = None) -> dict[str, Any]:
    """Return SearchSpace.prune.

    Args:
        said: what a file says under `prune:`: every rule on (True; of asha and halving asha) or
            off (False), or some of them; None: nothing.

    Returns:
        Each rule by name: False, or its options by name, those left out that have no default, or
        True where it has none; and control. Beside halving, where a trial at chance is compared
        with all others, chance is off unless the file says it.
    """
    found = {name: field.default for name, field in Prune.model_fields.items()}
    if isinstance(said, bool):
        found |= dict.fromkeys(RULE_OPTIONS, said) | {"halving": False}
    elif said:
        keys = given(said)
        found |= ({"chance": False} if keys.get("halving") else {}) | keys
    for name, options in RULE_OPTIONS.items():
        if isinstance(found[name], Part):
            found[name] = found[name].model_dump(exclude_none=True)
        elif found[name] and options:
            found[name] = options.model_construct().model_dump(exclude_none=True)
    return found
