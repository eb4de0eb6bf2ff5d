"""A run behind a URL: what is brought there, in which order, and how another machine goes on."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from facesiam.errors import StorageError
from facesiam.storage.bucket import Bucket
from search import results
from search.report.__main__ import main as report
from search.runs import layout, lease, mirror
from search.runs.journal import read_epochs, read_lines
from search.runs.journal_writer import Journal
from search.runs.line_format import EPOCHS, TRIALS, JournalError
from search.runs.mirror import Mirror, fetched, folder_for


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A place behind a URL."""
    (tmp_path / "there").mkdir()
    return f"file://{tmp_path}/there/code2"


def machine(monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path) -> None:
    """Be another machine from now on: with a cache and a name of its own."""
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path / name))
    monkeypatch.setattr(lease, "_host", lambda: name)


def noted(url: str, *names: str) -> Mirror:
    """A mirror with a journal of these trials, brought there."""
    here = Mirror(url, lambda text: None)
    here.fetch()
    here.run.mkdir(parents=True, exist_ok=True)
    (here.run / "manifest.json").write_text('{"command": "python -m search.run x.yaml"}')
    (here.run / "space.yaml").write_text("fixed: {epochs: 1}\nsearch: {lr: [1e-3, 1e-4]}\n")
    journal = Journal(here.run)
    for name in names:
        journal.trial(name, "running", settings={"lr": 0.1}, row=None)
        journal.epoch(name, {"epoch": 0, "val_acc": 0.5, "val_pairs": 100})
    here.bring()
    return here


def test_the_journal_goes_there_in_parts_and_comes_back_whole(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, "one", tmp_path)
    here = noted(url, "0001")
    here.bring()  # nothing is new
    parts = here.bucket.names("journal")
    assert parts == ["000000000001-000000000002.jsonl"]
    with (here.run / TRIALS).open("a") as file:
        file.write('{"trial": "torn')  # a driver that is killed while it writes
    here.bring()
    assert here.bucket.names("journal") == parts
    Journal(here.run).trial("0002", "running", settings={"lr": 0.2}, row=None)
    here.bring()
    assert here.bucket.names("journal") == [*parts, "000000000003-000000000003.jsonl"]
    machine(monkeypatch, "two", tmp_path)
    there = fetched(url)
    assert there != here.run and there == folder_for(url)
    for name in (TRIALS, EPOCHS, "manifest.json", "space.yaml"):
        assert (there / name).read_bytes() == (here.run / name).read_bytes()


def test_another_machine_goes_on_and_the_first_one_takes_that_up(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, "one", tmp_path)
    noted(url, "0001")
    only_here = Journal(folder_for(url))
    # Killed before it was brought there:
    only_here.epoch("0001", {"epoch": 1, "val_acc": 0.6, "val_pairs": 100})
    machine(monkeypatch, "two", tmp_path)
    noted(url, "0002")
    machine(monkeypatch, "one", tmp_path)
    run = fetched(url)
    assert list(read_epochs(run)) == ["0001", "0002"] and len(read_epochs(run)["0001"]) == 1
    (aside,) = run.parent.glob("code2-aside-*")  # what was only here is not lost
    assert len(read_epochs(aside)["0001"]) == 2


def test_lines_that_are_only_here_and_continue_what_is_there_stay(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, "one", tmp_path)
    noted(url, "0001")
    Journal(folder_for(url)).epoch("0001", {"epoch": 1, "val_acc": 0.6, "val_pairs": 100})
    again = Mirror(url, lambda text: None)
    again.fetch()
    assert len(read_epochs(again.run)["0001"]) == 2
    again.bring()
    machine(monkeypatch, "two", tmp_path)
    assert len(read_epochs(fetched(url))["0001"]) == 2


def test_a_state_is_removed_only_when_the_journal_is_there_that_says_why(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, "one", tmp_path)
    here = noted(url, "0001")
    here.bucket.save({"x": 1}, Path("state/0001.pt"))
    Journal(here.run).trial("0001", "done")
    here.sweep(lambda: {"state": {"0001"}})
    assert here.bucket.names("state") == ["0001.pt"]

    def fails(name: str, content: bytes) -> None:
        raise StorageError("gone")

    monkeypatch.setattr(here.bucket, "write", fails)
    with pytest.raises(StorageError):
        here.bring()
    assert here.bucket.names("state") == ["0001.pt"]
    monkeypatch.undo()
    machine(monkeypatch, "one", tmp_path)
    here.bring()
    assert here.bucket.names("state") == []


def test_what_starts_or_ends_while_the_journal_is_brought_there_is_kept(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, "one", tmp_path)
    here = noted(url, "0001")
    going = {"ends"}
    for name in ("ends", "starts", "ended"):
        here.bucket.save({"x": 1}, Path(f"state/{name}.pt"))
    here.sweep(lambda: {"state": {"ends", "starts", "ended"} - going})
    lines = here._bring_lines

    def meanwhile() -> None:
        lines()
        going.clear()
        going.add("starts")

    monkeypatch.setattr(here, "_bring_lines", meanwhile)
    here.bring()
    assert here.bucket.names("state") == ["ends.pt", "starts.pt"]


def test_a_part_that_is_missing_is_told(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, "one", tmp_path)
    here = noted(url, "0001")
    Journal(here.run).trial("0002", "running")
    here.bring()
    here.bucket.remove(Path("journal/000000000001-000000000002.jsonl"))
    machine(monkeypatch, "two", tmp_path)
    with pytest.raises(JournalError, match="journal: lines 1 to 2 are missing before 0+3"):
        fetched(url)


PART = "journal/000000000001-000000000002.jsonl"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"garbage \xff\n", "has a line that is not JSON in UTF-8: 'garbage .'; put an earlier"),
        (b"5\n", "has a line that is not JSON with a number n: '5'; put"),
        (b"[" * 200_000 + b"\n", "nested too deeply"),
        (b'{"trial": "0001", "n": true}\n', "with a number n"),
        (b"", "does not hold lines 1 to 2 as it should; put an earlier version of it back"),
        (b'{"trial": "0001", "status": "running", "n": 1}\n', "does not hold lines 1 to 2"),
        (b'{"trial": "0001", "status": "running", "n": 1}', "is not JSON with its end"),
        (b'{"n": 1}\n{"n": 3}\n', "does not hold lines 1 to 2"),
    ],
)
def test_a_damaged_part_is_one_sentence(
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The last part too, whose lines no later part's numbers miss."""
    machine(monkeypatch, "one", tmp_path)
    noted(url, "0001").bucket.write(PART, content)
    machine(monkeypatch, "two", tmp_path)
    assert results.main([url]) == 2
    said = capsys.readouterr().err
    assert f"{url}/{PART}: " in said and said.count("\n") == 1
    assert re.search(says, said), said


def test_what_lies_beside_the_parts_is_nobodys_to_read_or_remove(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "MAX_PARTS", 2)
    machine(monkeypatch, "one", tmp_path)
    noted(url, "0001").bucket.write("journal/notes.txt", b"mine")
    with Mirror(url, lambda text: None) as here:
        Journal(here.run).trial("0001", "done")
    assert here.trouble is None
    assert here.bucket.names("journal") == ["000000000001-000000000003.jsonl", "notes.txt"]


def test_a_damaged_folder_here_is_set_aside(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, "one", tmp_path)
    run = noted(url, "0001").run
    whole = (run / TRIALS).read_bytes()
    for damage in (b"garbage\n", b"5\n", None):
        (run / TRIALS).unlink()
        if damage is None:
            os.mkfifo(run / TRIALS)
        else:
            (run / TRIALS).write_bytes(damage)
        said: list[str] = []
        Mirror(url, said.append).fetch()
        assert (run / TRIALS).read_bytes() == whole
        assert len(said) == 1 and f"{TRIALS}: " in said[0] and "set aside" in said[0]
    assert len(list(run.parent.glob("code2-aside-*"))) == 3


@pytest.mark.parametrize("sign", [b"garbage\xff", b"[]", b'{"pid": "x"}', b'{"pid": -1}'])
def test_a_sign_of_life_that_says_nothing_is_waited_for(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: bytes
) -> None:
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.05)
    machine(monkeypatch, "one", tmp_path)
    Bucket(url).write(lease.LOCK, sign)
    said: list[str] = []
    with Mirror(url, said.append) as here:
        pass
    assert "on a machine that is not known had it" in said[0] and here.trouble is None


def test_session_after_session_the_bucket_has_the_journal_as_it_is_here(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine and on others, with parts that become one in between."""
    monkeypatch.setattr(mirror, "MAX_PARTS", 5)
    for session in range(6):
        machine(monkeypatch, f"machine{session % 4}", tmp_path)
        with Mirror(url, lambda text: None) as here:
            journal = Journal(here.run)
            for number in range(4):
                name = f"{4 * session + number:04d}"
                journal.trial(name, "running", settings={"lr": 0.1}, row=None)
                here.bring()
                journal.epoch(name, {"epoch": 0, "val_acc": 0.5, "val_pairs": 100})
                journal.trial(name, "done")
        assert here.trouble is None and len(here.bucket.names("journal")) <= 5
        mine = [(here.run / name).read_bytes() for name in (TRIALS, EPOCHS)]
        machine(monkeypatch, "reader", tmp_path)
        theirs = [(fetched(url) / name).read_bytes() for name in (TRIALS, EPOCHS)]
        assert mine == theirs and mine[0].count(b"\n") == 8 * (session + 1)


def test_parts_that_became_one_may_still_be_there(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a driver was killed before it removed them."""
    monkeypatch.setattr(mirror, "MAX_PARTS", 2)
    machine(monkeypatch, "one", tmp_path)
    here = noted(url, "0001")
    part = "journal/000000000001-000000000002.jsonl"
    content = here.bucket.read(part)
    Journal(here.run).trial("0001", "done")
    here.bring()
    assert here.bucket.names("journal") == ["000000000001-000000000003.jsonl"] and content
    here.bucket.write(part, content)
    machine(monkeypatch, "two", tmp_path)
    assert (fetched(url) / TRIALS).read_bytes() == (here.run / TRIALS).read_bytes()


def test_the_bucket_never_has_an_end_without_its_epochs(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line is written between the looks at the two files."""
    machine(monkeypatch, "one", tmp_path)
    here = noted(url, "0001")
    journal = Journal(here.run)
    journal.trial("0002", "running", settings={"lr": 0.1}, row=None)
    written = (here.run / TRIALS).read_bytes()
    journal.trial("0002", "done")
    journal.epoch("0002", {"epoch": 0, "val_acc": 0.5, "val_pairs": 100})
    (here.run / TRIALS).write_bytes(written)  # not there yet when that file was read
    here.bring()
    machine(monkeypatch, "two", tmp_path)
    assert "0002" not in read_epochs(fetched(url))


def test_a_run_is_of_one_driver_until_it_is_silent(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.5)
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 0.05)
    monkeypatch.setattr(mirror, "UPLOAD_SECONDS", 0.02)
    machine(monkeypatch, "one", tmp_path)
    said, lost = [], []
    with Mirror(url, said.append) as first:
        first.on_lost = lost.append
        with monkeypatch.context() as other:
            machine(other, "two", tmp_path)
            with pytest.raises(JournalError, match=f"in it, process {os.getpid()} on one"):
                Mirror(url, said.append).__enter__()
        assert "0 s for a sign of life" in said[0]

        # Taken over all the same, as by one that could not see the signs: the first one ends.
        def taken() -> bool:  # more than once: the first may be about to write its sign over it
            Bucket(url).write(lease.LOCK, b'{"host": "two", "pid": 7, "token": "other"}')
            return bool(lost)

        wait_for(taken)
        assert "process 7 on two has taken it over" in lost[0]
        first._lease._token = "other"  # so that it ends in peace
    silent = {"host": "three", "pid": 1, "token": "x"}
    dead = {"host": "one", "pid": 2**22 + 1, "token": "x"}
    again = {"host": "one", "pid": os.getpid(), "token": "x"}  # a container that came up again
    for held in (silent, dead, again):
        Bucket(url).write(lease.LOCK, json.dumps(held).encode())
        with Mirror(url, said.append):
            pass


def test_what_cannot_be_brought_there_is_told_and_kept_here(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, "one", tmp_path)
    noted(url, "0001")
    monkeypatch.setattr(mirror, "UPLOAD_SECONDS", 0.01)
    said: list[str] = []
    with Mirror(url, said.append) as here:
        write = here.bucket.write
        gone = True

        def flaky(name: str, content: bytes) -> None:
            if gone:
                raise StorageError(f"{name}: nobody answers")
            write(name, content)

        monkeypatch.setattr(here.bucket, "write", flaky)
        Journal(here.run).trial("0002", "running", settings={"lr": 0.2}, row=None)
        wait_for(lambda: said)
        assert said == [
            "not reached, will be tried again: journal/000000000003-000000000003.jsonl: nobody "
            "answers"
        ]
        gone = False
        wait_for(lambda: len(said) == 2)
        assert "reached again" in said[1] and here.trouble is None
        gone = True
        Journal(here.run).trial("0003", "running", settings={"lr": 0.2}, row=None)
    assert here.trouble and "nobody answers" in here.trouble
    assert len(read_lines(here.run / TRIALS)) == 3


def wait_for(condition: object) -> None:
    """Wait until a condition holds, 10 s at most."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_the_readers_take_the_url_for_a_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(monkeypatch, "one", tmp_path)
    noted(url, "0001")
    machine(monkeypatch, "two", tmp_path)
    assert results.load(url)[0]["trial"].tolist() == ["0001"]
    assert results.main([url]) == 0 and "0001" in capsys.readouterr().out
    assert list(results.settings(url)) == ["0001"]
    assert report([url]) == 0 and "report.html" in capsys.readouterr().out
    with pytest.raises(layout.RunError, match="nothing/at"):
        layout.folder_of("nothing/at/all")
    assert results.main(["nowhere://x/y"]) == 2
    assert "nowhere://x/y" in capsys.readouterr().err
