"""The rules on histories written by hand, and on the runs of the 2019 study."""

from __future__ import annotations

import inspect
import math
from typing import Any, cast

import pytest
from builders import DEAD

from search.pruning.history import History
from search.pruning.late_start import WITHIN, Odds
from search.pruning.recorded_runs import Curve, shipped
from search.pruning.rules import RULES, chance, dead, diverged, plateau
from search.pruning.stop_decision import StopDecision
from search.space import prune

NAN = math.nan


def test_every_rule_of_a_space_file_is_here_or_compares_trials() -> None:
    others = {"asha", "halving"}
    assert set(RULES) | others == set(prune.RULE_OPTIONS) and not others & set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_the_defaults_of_a_rule_are_those_of_a_space_file(name: str) -> None:
    given = {
        name: parameter.default
        for name, parameter in inspect.signature(RULES[name]).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "odds"
    }
    if name == "chance":  # the level is the history's, as ASHA waits for the same take-off
        given["level"] = History().level
    options = prune.RULE_OPTIONS[name]
    assert given == (options.model_construct().model_dump(exclude_none=True) if options else {})
    assert bool(given) == (name in ("chance", "plateau"))


# diverged


@pytest.mark.parametrize(
    ("train", "val", "text"),
    [
        (0.69, 0.7, None),
        (math.nan, 0.7, "train_loss is nan at epoch 1"),
        (math.inf, 0.7, "train_loss is inf at epoch 1"),
        (0.69, -math.inf, "val_loss is -inf at epoch 1"),
    ],
)
def test_a_loss_that_is_not_finite_ends_it(train: float, val: float, text: str | None) -> None:
    rows = [{"train_loss": 0.7, "val_loss": 0.7}, {"train_loss": train, "val_loss": val}]
    reason = diverged(History(rows))
    assert (reason and reason.reason) == text


def test_only_the_last_loss_counts_and_a_loss_that_is_not_recorded_is_none() -> None:
    assert diverged(History([{"train_loss": NAN}, {"train_loss": 0.7}])) is None
    assert diverged(History([{"val_acc": 0.5}])) is None


# dead

LIVE = DEAD | {
    "trunk_grad_zero": 0.0,
    "trunk_grad_max": 1e-3,
    "trunk_live": 0.9,
    "logit_spread": 0.4,
}


def judged(*rows: dict[str, float], decay: float | None = 0.0) -> StopDecision | None:
    """The verdict of dead on these epochs."""
    return dead(History(list(rows), {} if decay is None else {"weight_decay": decay}))


def test_a_dead_net_is_stopped_with_the_evidence() -> None:
    reason = judged(LIVE, LIVE, DEAD, DEAD)
    assert reason and reason.reason == (
        "no gradient reached the trunk in 100 updates (epochs 2 to 3), and no unit of its last "
        "ReLU is live: the outputs no longer depend on the images (they spread over 0)"
    )
    assert (reason.value, reason.cutoff, reason.peers) == (0, 0, None)


def test_the_text_names_the_epochs_without_a_gradient_and_no_others() -> None:
    one = judged(LIVE, DEAD | {"updates": 100})
    assert one and "in 100 updates (epoch 1)," in one.reason
    all_of_it = judged(DEAD, DEAD, DEAD)
    assert all_of_it and "in 150 updates (epochs 0 to 2)," in all_of_it.reason
    broken = judged(DEAD, DEAD, LIVE, DEAD, DEAD)  # those before the interruption do not count
    assert broken and "in 100 updates (epochs 3 to 4)," in broken.reason


@pytest.mark.parametrize(
    "change",
    [
        {"trunk_grad_max": 1e-45},  # the least that fp32 has above 0
        {"trunk_grad_zero": 0.99},
        {"trunk_grad_max": NAN, "trunk_grad_zero": NAN},  # the trunk is frozen
        {"trunk_live": 1e-6},
        {"trunk_live": NAN},
        {"train_loss": 0.599},  # it has fitted some of its training pairs
        {"train_loss": 0.0},
        {"train_loss": NAN},
    ],
)
def test_each_condition_is_needed(change: dict[str, float]) -> None:
    row = DEAD | {"logit_spread": 1e-9} | change
    assert judged(*[row] * 9) is None
    assert judged(*[row | DEAD] * 9) is not None


@pytest.mark.parametrize(
    "name", ["trunk_grad_zero", "trunk_grad_max", "trunk_live", "updates", "train_loss"]
)
def test_what_was_not_recorded_certifies_nothing(name: str) -> None:
    row = DEAD | {"logit_spread": 1.0}
    del row[name]
    assert judged(*[row] * 9) is None


def test_a_training_loss_of_0_6_is_still_that_of_a_blind_net_and_the_last_one_counts() -> None:
    fitted = DEAD | {"train_loss": 0.1}
    assert judged(*[DEAD | {"train_loss": 0.6}] * 2) is not None
    assert judged(fitted, DEAD) is not None
    assert judged(DEAD, fitted) is None


def test_a_gradient_that_is_back_in_the_last_epoch_saves_it() -> None:
    back = DEAD | {"trunk_grad_max": 1e-30, "trunk_grad_zero": 0.98}
    assert judged(*[DEAD] * 9, back) is None


def test_99_updates_are_too_few() -> None:
    assert judged(DEAD, DEAD | {"updates": 49}) is None
    assert judged(DEAD, DEAD | {"updates": 50}) is not None


@pytest.mark.parametrize(
    ("settings", "updates"),
    [
        ({}, 100),
        ({"optimizer": "adamw"}, 100),
        ({"optimizer": "sgd", "momentum": 0.0}, 100),
        # 0.9^100 = 0.99^n: n = 100 ln 0.9 / ln 0.99 = 1048.3.
        ({"optimizer": "sgd", "momentum": 0.99}, 1049),
        # At the end of epoch 29 of 60 the rate has 18 / 10 of what it had after 10 of its 18
        # epochs of warm-up: ln 1.8 / -ln 0.9 = 5.6 updates more.
        ({"warmup": 0.3, "epochs": 60}, 106),
        ({"schedule": "cosine", "epochs": 60}, 100),
    ],
)
def test_momentum_is_spent_after_as_many_updates_as_it_takes(
    settings: dict[str, Any], updates: int
) -> None:
    """20 epochs without a gradient, the first of them epoch 10; from epoch 0 on there is none."""
    for number, certain in ((updates - 1, False), (updates, True)):
        each = [number // 20 + (epoch < number % 20) for epoch in range(20)]
        rows = [LIVE] * 10 + [DEAD | {"updates": count} for count in each]
        history = History(rows, {"weight_decay": 0.0, **settings})
        assert (dead(history) is not None) == certain
    never = History([DEAD] * 2, {"weight_decay": 0.0, **settings})
    assert dead(never) is not None


@pytest.mark.parametrize("decay", [1e-8, None])
def test_nothing_is_certified_under_weight_decay_or_where_it_is_unknown(
    decay: float | None,
) -> None:
    assert judged(*[DEAD] * 9, decay=decay) is None


@pytest.mark.parametrize(
    ("change", "layer"),
    [
        ({"trunk_live": 0.7, "head_live": 0.0}, "a ReLU layer of the head has no live unit"),
        ({"trunk_live": NAN, "head_live": 0.0}, "a ReLU layer of the head has no live unit"),
        ({"head_live": 0.0}, "no unit of its last ReLU is live"),
        # Without a ReLU nothing says that the layers are dead, though every pair gets one answer.
        ({"trunk_live": NAN, "head_live": NAN, "logit_spread": 0.0}, None),
        ({"trunk_live": 0.7, "head_live": NAN}, None),  # one live layer, and no ReLU behind it
    ],
)
def test_which_layer_is_dead(change: dict[str, float], layer: str | None) -> None:
    reason = judged(*[DEAD | change] * 2)
    assert (layer is None) == (reason is None)
    assert reason is None or f", and {layer}: " in reason.reason


def test_the_best_net_of_a_search_has_no_gradient_either_and_goes_on() -> None:
    """Its softmax is saturated on all training pairs; its layers live. Either alone saves it."""
    fitted = {
        "updates": 188,
        "trunk_grad_zero": 1.0,
        "trunk_grad_max": 0.0,
        "trunk_live": 0.8,
        "head_live": 0.6,
        "logit_spread": 90.0,
        "val_acc": 0.86,
        "val_pairs": 2000,
        "train_loss": 1e-9,
    }
    assert judged(*[fitted] * 20) is None
    assert judged(*[fitted | {"trunk_live": 0.0}] * 20) is None
    assert judged(*[fitted | {"train_loss": 0.7}] * 20) is None
    assert judged(*[fitted | {"trunk_live": 0.0, "train_loss": 0.7}] * 20) is not None


# chance


class Fixed(Odds):
    """Odds that are the same whatever is asked; keeps the questions."""

    def __init__(self, ratio: float | None) -> None:
        super().__init__(())
        self.fixed, self.asked = ratio, list[tuple[Any, ...]]()

    def runs(self, without: str = "") -> int:
        return 7

    def ratio(self, *asked: Any, without: str = "", **objective: Any) -> float | None:
        self.asked.append((*asked, without))
        return self.fixed


def guessing(epochs: int, planned: int = 10, accuracy: float = 0.55) -> History:
    """A trial of 100 pairs that guesses: its band ends at 0.67."""
    rows = [{"val_acc": accuracy, "val_pairs": 100}] * epochs
    return History(rows, {"epochs": planned, "protocol": "p"}, 0.8, "x")


def test_chance_weighs_care_times_the_odds_against_the_epochs_left() -> None:
    """8 x 0.0625 = 0.5: stopped while more than half of the 10 epochs is left, and not after."""
    odds = Fixed(0.0625)
    stopped = [chance(guessing(n), care=8, odds=odds) is not None for n in range(1, 11)]
    assert stopped == [True] * 4 + [False] * 6
    # 4 x 0.0625 = 0.25: after 7 epochs 0.3 of them is left, after 8 it is 0.2.
    stopped = [chance(guessing(n), care=4, odds=odds) is not None for n in range(6, 10)]
    assert stopped == [True, True, False, False]


def test_chance_says_what_it_weighed() -> None:
    odds = Fixed(0.0625)
    reason = chance(guessing(3), care=8, odds=odds)
    assert reason == StopDecision(
        "chance",
        "at chance for 3 epochs: accuracy at most 55.0 %, where guessing 100 pairs stays below "
        "67.0 %; care 8 × odds 0.062 of a good late start (from 7 recorded runs) = 0.50, less "
        "than the 0.70 of its epochs that are left",
        2,
        value=0.55,
        cutoff=0.67,
        peers=7,
    )
    assert odds.asked == [(2, 10, ("p", 100), 0.8, "x")]


def test_chance_lets_go_on_what_took_off_once() -> None:
    history = guessing(5)
    history.rows[1] = {"val_acc": 0.67, "val_pairs": 100}
    assert chance(history, odds=Fixed(0.0)) is None
    assert chance(guessing(5, accuracy=0.66), odds=Fixed(0.0)) is not None


def test_the_level_moves_the_band() -> None:
    """P(66 or more of 100) = 0.0009: outside at a level of 0.02, which leaves 0.001 a tail."""
    history = guessing(5, accuracy=0.66)
    assert chance(history, odds=Fixed(0.0)) is not None  # 0.01 is the default
    history.level = 0.02
    assert chance(history, odds=Fixed(0.0)) is None
    history = guessing(5, accuracy=0.65)
    history.level = 0.02
    reason = chance(history, odds=Fixed(0.0))
    assert reason and reason.cutoff == 0.66


def test_chance_is_silent_where_a_good_net_could_look_like_guessing() -> None:
    """The band of 100 pairs ends at 0.67, and 0.67 is good beside a leader of 0.69."""
    history = guessing(3)
    for leader, stops in ((0.6, False), (0.69, False), (0.70, True), (NAN, True)):
        history.leader = leader
        assert (chance(history, odds=Fixed(0.0)) is not None) == stops
    # The same for any good leader where so few pairs that no accuracy is outside the band.
    few = guessing(3)
    few.rows, few.leader = [{"val_acc": 0.5, "val_pairs": 10}] * 3, 0.99
    assert chance(few, odds=Fixed(0.0)) is None


def test_chance_is_silent_where_guessing_is_right_more_often_than_a_coin() -> None:
    """The pairs of CFP's first people are unbalanced."""
    history = guessing(3)
    history.settings = {**history.settings, "protocol": "cfp-pairs", "people": 0}
    assert chance(history, odds=Fixed(0.0)) is not None
    history.settings = {**history.settings, "people": 50}
    assert chance(history, odds=Fixed(0.0)) is None


def test_chance_stops_nobody_on_what_is_unknown() -> None:
    nothing = Fixed(0.0)
    assert chance(guessing(3), odds=nothing) is not None
    assert chance(guessing(3), odds=None) is None
    assert chance(guessing(3), odds=Fixed(None)) is None  # no recorded runs
    assert chance(guessing(3), odds=Odds(())) is None
    assert chance(guessing(3, planned=0), odds=nothing) is None
    unknown = guessing(3)
    unknown.rows = [{"val_acc": 0.5}] * 3
    assert chance(unknown, odds=nothing) is None
    # Of the last of 10 epochs nothing is left: there is nothing to save.
    assert chance(guessing(10), odds=nothing) is None


# plateau


def flat(best: float, leader: float, still: int, pairs: int = 100) -> History:
    """A trial with its best in the first epoch, and so many worse ones since."""
    rows = [{"val_acc": best, "val_pairs": pairs}]
    rows += [{"val_acc": best - 0.01, "val_pairs": pairs}] * still
    return History(rows, {"epochs": 60}, leader)


def test_plateau_stops_what_stands_still_surely_below_the_leader() -> None:
    """Of 100 pairs Wilson's 95 % intervals are: 0.72 up to 0.799, 0.90 from 0.826, and 0.87 from
    0.790, which overlaps."""
    reason = plateau(flat(0.72, 0.90, 20))
    assert reason == StopDecision(
        "plateau",
        "no better epoch for 20 epochs: best val_acc 72.0 % (at most 79.9 % with 95 %) of epoch "
        "0, the leader has 90.0 % (at least 82.6 %)",
        20,
        value=0.72,
        cutoff=0.90,
    )
    assert plateau(flat(0.72, 0.87, 20)) is None


def test_plateau_waits_for_its_patience_since_the_best_epoch() -> None:
    assert plateau(flat(0.72, 0.90, 19)) is None
    assert plateau(flat(0.72, 0.90, 3), patience=3) is not None
    late = flat(0.72, 0.90, 20)
    late.rows.append({"val_acc": 0.73, "val_pairs": 100})  # a new best: patience starts again
    assert plateau(late) is None
    late.rows += [{"val_acc": 0.73, "val_pairs": 100}] * 19  # as good is not better
    assert plateau(late) is None
    late.rows.append({"val_acc": 0.73, "val_pairs": 100})
    assert plateau(late) is not None


def test_plateau_lets_go_on_within_a_gap_whatever_the_intervals_say() -> None:
    """Of a million pairs the intervals are a tenth of a point wide."""
    assert plateau(flat(0.8, 0.8199, 20, 10**6)) is None
    assert plateau(flat(0.8, 0.8201, 20, 10**6)) is not None
    assert plateau(flat(0.8, 0.8201, 20, 10**6), within=0.03) is None


def test_plateau_leaves_guessing_to_chance() -> None:
    """0.69 of 100 is inside the band of 60 looks (0.70): its best was no start."""
    assert plateau(flat(0.69, 0.90, 20)) is None
    assert plateau(flat(0.70, 0.90, 20)) is not None


@pytest.mark.parametrize(
    "history",
    [
        flat(0.72, NAN, 20),  # no other trial yet
        flat(0.72, 0.90, 20, pairs=0),
        History([{"val_pairs": 100}] * 30, {"epochs": 60}, 0.9),
        History([{"val_acc": NAN, "val_pairs": 100}] * 30, {"epochs": 60}, 0.9),
    ],
)
def test_plateau_stops_nobody_on_what_is_unknown(history: History) -> None:
    assert plateau(history) is None


# The runs of the 2019 study


def stopped(curve: Curve, leader: float) -> dict[str, int]:
    """Return at which epoch each rule would stop a run that knows the leader from the start."""
    defaults, odds = prune.pruning(), Odds(shipped(), own=True)
    found: dict[str, int] = {}
    for rule in (chance, plateau):
        given = dict(defaults[rule.__name__])
        if rule is chance:
            given = {"care": given["care"], "odds": odds}
        for epoch in range(len(curve.rows)):
            history = History(list(curve.rows[: epoch + 1]), curve.settings, leader, curve.id)
            if cast(Any, rule)(history, **given):
                found[rule.__name__] = epoch
                break
    return found


def test_no_good_run_of_the_study_is_stopped_even_with_its_leader_known() -> None:
    """The harshest case: every run is held against the best of its contest from epoch 0 on."""
    runs = [curve.capped(60) for curve in shipped()]
    verdicts, good = {}, set()
    for curve in runs:
        rest = [c.best() for c in runs if c.contest == curve.contest and c is not curve]
        verdicts[curve.id] = stopped(curve, max(rest))
        if curve.best() >= max(rest) - WITHIN:
            good.add(curve.id)
    assert len(runs) == 18 and good == {"5", "6", "B", "D", "E", "H"}
    assert {run: rules for run, rules in verdicts.items() if rules} == {
        # 1, 2 and C start at 18, 16 and 12 and end 5, 3 and 5 points below the best. The seven
        # are all that still wait after epoch 6, so that each, its own curve left out, has odds of
        # 1/7 / (7/18) · (23/26) ** 16 = 0.052: 16 times that, 0.83, is less than the 0.88 of the
        # epochs that are left. After epoch 5 it was 0.097, and 1.55.
        **{run: {"chance": 6} for run in ("1", "2", "4", "C", "G", "J", "K")},
        "A": {"plateau": 26},  # its best, 0.81 at epoch 6, is 5 points below E's
    }
