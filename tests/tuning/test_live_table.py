"""What a user sees, as text."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from facesiam.objective import Objective
from search.resources.cost import human_seconds
from search.tuning.live_table import LiveTable


def table(terminal: bool = False, width: int = 160, **more: Any) -> tuple[LiveTable, io.StringIO]:
    """A live table that writes into a string."""
    text = io.StringIO()
    console = Console(
        file=text, width=width, height=40, force_terminal=terminal, color_system=None
    )
    return LiveTable(3, Objective(), console, ("lr", "optimizer"), clock=lambda: 0.0, **more), text


METRICS = {"epoch": 1, "val_acc": 0.8125, "train_loss": 0.5, "val_loss": 0.4, "seconds": 2.0}
SETTINGS = {"lr": 0.00116052, "optimizer": "sgd", "seed": 7}


def rendered(shown: LiveTable, text: io.StringIO) -> list[str]:
    """The lines of the table as it stands."""
    before = len(text.getvalue())
    shown.console.print(shown.render())
    return [line.rstrip() for line in text.getvalue()[before:].splitlines()]


def test_without_a_terminal_each_trial_that_ends_is_a_line() -> None:
    shown, text = table()
    with shown:
        shown.started("0001", 4, SETTINGS)
        shown.epoch("0001", METRICS)
        assert text.getvalue() == ""
        shown.ended("0001", "stopped", 0.8125, "train_loss is nan at epoch 2")
    assert text.getvalue() == (
        "trial 0001: stopped: train_loss is nan at epoch 2; 2/4 epochs; val_acc 81.2 %; lr 0.001161,"
        " optimizer sgd; 1 of 3 ended; best 81.2 % (0001)\n"
    )


def test_between_the_ends_of_trials_a_line_a_minute_says_how_far_it_is() -> None:
    text, now = io.StringIO(), [0.0]
    shown = LiveTable(3, Objective(), Console(file=text, width=160), clock=lambda: now[0])

    def looked(at: float) -> str:
        """What a look at this time shows."""
        now[0], before = at, len(text.getvalue())
        shown.look()
        return text.getvalue()[before:]

    with shown:
        shown.started("0001", 4)
        assert looked(59) == ""
        assert looked(60) == "search: 0 epochs of about 12; 0 of 3 ended; running 0001 0/4\n"
        assert looked(600) == ""  # nothing has changed
        shown.epoch("0001", METRICS)
        (line,) = looked(600).splitlines()
        assert line.startswith("search: 1 epoch of about ")
        assert "; 0 of 3 ended; running 0001 2/4; best 81.2 % (0001); about " in line
        assert line.endswith(" left; no trial has ended yet")
        shown.epoch("0001", METRICS | {"epoch": 2})
        assert looked(659) == ""
        assert looked(660).startswith("search: 2 epochs of about ")  # not with the next epoch
        shown.ended("0001", "done", 0.8125, None)
        assert looked(800) == ""  # the end's own line has said it
        shown.requeued("0002", "its machine is gone")
        assert looked(800).startswith("search: 2 epochs")
    shown.live = shown  # where there is a table
    shown.started("0003", 4)
    assert looked(1000) == ""


def test_a_line_names_few_of_many_running_trials_and_counts_those_that_wait() -> None:
    shown, _ = table()
    for number in range(1, 12):
        shown.started(f"{number:04}", 4)
    shown.requeued("0001", "its machine is gone")
    shown.past("0012", "done", 0.9, {})
    assert shown.standing() == (
        "search: since the resume: 0 epochs of about 40; 1 of 3 ended; running 0002 0/4, "
        "0003 0/4, 0004 0/4, 0005 0/4, 0006 0/4, 0007 0/4, 0008 0/4, 0009 0/4, 2 more; "
        "1 in the queue; best 90.0 % (0012)"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("TERM", "dumb"), ("NO_COLOR", "1"), ("TERM", "xterm")]
)
def test_a_terminal_that_wants_plain_text_gets_a_line_a_trial(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(name, value)
    shown, text = table(terminal=True)
    with shown:
        shown.started("0001", 4)
        shown.ended("0001", "done", 0.5, None)
    assert (shown.live is None) == (value != "xterm")
    assert ("trial 0001: done; 0/4 epochs; val_acc 50.0 %" in text.getvalue()) == (
        value != "xterm"
    )


def test_a_search_of_one_trial_has_no_trials() -> None:
    _, text = table()
    console = Console(file=text, width=160, color_system=None)
    shown = LiveTable(1, Objective(), console, ("lr",))
    assert rendered(shown, text)[0] == "0 of 1 trial ended · 0 running"


def test_the_table_shows_what_runs_the_best_and_what_ended_last() -> None:
    shown, text = table()
    for number, score in enumerate((0.6, 0.9, 0.8, 0.7, 0.5, 0.4, 0.95), 1):
        name = f"{number:04}"
        shown.started(name, 4, SETTINGS | {"lr": number / 100})
        shown.epoch(name, METRICS | {"val_acc": score})
        if number < 7:
            shown.ended(name, "stopped", score, f"asha: rung {number}")
    shown.started("0008", 4, SETTINGS)
    lines = rendered(shown, text)
    assert lines[0] == "6 of 3 trials ended · 2 running · 6 stopped"
    assert lines[1].startswith("7 epochs of about ")
    cells = [re.split(r"  +", line) for line in lines[3:]]
    assert cells == [
        ["running", "epoch", "val_acc, %", "train_loss", "val_loss", "s/epoch", "settings"],
        ["0007", "2/4", "95.0", "0.5000", "0.4000", "2.0", "lr 0.07, optimizer sgd"],
        ["0008", "0/4", *"––––", "lr 0.001161, optimizer sgd"],
        [""],
        ["best"],
        ["0007", "95.0", "lr 0.07, optimizer sgd"],
        ["0002", "90.0", "lr 0.02, optimizer sgd"],
        ["0003", "80.0", "lr 0.03, optimizer sgd"],
        [""],
        ["ended"],
        ["0006", "2/4", "40.0", "stopped: asha: rung 6"],
        ["0005", "2/4", "50.0", "stopped: asha: rung 5"],
        ["0004", "2/4", "70.0", "stopped: asha: rung 4"],
        ["0003", "2/4", "80.0", "stopped: asha: rung 3"],
        ["0002", "2/4", "90.0", "stopped: asha: rung 2"],
    ]


def test_settings_are_written_as_in_the_ranked_table() -> None:
    shown = LiveTable(1, Objective(), Console(file=io.StringIO()), ("augment", "loss_margin"))
    shown.started("0001", 4, {"augment": False, "loss_margin": None})
    assert shown.told("0001") == "augment F, loss_margin –"


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_fits_the_terminal_and_uses_it(width: int) -> None:
    shown, text = table(width=width)
    for name in ("0001", "0002"):
        shown.started(name, 4, SETTINGS | {"optimizer": "adam" * 60})
        shown.epoch(name, METRICS)
    shown.ended("0002", "stopped", 0.8, "because " * 40)
    lines = rendered(shown, text)
    assert width - 3 == max(map(len, lines))
    assert ("train_loss" in lines[3]) == (width == 200)
    ends = [line[-1] for line in lines[4:] if line.startswith("000")]
    assert ends == [*"………", "e"] and lines[-1].endswith(" …") and len(lines) == 13


def test_more_trials_than_the_terminal_has_lines_leave_room_for_the_best() -> None:
    shown, text = table(width=80)
    for number in range(64):
        shown.started(f"{number:04}", 4, SETTINGS)
        shown.epoch(f"{number:04}", METRICS)
    lines = rendered(shown, text)
    assert len(lines) < 40 and "… 42 more" in lines and "best" in lines


def test_a_time_limit_that_comes_first_is_what_is_shown() -> None:
    shown, text = table(minutes=2.0)
    shown.started("0001", 4)
    assert rendered(shown, text)[1].endswith(" · halts in 2 min")


def test_a_huge_loss_does_not_widen_the_table() -> None:
    shown, text = table()
    shown.started("0001", 4)
    shown.epoch("0001", METRICS | {"train_loss": 20970750.6, "val_loss": float("nan")})
    assert rendered(shown, text)[4].split() == ["0001", "2/4", "81.2", "2.097e+07", "nan", "2.0"]


def test_trials_of_an_earlier_session_count_without_a_line() -> None:
    shown, text = table()
    shown.past("0001", "done", 0.9, {"lr": 1e-3})
    assert text.getvalue() == "" and shown.counts["done"] == 1 and shown.best == (0.9, "0001")
    shown.started("0002", 4)
    shown.epoch("0002", METRICS)
    lines = rendered(shown, text)
    assert lines[1].startswith("since the resume: 1 epoch of about ") and "so far" not in lines[1]
    (best,) = (line for line in lines if line.startswith("0001"))
    assert best.split() == ["0001", "90.0", "lr", "0.001"]


def test_a_live_table_leaves_nothing_behind() -> None:
    shown, text = table(terminal=True)
    with shown:
        shown.started("0001", 4)
    assert shown.live is not None and not shown.live.is_started


def test_durations_as_people_say_them() -> None:
    assert [human_seconds(s) for s in (45, 600, 12240)] == ["45 s", "10 min", "3.4 h"]


class Broken(io.StringIO):
    """A stream on a full disk, or a pipe whose reader has left."""

    error: BaseException

    def write(self, text: str) -> int:
        """Fail."""
        raise self.error

    def fileno(self) -> int:
        """Fail as a closed pipe does: rich takes hold of its descriptor."""
        raise SystemExit(1)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("error", [OSError(28, "No space"), BrokenPipeError(32, "Broken pipe")])
def test_a_board_that_cannot_be_shown_says_so_once_and_goes_on_counting(
    terminal: bool, error: OSError, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Broken()
    broken.error = error
    console = Console(file=broken, width=160, force_terminal=terminal, color_system=None)
    with LiveTable(2, Objective(), console) as shown:
        for name, value in (("0001", 0.75), ("0002", 0.5)):
            shown.started(name, 2)
            shown.epoch(name, METRICS)
            shown.ended(name, "done", value, None)
            shown.say("a line")
    assert shown.counts["done"] == 2 and shown.best == (0.8125, "0001")
    said = capsys.readouterr().err
    assert said.startswith("the search goes on, but can no longer be shown: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("width", "wide"), [(109, False), (110, True)])
def test_losses_are_shown_where_the_terminal_has_room(width: int, wide: bool) -> None:
    shown, text = table(width=width)
    shown.started("0001", 4)
    assert ("train_loss" in rendered(shown, text)[3]) == wide


def test_a_trial_that_goes_back_into_the_queue_runs_no_more() -> None:
    shown, text = table()
    shown.started("0001", 4)
    shown.requeued("0001", "its machine is gone")
    assert text.getvalue() == "trial 0001: again, its machine is gone\n" and not shown.running


def test_a_line_is_a_line_whatever_the_width_and_steers_no_terminal() -> None:
    shown, text = table(width=40)
    shown.say("\x1b[2J" + "word " * 20)
    assert text.getvalue().count("\n") == 1 and "\x1b" not in text.getvalue()
    shown, text = table()
    shown.live = shown  # where there is a table no line is printed
    shown.ended("0001", "failed", None, "\x1b[2J and more")
    assert "failed: " in rendered(shown, text)[-1] and "\x1b" not in text.getvalue()


def test_the_minutes_count_from_where_the_table_begins() -> None:
    now = [0.0]
    console = Console(file=io.StringIO(), width=160)
    shown = LiveTable(3, Objective(), console, minutes=2.0, clock=lambda: now[0])
    now[0] = 60.0
    with shown:
        shown.started("0001", 4)
        assert shown.lines()[1].endswith(" · halts in 2 min")


def test_the_table_is_gone_from_the_terminal_at_the_end() -> None:
    shown, text = table(terminal=True)
    with shown:
        shown.started("0001", 4)
    assert text.getvalue().endswith("\x1b[1A\x1b[2K")


def test_a_huge_loss_below_zero_is_as_short() -> None:
    shown, text = table()
    shown.started("0001", 4)
    shown.epoch("0001", METRICS | {"val_loss": -20970750.6})
    assert rendered(shown, text)[4].split()[4] == "-2.097e+07"


class Shown:
    """A view that notes what it is told, or leaves as rich does for a closed pipe."""

    def __init__(self, leaves: bool) -> None:
        self.leaves, self.told = leaves, list[str]()

    def start(self) -> None:
        """Note it, or leave."""
        self.told.append("start")
        if self.leaves:
            raise SystemExit(1)

    def stop(self) -> None:
        """Note it."""
        self.told.append("stop")


@pytest.mark.parametrize(("leaves", "told"), [(False, ["start", "stop"]), (True, ["start"])])
def test_a_view_is_started_and_stopped_and_may_leave(
    leaves: bool, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    view = Shown(leaves)
    shown, _ = table(view=lambda render: view)
    with shown:
        shown.started("0001", 4)
    assert view.told == told
    assert ("can no longer be shown" in capsys.readouterr().err) == leaves
