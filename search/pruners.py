"""When to stop a trial: rules over its history, and the thin adapter that applies them in Ray.

A rule takes the history, the EpochMetrics of a trial as dicts from epoch 0 on, and returns None or
the reason to stop. It does not know Ray, so live trials, tests and replay share it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from search.space import SearchSpace

History = Sequence[Mapping[str, float]]
Rule = Callable[[History], str | None]


class Stop(NamedTuple):
    """Why a trial was stopped."""

    rule: str
    reason: str


def diverged(history: History) -> str | None:
    """Stop a trial whose last epoch has a loss that is not finite: no update can mend it."""
    last = history[-1]
    for name in ("train_loss", "val_loss"):
        if not math.isfinite(last[name]):
            return f"{name} is {last[name]:g} at epoch {int(last['epoch'])}"
    return None


RULES: dict[str, Rule] = {"diverged": diverged}
"""The names that `prune:` of a space file knows, beside `asha`."""


class _Named(NamedTuple):
    """All that ASHA wants to know of a trial."""

    trial_id: str


class Scheduler(FIFOScheduler):
    """Asks our rules first, then Ray's ASHA, and remembers why a trial was stopped.

    The rules sit here and not in a Ray Stopper, because a result that a Stopper ends never
    reaches the scheduler. ASHA counts a trial's best value so far.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._metric: str = space.metric
        self._mode: str = space.mode
        self.rules = {name: rule for name, rule in RULES.items() if space.prune.get(name)}
        # Any, as it is handed _Named for a trial and no controller.
        self.asha: Any = _asha(space)
        self.histories: dict[str, list[dict[str, Any]]] = {}
        """Epochs by our own trial id, which outlives a session as Ray's ids do not."""
        self.stops: dict[str, Stop] = {}

    def enter(self, name: str, metrics: Mapping[str, Any]) -> None:
        """Add an epoch to a trial's history; an epoch that is run again replaces what it was."""
        history = self.histories.setdefault(name, [])
        del history[int(metrics["epoch"]):]
        history.append(dict(metrics))

    def replay(self, name: str, history: History, rule: str | None) -> None:
        """Enter the epochs of an earlier session in the history and in ASHA's rungs.

        Args:
            name: the trial.
            history: its epochs.
            rule: what stopped it, if anything did.
        """
        if self.asha:
            self.asha.on_trial_add(None, _Named(name))
        for metrics in history:
            self.enter(name, metrics)
            self._ask_asha(name)
        if rule in RULES and history:
            self._enter_first_rung(name)
        self.stops.pop(name, None)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Give the trial its place in ASHA's bracket."""
        if self.asha:
            self.asha.on_trial_add(tune_controller, _Named(trial.config["trial"]))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return STOP or CONTINUE for the result that has just come in."""
        name = trial.config["trial"]
        self.enter(name, result)
        if self._ask_rules(name):
            return self.STOP
        return self._ask_asha(name)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Take the last result of a trial: Ray shows that of its last epoch nowhere else."""
        name = trial.config["trial"]
        if "epoch" in result and name not in self.stops:
            self.enter(name, result)
            if not self._ask_rules(name):
                self._ask_asha(name, ended=True)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Nothing: what a failed trial scored before stays in its rungs."""

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Nothing, as for a failed trial."""

    def debug_string(self) -> str:
        """Name the rules in force, for Ray's own files."""
        return f"rules: {', '.join(self.rules) or 'none'}; asha: {'on' if self.asha else 'off'}"

    def _ask_rules(self, name: str) -> bool:
        for rule_name, rule in self.rules.items():
            if reason := rule(self.histories[name]):
                self.stops[name] = Stop(rule_name, reason)
                self._enter_first_rung(name)
                return True
        return False

    def _enter_first_rung(self, name: str) -> None:
        """Count a trial that a rule stopped among the first rung's, with the best it reached.

        Left out, the rung would hold good trials only, and its cutoff would stop some of them.
        """
        if self.asha:
            scored = self._best_so_far(self.histories[name])
            first = self.asha._trial_info[name]._rungs[-1][1]
            first.setdefault(name, self.asha._metric_op * scored[self._metric])

    def _ask_asha(self, name: str, ended: bool = False) -> str:
        if self.asha is None:
            return self.CONTINUE
        scored = self._best_so_far(self.histories[name])
        rung = _rung(self.asha, name, scored["epochs_run"])
        decision: str = self.asha.on_trial_result(None, _Named(name), scored)
        if decision == self.STOP and rung and not ended:
            milestone, cutoff, peers = rung
            self.stops[name] = Stop(
                "asha",
                f"best {self._metric} {scored[self._metric]:.4f} after {milestone:g} epochs, "
                f"cutoff {cutoff:.4f} of {peers} peers",
            )
        return decision

    def _best_so_far(self, history: History) -> dict[str, Any]:
        best = max if self._mode == "max" else min
        values = [row[self._metric] for row in history if math.isfinite(row[self._metric])]
        worst = -math.inf if self._mode == "max" else math.inf
        last = history[-1]
        value = best(values) if values else worst
        return {**last, "epochs_run": last["epoch"] + 1, self._metric: value}


def _asha(space: SearchSpace) -> ASHAScheduler | None:
    settings = space.prune.get("asha")
    # Rows are run to compare them with published figures, so they run to their end.
    if not settings or space.algorithm == "rows":
        return None
    return ASHAScheduler(
        time_attr="epochs_run", metric=space.metric, mode=space.mode, max_t=space.max_epochs(),
        grace_period=settings["grace"], reduction_factor=settings["factor"],
        stop_last_trials=False,
    )


def _rung(asha: Any, trial_id: str, epochs: float) -> tuple[float, float, int] | None:
    """Return milestone, cutoff and peers of the rung that the result is about to enter."""
    bracket = asha._trial_info[trial_id]
    for milestone, recorded in bracket._rungs:  # highest first
        if epochs >= milestone and trial_id not in recorded:
            cutoff = bracket.cutoff(recorded)
            if cutoff is None:
                return None
            return milestone, asha._metric_op * float(cutoff), len(recorded)
    return None
