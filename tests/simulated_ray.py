"""Ray as the recorder sees it, without Ray: trials that start, report epochs and end."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from builders import space
from rich.console import Console

from facesiam.config import Value
from facesiam.config.metrics import FIELDS
from search.space import SearchSpace
from search.tuning import journal_replay
from search.tuning.live_table import LiveTable
from search.tuning.recorder import Recorder


def quiet(space: SearchSpace) -> LiveTable:
    """The live table of a search, which shows nothing."""
    return LiveTable(space.count(), space.objective, Console(quiet=True))


def started(
    space: SearchSpace, run: Path, table: LiveTable | None = None, **more: Any
) -> Recorder:
    """A recorder of a run, new or from an earlier session, as the driver starts it."""
    recorder = Recorder(journal_replay.replay(space, run), run, table or quiet(space), **more)
    recorder.start()
    return recorder


def recorder(run: Path, text: str) -> Recorder:
    """A recorder of a run of this space file, new or from an earlier session."""
    return started(space(run, text), run)


def play(
    recorder: Recorder,
    scores: list[float],
    end: str = "complete",
    start: int = 0,
    error: str = "Traceback\nValueError: broken\n",
    **metrics: float,
) -> str:
    """Run the next trial with these validation accuracies, as Ray would; return its id.

    The scheduler is asked first, and told of the last epoch in another way than of the others.
    """
    suggestion = recorder.next()
    assert suggestion is not None
    settings = suggestion.settings
    trial: Any = SimpleNamespace(
        trial_id="ray-id",
        config={"trial": suggestion.trial, "settings": settings},
        error_file=str(recorder.run / "error.txt"),
    )
    with (recorder.run / "error.txt").open("a") as file:
        file.write(f"Failure # 1 (occurred at noon)\n{error}")
    recorder.state.scheduler.on_trial_add(None, trial)
    recorder.on_trial_start(0, [], trial)
    for epoch, score in enumerate(scores, start):
        weights = recorder.run / "weights" / f"{suggestion.trial}.pt"
        weights.parent.mkdir(exist_ok=True)
        weights.touch()
        row = dict.fromkeys(FIELDS, 0.5) | {
            "epoch": epoch,
            "val_acc": score,
            "val_loss": 1 - score,
            "val_pairs": 100,
            "updates": 50,
            **metrics,
        }
        decision = "STOP"
        if epoch + 1 == settings["epochs"]:
            recorder.state.scheduler.on_trial_complete(None, trial, row)
        else:
            decision = recorder.state.scheduler.on_trial_result(None, trial, row)
        recorder.on_trial_result(0, [], trial, row)
        if decision == "STOP":
            break
    if end == "complete":
        recorder.on_trial_complete(0, [], trial)
    elif end == "error":
        recorder.on_trial_error(0, [], trial)
    return suggestion.trial


class Workers:
    """Ray, as the recorder sees it: some trials at once, one event after the other.

    Args:
        recorder: of the search.
        count: trials that run at once.
        seed: of the order of events.
        late: a worker starts some events after its trial was handed out, not at once.
    """

    def __init__(self, recorder: Recorder, count: int, seed: int = 0, late: bool = False) -> None:
        self.recorder, self.count, self.late = recorder, count, late
        self.rng = random.Random(seed)
        self.trials: dict[str, SimpleNamespace] = {}
        self.ran: list[tuple[str, int]] = []
        self.cost_of: Callable[[Mapping[str, Value]], dict[str, float]] | None = None
        """What a net of these settings costs in use; None: nothing measures it."""

    def go(self) -> bool:
        """Let one thing happen: a trial starts, or one reports an epoch; False at the end."""
        recorder = self.recorder
        if len(self.trials) < self.count and (suggestion := recorder.next()):
            name, settings = suggestion.trial, suggestion.settings
            trial = SimpleNamespace(config={"trial": name, "settings": settings}, error_file=None)
            trial.epoch = recorder.state.epochs_noted(name)
            recorder.state.scheduler.on_trial_add(None, trial)
            trial.starts = self.late
            if not self.late:
                recorder.on_trial_start(0, [], trial)
            self.trials[name] = trial
            return True
        if not self.trials:
            return False
        trial = self.trials[self.rng.choice(sorted(self.trials))]
        if trial.starts:
            trial.starts = False
            recorder.on_trial_start(0, [], trial)
        else:
            self.report(trial)
        return True

    def report(self, trial: SimpleNamespace) -> None:
        """Report an epoch of a trial as Ray does, and its end where there is one."""
        name, settings, recorder = trial.config["trial"], trial.config["settings"], self.recorder
        row: dict[str, Any] = metrics(name, settings, trial.epoch)
        row |= {"cost": self.cost_of(settings)} if self.cost_of else {}
        self.ran.append((name, trial.epoch))
        trial.epoch += 1
        if last := trial.epoch == settings["epochs"]:
            recorder.state.scheduler.on_trial_complete(None, trial, row)
            decision = "STOP"
        else:
            decision = recorder.state.scheduler.on_trial_result(None, trial, row)
        recorder.on_trial_result(0, [], trial, row)
        if decision == "STOP" or last:
            del self.trials[name]
            recorder.on_trial_complete(0, [], trial)


def metrics(name: str, settings: Mapping[str, Value], epoch: int) -> dict[str, float]:
    """What an epoch of a trial measures, whenever it is trained: some learn, some break."""
    rng = random.Random(f"{name}/{epoch}")
    lr = float(settings["lr"])
    kind = random.Random(f"{lr:.9f}").randrange(8)
    broken, stalls = kind == 6 and epoch == 1, kind == 1
    level = 0.5 if stalls else 0.6 + 0.04 * kind + 0.02 * epoch
    return dict.fromkeys(FIELDS, 0.5) | {
        "epoch": epoch,
        "val_acc": round(level + rng.uniform(0, 0.02), 4),
        "val_pairs": 2000,
        "train_loss": float("nan") if broken else 0.5,
        "updates": 50,
        "trunk_grad_zero": 0.0,
    }
