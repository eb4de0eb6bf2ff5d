"""What a user sees, as text."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from facesiam.objective import Objective
from search.resources.cost import human_seconds
from search.tuning.live_table import LiveTable


def table(terminal: bool = False) -> tuple[LiveTable, io.StringIO]:
    """A live table that writes into a string."""
    text = io.StringIO()
    console = Console(file=text, width=160, force_terminal=terminal, color_system=None)
    return LiveTable(3, Objective(), console), text


METRICS = {"epoch": 1, "val_acc": 0.8125, "train_loss": 0.5, "val_loss": 0.4, "seconds": 2.0}


def test_without_a_terminal_each_trial_that_ends_is_a_line() -> None:
    shown, text = table()
    with shown:
        shown.started("0001", 4)
        shown.epoch("0001", METRICS)
        assert text.getvalue() == ""
        shown.ended("0001", "stopped", 0.8125, "train_loss is nan at epoch 2")
    line = text.getvalue()
    assert line.startswith(
        "trial 0001  stopped  best val_acc 0.8125  (train_loss is nan at epoch 2)"
    )
    assert "1 of 3 ended" in line and "1 stopped" in line and line.count("\n") == 1


def test_the_table_shows_what_runs_and_the_best_so_far() -> None:
    shown, text = table()
    shown.started("0001", 4)
    shown.started("0002", 4)
    shown.epoch("0001", METRICS)
    shown.console.print(shown.render())
    said = text.getvalue()
    assert "0 of 3 ended · 2 running · best val_acc 0.8125 (0001)" in said
    assert [line.split() for line in said.splitlines()[2:4]] == [
        ["0001", "2/4", "0.8125", "0.5000", "0.4000", "2.0"],
        ["0002", "0/4", *"––––"],
    ]


def test_a_huge_loss_does_not_widen_the_table() -> None:
    shown, text = table()
    shown.started("0001", 4)
    shown.epoch("0001", METRICS | {"train_loss": 20970750.6, "val_loss": float("nan")})
    shown.console.print(shown.render())
    assert text.getvalue().splitlines()[2].split() == [
        *("0001", "2/4", "0.8125", "2.097e+07", "nan", "2.0")
    ]


def test_trials_of_an_earlier_session_count_without_a_line() -> None:
    shown, text = table()
    shown.ended("0001", "done", 0.9, None, earlier=True)
    assert text.getvalue() == "" and shown.counts["done"] == 1 and shown.best == (0.9, "0001")


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
