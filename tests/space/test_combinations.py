"""What conditions allow is counted as enumerating it would, and in a bounded time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from facesiam.config import SETTINGS, TrialConfig, Value
from facesiam.config.constraints import CONSTRAINTS
from search.space import SpaceError, load
from search.space import combinations as under_test
from search.space.combinations import (
    assignments,
    base,
    circle,
    combinations,
    count,
    order,
    reachable,
)
from search.space.constraints import JUDGED_BY
from search.space.domains import Choice, Domain

NAMES = ("epochs", "seed", "people", "hidden", "embedding", "batch_size", "fold")


def drawn(rng: random.Random) -> dict[str, Domain]:
    """Draw a search of whole numbers with conditions on settings that stand before, or on none."""
    search: dict[str, Domain] = {}
    for name in rng.sample(NAMES, rng.randint(1, len(NAMES))):
        choices = tuple(rng.sample(range(1, 5), rng.randint(1, 4)))
        others = rng.sample(list(search), rng.randint(0, min(3, len(search))))
        when = {o: tuple(rng.sample(range(1, 6), rng.randint(1, 3))) for o in others}
        search[name] = Choice(choices, when)
    return dict(rng.sample(list(search.items()), len(search)))


@pytest.mark.parametrize("seed", range(60))
def test_counting_and_projecting_agree_with_listing_all(seed: int) -> None:
    rng = random.Random(seed)
    search, start = drawn(rng), base({"epochs": 2, "seed": 3, "hidden": 2})
    listed = list(combinations(start, search, order(search)))
    assert count(start, search) == len(listed)
    active = {
        name
        for name, domain in search.items()
        if any(all(s[o] in values for o, values in domain.when.items()) for s in listed)
    }
    assert reachable(start, search) == active
    fields = tuple(rng.sample(NAMES, 3))
    needed = under_test.needed(search, fields)
    part = {name: search[name] for name in needed}
    expected = Counter(
        tuple(s[name] for name in fields) for s in combinations(start, part, order(part))
    )
    assert assignments(start, search, fields) == expected


class Watched(dict[str, Value]):
    """Settings that note which of them are looked at."""

    def __init__(self, settings: dict[str, Value]) -> None:
        super().__init__(settings)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Value:
        self.read.add(name)
        return super().__getitem__(name)


def test_a_rule_reads_its_fields_and_nothing_else() -> None:
    """What a rule reads beside them would not be combined, so that a clash would be missed."""
    rng = random.Random(0)
    values = {
        name: setting.choices or ((False, True) if setting.type is bool else (0, 1, 2, 64, 224))
        for name, setting in SETTINGS.items()
    }
    for rule in CONSTRAINTS:
        read, broken = set(), 0
        for _ in range(3000):
            settings = Watched({name: rng.choice(of) for name, of in values.items()})
            if rule.broken(settings):
                broken += 1
                assert rule.text(settings)
            read |= settings.read
        assert read == set(rule.fields) and broken, rule.key


def space(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return path


def conditional_on_all_before(number: int) -> Iterator[str]:
    """Yield lines of a search, each with a `when:` on the first choice of all before it."""
    first: dict[str, str] = {}
    for name in list(SETTINGS)[:number]:
        setting = SETTINGS[name]
        choices = setting.choices[:2] or ("false", "true")
        if setting.type is int:
            choices = (str(setting.default), str(int(setting.default) * 2 or 1))
        elif setting.type is float:
            choices = (str(setting.default), str((float(setting.default) or 0.1) / 2))
        when = ", ".join(f"{other}: {value}" for other, value in first.items())
        first[name] = choices[0]
        yield f"  {name}: {{choices: [{', '.join(choices)}]{f', when: {{{when}}}' * bool(when)}}}"


@pytest.mark.parametrize("number", [2, 10, 28])
def test_a_chain_of_conditions_is_counted(tmp_path: Path, number: int) -> None:
    """The first k settings have their first choice and the next its second: one each; and one
    where all have their first."""
    lines = [line for line in conditional_on_all_before(number) if "embedding_" not in line]
    start = base({})
    text = "search:\n" + "\n".join(lines) + "\n"
    try:
        assert load(space(tmp_path, text)).size() == number + 1
    except SpaceError as error:  # `loss`, `freeze` and their like go with no default
        assert "more combinations" not in str(error)
    first = {name: Choice((0, 1)) for name in ("a", "b", "c")}
    assert count({**start, "a": 0, "b": 0, "c": 0}, first) == 8


def test_all_nets_losses_and_joins_are_refused_in_a_sentence(tmp_path: Path) -> None:
    """Ten lines of 341,280 combinations. Each rule counts what it reads: 5 × 9 joins and losses,
    of which 3 × 7 + 2 × 2 do not go together."""
    text = f"""search:
  net: [{", ".join(SETTINGS["net"].choices)}]
  join: [concat, difference, linear, cosine, distance]
  loss: [{", ".join(SETTINGS["loss"].choices)}]
  batch_size: [8, 16, 32, 64]
  images_per_person: [0, 2, 4]
  pretrained: [false, true]
  views: [protocol, all]
  flip_average: [false, true]
"""
    with pytest.raises(SpaceError) as caught:
        load(space(tmp_path, text))
    said = str(caught.value).splitlines()
    assert said[0].endswith("4 problems")
    assert said[1].startswith("  line 4  loss: contrastive does not go with join: concat; ")
    assert "; 31 of 55 combinations of join and loss break this" in said[1]
    assert "; 6 of 15 combinations of join and images_per_person break this; " in said[2]
    assert said[2].endswith("give images_per_person `when: {join: [cosine, distance]}`")


def test_what_cannot_be_counted_is_told_to_be_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that each ask about three of the same six others."""
    apart = {"stochastic_depth", "scale_average", "lookalike_people", *JUDGED_BY}  # ask for more
    names = [name for name, s in SETTINGS.items() if s.type is float and name not in apart]
    gates, behind, rng = names[:6], names[6:], random.Random(0)
    lines = ["search:", *(f"  {name}: [0.1, 0.2, 0.3]" for name in gates)]
    for name in behind:
        when = ", ".join(
            f"{other}: {rng.sample([0.1, 0.2, 0.3], 2)}" for other in rng.sample(gates, 3)
        )
        lines.append(f"  {name}: {{choices: [0.1, 0.2], when: {{{when}}}}}")
    path = space(tmp_path, "\n".join(lines) + "\n")
    size = load(path).size()
    assert size and size > 3**6
    monkeypatch.setattr(under_test, "MOST_STEPS", 60)
    with pytest.raises(SpaceError) as caught:
        load(path)
    said = str(caught.value).splitlines()
    assert len(said) == 2 and said[1].startswith("  line 1  search: more combinations of ")
    assert said[1].endswith(" cases); take values or conditions (`when:`) out")


def test_gates_of_many_settings_are_counted_at_once() -> None:
    """20 gates, each with a setting of three values behind it: (1 + 3)^20, in either order."""
    gates = {f"gate{n}": Choice((0, 1)) for n in range(20)}
    behind = {f"behind{n}": Choice((0, 1, 2), {f"gate{n}": (1,)}) for n in range(20)}
    start: dict[str, Value] = dict.fromkeys([*gates, *behind], 0)
    assert count(start, {**gates, **behind}) == count(start, {**behind, **gates}) == 4**20
    joined = {**gates, **behind, "end": Choice((0, 1), {"gate0": (1,), "gate19": (0,)})}
    # Of the 4 cases of both gates, weighted 3 and 1, the one with 1 and 0 counts twice.
    assert count({**start, "end": 0}, joined) == 4**18 * (16 + 3 * 1)


def test_circles_are_found_among_many_conditions() -> None:
    """28 settings that each ask about all before them have 2^27 ways, and no circle."""
    names = [f"s{n}" for n in range(28)]
    search: dict[str, Domain] = {
        name: Choice((0, 1), {other: (0,) for other in names[:at]})
        for at, name in enumerate(names)
    }
    assert circle(search) == []
    search["s0"] = Choice((0, 1), {"s27": (0,)})
    assert circle(search) == ["s0", "s27", "s0"]


def test_a_grid_has_no_more_trials_than_a_search_may_have(tmp_path: Path) -> None:
    text = "search: {seed: {low: 0, high: 2147483647}, augment: [true, false]}\nalgorithm: grid\n"
    with pytest.raises(
        SpaceError,
        match=r"line 2  algorithm: a grid of 4,294,967,296 trials; at "
        r"most 100,000 are run: list fewer values, or take random or tpe",
    ):
        load(space(tmp_path, text))
    assert load(space(tmp_path, text.replace("2147483647", "49999"))).count() == 100_000


def test_the_defaults_break_no_rule() -> None:
    assert TrialConfig().to_dict() == base({})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("search: {lr: [" + "1," * 99_000 + "]}\n", "line 1  not YAML: more than 10,000 values"),
        ("fixed: {lr: 1}\n" + "\t\n" * 60_000, "line 2  a tab; YAML takes spaces only"),
        (
            "search:\n  lr: {low: 0.1, high: 0.4, step: 1e-308}\n",
            "line 2  lr: a step of 1e-308 makes more than 1,000,000,000 values; leave it out",
        ),
        ("search:\n" + "".join(f"  k{n}: 1\n" for n in range(4000)), "line 2  k0: not a setting"),
    ],
    ids=["choices", "tabs", "steps", "keys"],
)
def test_a_small_file_makes_no_endless_work_nor_an_endless_message(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(SpaceError) as caught:
        load(space(tmp_path, text))
    said = str(caught.value).splitlines()
    assert said[1] == f"  {sentence}"
    assert len(said) <= 42 and (len(said) < 42 or said[-1].startswith("  and "))


def test_a_default_that_does_not_go_with_what_is_given_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(SpaceError) as caught:
        load(space(tmp_path, "fixed: {join: cosine}\nsearch: {lr: [0.1, 0.2]}\n"))
    said = str(caught.value)
    assert "loss: two does not go with join: cosine; contrastive, " in said
    assert said.endswith("(loss is not given, so its default counts)")
