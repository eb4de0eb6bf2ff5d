"""Training into a folder: the weights of the best epoch, the settings and the curve."""

from __future__ import annotations

import csv
import io
import json
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from facesiam.cli.interrupts import WORDS
from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.device.arithmetic import extend_history
from facesiam.device.reproducibility import current_arithmetic
from facesiam.errors import UserError, WeightsError
from facesiam.files import write_text
from facesiam.fingerprint import noted_with_key
from facesiam.nets.checkpoint import Writer
from facesiam.nets.weight_files import read_weights
from facesiam.objective import Objective
from facesiam.training.loop import Halted, Training
from facesiam.training.saving import Saver

MADE = "trained.json"
"""Notes the key of the training that a folder holds, and its ``ran``; written last."""
STATE, BEST, WEIGHTS = Path("state.pt"), Path("best.pt"), Path("weights.pt")
"""While a training is not done: the state to go on from, and its best epoch's weights. When it is
done these get the name by which they are found and used."""
OTHERS = ("test*.json", "scores*.csv", "epochs.csv", "fold.json")
"""What a training and the tests of its net leave beside them."""


def is_trained(folder: Path, key: str) -> bool:
    """Return whether a folder has the weights of the training with this key."""
    return (folder / "weights.pt").is_file() and noted_with_key(folder / MADE, key) is not None


def train(
    config: TrialConfig,
    data: FaceData,
    weights: Mapping[str, str],
    folder: Path,
    objective: Objective,
    key: str,
    show: Callable[[Mapping[str, Any]], None] = lambda metrics: None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Train a net, and leave its best epoch's weights, settings and curve in a folder.

    A training of this key that was cut off goes on from state.pt, which is saved after each epoch
    where that costs at most 5 % of the time, and on SIGINT, SIGTERM or SIGHUP after the present
    step. What another training left in the folder goes first: a folder holds one.

    Args:
        config: the settings.
        data: opened data.
        weights: file of pretrained weights per net.
        folder: where weights.pt, settings.json and epochs.csv go, each atomically.
        objective: decides which epoch is best; of equals the first.
        key: of this work; noted last, in trained.json, with what it was computed with.
        show: called with the metrics of each epoch that ends.
        say: called with a line where the training goes on, and where a signal cuts it off.

    Raises:
        UserError: the objective's metric was NaN in every epoch.
        OSError: a file cannot be written.
    """
    training = Training(config, data, weights)
    now = current_arithmetic(config.net, config.precision, training.device.type)
    state = state_of(folder, key)
    ran = extend_history(state.get("ran", ()), now, int(state.get("epoch", 0)))
    saver = Saver(
        training,
        Writer(),
        files=(folder / STATE, folder / BEST),
        data=data.key,
        objective=objective,
        keep_threshold=None,
        ran=ran,
        key=key,
    )
    if state:
        saver.load(state)
        last = config.epochs - 1
        within = f"in epoch {training.epoch}; the last is {last}"
        say(f"goes on {within if training.epoch <= last else 'after its last epoch'}")
    else:
        _clear(folder)
    _train_on(training, saver, show, say)
    if (folder / BEST).exists():
        (folder / BEST).replace(folder / WEIGHTS)
    if not (folder / WEIGHTS).exists():
        why = f"{objective.metric} was a number in no epoch; nothing to test"
        raise UserError(f"{folder}: {why}")
    write_text(folder / "settings.json", json.dumps(config.to_dict(), indent=1) + "\n")
    write_text(folder / "epochs.csv", _csv(saver.history))
    write_text(folder / MADE, json.dumps({"key": key, "ran": ran}) + "\n")
    (folder / STATE).unlink(missing_ok=True)


def _train_on(
    training: Training,
    saver: Saver,
    show: Callable[[Mapping[str, Any]], None],
    say: Callable[[str], None],
) -> None:
    """Train the epochs that are left, and save their states where that is cheap.

    Raises:
        KeyboardInterrupt: a signal cut it off, and does nothing else of its own.
    """
    with _signals_that_halt(training):
        try:
            for metrics in training:
                saver.add(metrics.to_dict())
                show(saver.history[-1])
                saver.save_when_cheap()
            if training.halt.is_set():  # too late to halt it, and its files are not written yet
                saver.save()
            saver.writer.flush()
        except Halted:
            saver.save()
            saver.writer.flush()
            say(f"cut off in epoch {training.epoch}, whose state is saved")
            raise KeyboardInterrupt from None


def state_of(folder: Path, key: str) -> dict[str, Any]:
    """Return the saved state of the training with this key; empty where there is none to use."""
    if not (folder / STATE).is_file():
        return {}
    try:
        state: dict[str, Any] = read_weights(folder / STATE)
    except WeightsError:
        return {}  # damaged: it begins anew
    if state.get("key") != key:
        return {}
    chosen = state["best"] > -math.inf
    kept = any((folder / name).is_file() for name in (BEST, WEIGHTS))
    return state if kept or not chosen else {}


def _clear(folder: Path) -> None:
    """Remove what an earlier training left, whose settings may differ."""
    for name in (MADE, *map(str, (STATE, BEST, WEIGHTS)), *OTHERS):
        for file in folder.glob(name):
            file.unlink()


@contextmanager
def _signals_that_halt(training: Training) -> Iterator[None]:
    """Within this a first signal halts the training, and does what it did before when that ends.

    A second one does so at once. Where signals are not this thread's to handle, none halts it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def halt(number: int, _frame: FrameType | None) -> None:
        """Halt the training, or let the signal do what it did before."""
        if came:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)
        came.append(number)
        training.halt.set()

    ends = [number for number in WORDS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, halt) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
