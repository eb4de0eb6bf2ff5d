"""files.py, errors.py, cli.py: damaged files become sentences, whole files stay whole."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from facesiam import cli, files
from facesiam.errors import FileError, UserError, first_line, shown


def test_control_characters_are_shown_as_escapes_and_long_lines_shortened() -> None:
    assert shown("a\x1b]0;x\x07b\tc\nd\u202e") == "a\\x1b]0;x\\x07b\tc\nd\\u202e"
    said = shown("x" * 100_000)
    assert len(said) < 700 and "99,400 characters" in said
    assert str(UserError("\x1b[2J")) == "\\x1b[2J"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("folder", "is a folder"),
        ("pipe", "is a pipe or a device"),
        ("loop", "symbolic links"),
        ("gone", "no such file"),
        ("long", "File name too long"),
        ("large", "at most 10 are read"),
    ],
)
def test_what_is_no_file_is_told_in_a_sentence_and_not_waited_for(
    kind: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / ("x" * 300 if kind == "long" else "x")
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "large":
        path.write_text("x" * 11)
    with pytest.raises(FileError, match=said) as caught:
        files.read_bytes(path, 10)
    assert str(path)[:50] in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (bytes(9), "is empty"),
        (b"{", "not JSON"),
        (b"\xff\xfe{", "not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
    ],
)
def test_what_is_no_json(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(FileError, match=said):
        files.read_json(tmp_path / "x.json")


@pytest.mark.parametrize("content", [None, "", "{", "[1]", "null"])
def test_notes_that_are_missing_or_damaged_are_an_empty_object(
    content: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "x.json"
    if content is not None:
        file.write_text(content)
    assert files.read_object(file) == {}
    file.write_text('{"key": 1}')
    assert files.read_object(file) == {"key": 1}


def test_the_first_line_of_an_error_is_never_empty() -> None:
    assert first_line(ValueError("\n half a sentence\nand more")) == "half a sentence"
    assert first_line(ValueError("x" * 300)) == "x" * 160
    said = f"{'x' * 140} http://me:a-long-secret@host"
    assert "a-long" not in shown(first_line(ValueError(said)))
    assert first_line(MemoryError()) == "MemoryError"


def test_questions_about_paths_that_have_no_answer(tmp_path: Path) -> None:
    assert not files.exists(tmp_path / "none") and files.is_dir(tmp_path)
    (tmp_path / "broken").symlink_to("none")
    assert files.exists(tmp_path / "broken") and not files.is_file(tmp_path / "broken")
    (tmp_path / "folder").symlink_to(tmp_path)
    assert files.is_dir(tmp_path / "folder") and not files.is_file(tmp_path / "folder")
    for ask in (files.exists, files.is_dir, files.is_file):
        with pytest.raises(FileError, match="too long"):
            ask(tmp_path / ("x" * 300))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "x", tmp_path / "precious"
    elsewhere.write_text("old")
    path.symlink_to(elsewhere)
    files.write_text(path, "new")
    assert (path.read_text(), elsewhere.read_text()) == ("new", "old")
    with pytest.raises(ZeroDivisionError), files.atomic(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "new" and sorted(p.name for p in tmp_path.iterdir()) == [
        "precious",
        "x",
    ]


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(error: BaseException) -> int:
        raise error

    assert cli.run(lambda: 1) == 1
    assert cli.run(lambda: fails(UserError("line 3"))) == 2
    assert cli.run(lambda: fails(OSError(28, "No space left", "/x")), refused=3) == 3
    assert cli.run(lambda: fails(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "line 3\n/x: No space left\ninterrupted\n"


def test_a_reader_that_leaves_ends_a_command_quietly() -> None:
    code = (
        "from facesiam import cli\nimport sys\n"
        "sys.exit(cli.run(lambda: print('x' * 1_000_000) or 0))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout and child.stderr
        child.stdout.read(1)
        child.stdout.close()
        assert (child.wait(60), child.stderr.read()) == (0, b"")


def test_what_an_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert cli.run(lambda: print("±") or 0) == 0
    assert raw.getvalue() == b"\\xb1\n"


GOES_ON = """
import os, sys
from facesiam import cli
def work():
    for n in range(20_000):
        print("±", n)
    print("±", "a warning", file=sys.stderr)
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
    os.write(file, b"the result, by descriptor %d" % file)
    return 1
sys.exit(cli.run(work, goes_on=True))
"""


@pytest.mark.parametrize(
    "shown",
    [
        ">&-",
        ">/dev/full",
        "| head -c 1",
        ">&- 2>&- <&-",
        ">/dev/full 2>/dev/full",
        ">/dev/null 2>&-",
    ],
)
def test_work_that_goes_on_does_not_need_anything_to_be_shown(tmp_path: Path, shown: str) -> None:
    """A closed descriptor is not given to the next file, into which all would be shown."""
    shell = f'set -o pipefail; "$@" {shown}'
    command = ["bash", "-c", shell, "-", sys.executable, "-c", GOES_ON, str(tmp_path / "made")]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert done.returncode == 1
    made = (tmp_path / "made").read_text()
    assert made.startswith("the result, by descriptor") and int(made[-1]) > 2
    said = done.stderr.splitlines()
    if "2>" not in shown:
        assert said[-1] == r"\xb1 a warning"
        assert len(said) == 1 + (shown != ">&-")  # what was closed at first is nobody's surprise
        assert shown == ">&-" or said[0].startswith("stdout cannot be written (")
    else:
        assert said == []


def test_where_the_usual_folders_may_not_be_written_another_holds_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc"])
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", "/proc")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert cli.run(lambda: 0) == 0 and os.environ["TMPDIR"] == str(tmp_path)
    monkeypatch.setattr(os, "access", lambda place, how: False)
    assert cli.run(lambda: 0) == 2
    assert capsys.readouterr().err == (
        "No usable temporary directory found in ['/proc']; set TMPDIR to a folder that can be "
        "written\n"
    )


def test_a_python_without_the_packages_is_told_and_another_missing_module_is_our_fault(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def missing(name: str) -> int:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    assert cli.run(lambda: missing("torch")) == 2
    assert capsys.readouterr().err.startswith(f"torch is not installed in {sys.executable}; ")
    assert cli.run(lambda: missing("search.none")) == cli.BROKEN
    assert "Traceback" in capsys.readouterr().err
