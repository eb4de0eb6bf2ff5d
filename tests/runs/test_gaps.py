"""Lines that a journal has lost are missed, named, and nothing is decided without them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import REFERENCE, SETTINGS, THREE_EPOCHS, epoch, write_lines

from search import results
from search.runs import journal, journal_writer
from search.runs.journal import read_epochs, read_events, read_lines, read_trials
from search.runs.journal_writer import ForeignWriteError, Journal
from search.runs.line_format import EPOCHS, TRIALS, JournalError
from search.runs.repair import repair


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """0001 done (lines 1 to 5), 0002 stopped after two (6 to 9), 0003 goes on (10, 11)."""
    (tmp_path / "space.yaml").write_text(THREE_EPOCHS)
    journal = Journal(tmp_path)
    journal.trial("0001", "running", settings=SETTINGS, row=None)
    for number in range(3):
        journal.epoch("0001", epoch(number, 0.6))
    journal.trial("0001", "done", stop_rule=None, stop_epoch=None)
    journal.trial("0002", "running", settings=SETTINGS, row=None)
    journal.epoch("0002", epoch(0))
    journal.epoch("0002", epoch(1, 0.9))
    journal.trial("0002", "stopped", stop_rule="asha", stop_epoch=1)
    journal.trial("0003", "running", settings=SETTINGS, row=None)
    journal.epoch("0003", epoch(0))
    return tmp_path


def without(file: Path, *numbers: int) -> None:
    """Take lines out of a file of the journal."""
    write_lines(file, [row for row in read_lines(file) if row["n"] not in numbers])


def test_a_whole_journal_is_read_in_order(run: Path) -> None:
    assert [row["n"] for _, row in read_events(run)] == list(range(1, 12))
    assert {name: len(rows) for name, rows in read_epochs(run).items()} == {
        "0001": 3,
        "0002": 2,
        "0003": 1,
    }


@pytest.mark.parametrize(
    ("file", "numbers", "said"),
    [
        (EPOCHS, (3,), "1 of its lines, number 3, is missing; epoch 1 of trial 0001 is missing"),
        (EPOCHS, (3, 4), "numbers 3 to 4, are missing; epochs 1 to 2 of trial 0001 are missing"),
        (EPOCHS, (8,), "number 8, is missing; epoch 1 of trial 0002 is missing"),
        (
            EPOCHS,
            (2, 7, 8),
            "3 of its lines, numbers 2, 7 to 8, are missing; epoch 0 of trial "
            "0001, epochs 0 to 1 of trial 0002 are missing",
        ),
        (TRIALS, (5,), "1 of its lines, number 5, is missing. A copy"),
        (TRIALS, (6, 9), "numbers 6, 9, are missing; the line of trial 0002 is missing"),
    ],
)
def test_lines_that_are_gone_are_named_and_every_reader_refuses(
    run: Path, file: str, numbers: tuple[int, ...], said: str
) -> None:
    without(run / file, *numbers)
    readers: list[Callable[[Path], Any]] = [
        read_trials,
        read_epochs,
        lambda r: list(read_events(r)),
        Journal,
    ]
    before = {name: (run / name).read_bytes() for name in (TRIALS, EPOCHS)}
    for reader in readers:
        with pytest.raises(JournalError) as refused:
            reader(run)
        assert said in str(refused.value) and "--repair" in str(refused.value)
    assert before == {name: (run / name).read_bytes() for name in (TRIALS, EPOCHS)}


def test_every_cut_of_one_file_that_loses_a_line_which_others_follow_is_refused(run: Path) -> None:
    """The last line of all may be torn, as by a driver that was killed; no other may be lost."""
    for name, last in ((EPOCHS, 11), (TRIALS, 10)):
        content = (run / name).read_bytes()
        ends = [at + 1 for at, byte in enumerate(content) if byte == 10]
        for cut in range(0, len(content) + 1, 7):
            whole = sum(end - 1 <= cut for end in ends)  # one that lacks only its end counts
            for tail in (b"", bytes(64)):
                (run / name).write_bytes(content[:cut] + tail)
                whole -= bool(tail) and cut + 1 in ends
                if whole == len(ends) or (whole == len(ends) - 1 and last == 11):
                    assert read_trials(run)
                else:
                    with pytest.raises(JournalError):
                        read_trials(run)
        (run / name).write_bytes(content)


def test_an_old_journal_without_numbers_is_read_and_its_lost_epochs_are_missed(
    tmp_path: Path,
) -> None:
    old = REFERENCE / "code2-row-A"
    assert {len(rows) for rows in read_epochs(old).values()} == {10}
    (tmp_path / TRIALS).write_bytes((old / TRIALS).read_bytes())
    lines = (old / EPOCHS).read_bytes().splitlines(keepends=True)
    (tmp_path / EPOCHS).write_bytes(b"".join(lines[:-2]))
    with pytest.raises(JournalError, match="not whole: epochs 8 to 9 of trial A are missing"):
        read_trials(tmp_path)


def test_a_driver_that_writes_while_the_files_are_read_makes_no_gap(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines 12 to 14 come after the last number was looked up, or between the two files."""
    live = Journal(run)

    def looked(folder: Path) -> int:
        found = last_number(folder)
        live.epoch("0003", epoch(1))
        live.epoch("0003", epoch(2))
        live.trial("0003", "done")
        return found

    last_number = journal.last_number
    monkeypatch.setattr(journal, "last_number", looked)
    assert [row["n"] for _, row in read_events(run)] == list(range(1, 12))
    monkeypatch.undo()
    assert [row["n"] for _, row in read_events(run)] == list(range(1, 15))


def test_a_repair_keeps_what_is_sure_and_has_the_rest_trained_again(run: Path) -> None:
    without(run / EPOCHS, 3, 8)
    damaged = {name: (run / name).read_bytes() for name in (TRIALS, EPOCHS)}
    done = repair(run)
    assert done.again == {"0001": 1, "0002": 1}
    assert done.left_out == {TRIALS: 0, EPOCHS: 1}  # epoch 2 of 0001, behind the hole
    trials, epochs = read_trials(run), read_epochs(run)
    assert {name: len(rows) for name, rows in epochs.items()} == {"0001": 1, "0002": 1, "0003": 1}
    assert {name: line["status"] for name, line in trials.items()} == {
        "0001": "interrupted",
        "0002": "interrupted",
        "0003": "running",
    }
    assert trials["0002"]["stop_rule"] == "interrupted" and trials["0002"]["stop_epoch"] is None
    assert trials["0001"]["settings"] == SETTINGS
    assert [row["n"] for _, row in read_events(run)] == list(range(1, 11))
    kept = {path.name.split(".damaged")[0]: path.read_bytes() for path in done.copies}
    assert kept == damaged


def test_a_repair_drops_lines_that_are_no_records_and_epochs_of_unknown_trials(run: Path) -> None:
    without(run / TRIALS, 6, 9)
    with (run / EPOCHS).open("ab") as file:
        file.write(b"\xff\xfe garbage\n17\n" + b'"' + b"x" * 2**21 + b'"\n{"trial": "torn')
    with pytest.raises(JournalError, match=r"epochs.jsonl: line 7 is not JSON in UTF-8"):
        read_trials(run)
    done = repair(run)
    assert done.left_out == {TRIALS: 0, EPOCHS: 2 + 4} and done.again == {}
    assert list(read_trials(run)) == ["0001", "0003"] == list(read_epochs(run))


def test_a_repair_leaves_out_an_epoch_of_which_a_figure_was_lost(run: Path) -> None:
    """The message about it names --repair; the epochs after it are beyond a hole then."""
    rows = read_lines(run / EPOCHS)
    (run / EPOCHS).write_text(
        "".join(
            json.dumps({k: v for k, v in row.items() if row["n"] != 3 or k != "val_acc"}) + "\n"
            for row in rows
        )
    )
    with pytest.raises(JournalError, match="line number 3 has no val_acc; .*--repair"):
        read_trials(run)
    done = repair(run)
    assert done.left_out == {TRIALS: 0, EPOCHS: 2} and done.again == {"0001": 1}
    assert {name: len(rows) for name, rows in read_epochs(run).items()} == {
        "0001": 1,
        "0002": 2,
        "0003": 1,
    }


def test_a_last_line_that_lacks_only_its_end_is_read_and_gone_on_behind(run: Path) -> None:
    """As editors leave a file: what `search.results` shows, `--resume` does not cut off."""
    for name in (TRIALS, EPOCHS):
        (run / name).write_bytes((run / name).read_bytes()[:-1])
    Journal(run).epoch("0003", epoch(1))
    assert [row["n"] for _, row in read_events(run)] == list(range(1, 13))


def test_a_repair_of_a_whole_journal_changes_no_line(run: Path) -> None:
    before = {name: (run / name).read_bytes() for name in (TRIALS, EPOCHS)}
    done = repair(run)
    assert done.kept == 11 and not done.again and not any(done.left_out.values())
    assert before == {name: (run / name).read_bytes() for name in (TRIALS, EPOCHS)}


def test_the_command_refuses_repairs_and_then_shows(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without(run / EPOCHS, 8)
    assert results.main([str(run)]) == 2
    assert "epoch 1 of trial 0002 is missing" in capsys.readouterr().err
    assert results.main([str(run), "--repair"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "10 lines kept; left out: none"
    assert said[1] == "trial 0002 is interrupted after 1 epoch, as more were lost"
    assert results.main([str(run)]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[1] == "0001"  # 0.6; 0.9 was lost


def test_whoever_sees_a_foreign_line_writes_no_more(run: Path) -> None:
    """As where locks do not work: two searches that both believe the run theirs."""
    first, second = Journal(run), Journal(run)
    second.epoch("0003", epoch(1))
    content = {name: (run / name).read_bytes() for name in (TRIALS, EPOCHS)}
    for write in (lambda: first.trial("0003", "done"), lambda: first.epoch("0003", epoch(1))):
        with pytest.raises(
            ForeignWriteError, match=r"epochs.jsonl: has [\d,]+ bytes where this search had"
        ):
            write()
    assert content == {name: (run / name).read_bytes() for name in (TRIALS, EPOCHS)}
    second.epoch("0003", epoch(2))  # the other goes on
    second.trial("0003", "done")
    assert [row["n"] for _, row in read_events(run)] == list(range(1, 15))


@pytest.mark.parametrize("name", [TRIALS, EPOCHS])
def test_a_file_that_was_emptied_or_removed_is_foreign_and_not_begun_anew(
    run: Path, name: str
) -> None:
    live = Journal(run)
    (run / name).unlink()
    with pytest.raises(ForeignWriteError, match=f"{name}: has 0 bytes where"):
        live.trial("0003", "done")
    with pytest.raises(ForeignWriteError):
        live.epoch("0003", epoch(1))
    assert not (run / name).exists()


def test_what_a_status_says_is_on_the_disk_before_anything_follows_from_it(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(journal_writer, "sync", lambda path: synced.append(path.name))
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    live = Journal(run)
    live.epoch("0003", epoch(1))
    assert synced == []
    live.trial("0001", "done")
    assert synced == [EPOCHS, TRIALS]  # the epochs first, which the status rests on
    clock[0] += 0.5
    live.epoch("0003", epoch(2))
    assert synced == [EPOCHS, TRIALS]
    clock[0] += 0.6  # more than a second after the last time
    live.epoch("0003", epoch(2))
    assert synced == [EPOCHS, TRIALS, EPOCHS]


def test_a_run_without_its_trials_file_is_told_what_it_lacks(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "manifest.json").write_text("{}")
    (run / TRIALS).unlink()
    assert results.main([str(run)]) == 2
    said = f"{run}: {TRIALS} is missing, though {EPOCHS} has 6 epochs of 3 trials; what they ran "
    assert capsys.readouterr().err.startswith(said)
    (run / EPOCHS).write_text("")
    assert results.main([str(run)]) == 2
    assert capsys.readouterr().err == f"{run}: no trial has started yet\n"
