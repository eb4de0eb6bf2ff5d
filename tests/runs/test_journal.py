"""The run folder's files survive a writer that is killed at any byte."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ROOT

from facesiam.files import write_bytes, write_text
from search.runs.journal import read_epochs, read_lines, read_trials
from search.runs.journal_writer import Journal
from search.runs.line_format import JournalError
from search.runs.lock import locked


def test_the_last_line_of_a_trial_and_of_an_epoch_wins(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.trial("0001", "running", settings={"lr": 0.1})
    journal.trial("0002", "running", settings={"lr": 0.2})
    journal.trial("0001", "done")
    for epoch, score in ((0, 0.5), (1, 0.6), (1, 0.7)):
        journal.epoch("0001", {"epoch": epoch, "val_acc": score})
    trials = read_trials(tmp_path)
    assert [(k, v["status"]) for k, v in trials.items()] == [("0001", "done"), ("0002", "running")]
    assert trials["0001"]["settings"] == {"lr": 0.1}
    assert [row["val_acc"] for row in read_epochs(tmp_path)["0001"]] == [0.5, 0.7]


def test_a_journal_cut_at_any_byte_loses_at_most_its_last_line(tmp_path: Path) -> None:
    whole = Journal(tmp_path)
    whole.trial("0001", "running")
    for epoch in range(3):
        whole.epoch("0001", {"epoch": epoch, "val_acc": epoch / 7})
    file = tmp_path / "epochs.jsonl"
    content = file.read_bytes()
    for cut in range(len(content) + 1):
        file.write_bytes(content[:cut])
        # A line that lacks only its newline still counts; nothing else may differ.
        lines = content[:cut].count(b"\n") + (content[cut : cut + 1] == b"\n")
        assert len(read_lines(file)) == lines
        Journal(tmp_path).epoch("0001", {"epoch": 9, "val_acc": 1.0})
        rows = read_lines(file)
        assert len(rows) == lines + 1 and rows[-1]["epoch"] == 9 and rows[-1]["n"] == lines + 2


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    file = tmp_path / "trials.jsonl"
    file.write_text('{"trial": "1"}\n{"tri\x00\n{"trial": "2"}\n')
    with pytest.raises(JournalError, match=r"trials.jsonl: line 2 is not JSON"):
        read_lines(file)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    write_text(file, "old")
    with pytest.raises(TypeError):
        write_bytes(file, None)
    assert file.read_text() == "old" and os.listdir(tmp_path) == ["manifest.json"]


def test_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_text(tmp_path / "secret", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


FULL = """
import resource, sys
from pathlib import Path
from search.runs.journal_writer import Journal, JournalWriteError
journal = Journal(Path(sys.argv[1]))
journal.epoch("0001", {"epoch": 0})
size = (Path(sys.argv[1]) / "epochs.jsonl").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, size + 10))
try:
    journal.epoch("0001", {"epoch": 1})
except JournalWriteError as error:
    print(error.strerror)
print(journal.number)
"""


def test_a_line_for_which_there_is_no_room_is_not_there_at_all(tmp_path: Path) -> None:
    """There would have been room for ten bytes of it."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.startswith(f"{tmp_path}/epochs.jsonl: "), done.stderr
    assert done.stdout.endswith("\n1\n")  # the next line that is written is the second one
    content = (tmp_path / "epochs.jsonl").read_text()
    assert content == '{"trial": "0001", "epoch": 0, "n": 1}\n'


def test_a_lock_whose_folder_was_removed_before_it_was_held_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that failed takes its folder away while another one is about to lock it."""
    run, flock, removed = tmp_path / "run", fcntl.flock, [0]

    def late(file: int, how: int) -> None:
        if not removed[0]:
            removed[0] += 1
            shutil.rmtree(run)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(run), pytest.raises(JournalError, match="another command"), locked(run):
        pass
    assert removed == [1] and (run / ".lock").exists()


def test_a_lock_that_is_a_link_is_refused_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("years of work")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "thesis")
    with pytest.raises(JournalError, match="cannot be locked"), locked(tmp_path / "run"):
        pass
    assert (tmp_path / "thesis").read_text() == "years of work"
