"""Space files as people and their editors leave them: no traceback, and what is wrong is told as
what it is, by every command that reads one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ROOT

from search.cli import run_command as run
from search.space import SpaceError, load
from search.space.__main__ import main

GOOD = "search:\n  lr: [1e-3, 1e-4]\n"

NOT_ONE = "' is not one of the 87 that there are (alexnet, vgg16_bn, convnext_base, …)"

# Each: the file, and what is told below the first line, or after the path; None: it is read.
FILES: dict[str, tuple[str | bytes, str | None]] = {
    "01 tab": ("search:\n\tlr: [1e-3]\n", "line 2  a tab; YAML takes spaces only"),
    "02 tab after colon": ("search:\n  lr:\t[1]\n", "line 2  a tab; YAML takes spaces only"),
    "03 byte order mark": ("\ufeff" + GOOD, None),
    "04 utf-16": (GOOD.encode("utf-16"), "saved as UTF-16; save it as UTF-8"),
    "05 utf-16 without mark": (GOOD.encode("utf-16-le"), "saved as UTF-16; save it as UTF-8"),
    "06 utf-32": (GOOD.encode("utf-32"), "saved as UTF-32; save it as UTF-8"),
    "07 windows newlines": (GOOD.replace("\n", "\r\n"), None),
    "08 latin-1": (
        "search:\n  lr: [1]  # f\xfcr\n".encode("latin-1"),
        "line 2  not UTF-8 text (byte 0xfc); save the file as UTF-8",
    ),
    "09 no-break indent": (
        "search:\n\xa0 \xa0 lr: [1e-3, 1e-4]\n",
        "line 2  U+00A0 NO-BREAK SPACE; write a plain space",
    ),
    "10 no-break after colon": (
        "fixed: {epochs: 1}\nsearch:\n  lr:\xa0[1e-3]\n",
        "line 3  U+00A0 NO-BREAK SPACE; write a plain space",
    ),
    "11 minus and quotes": (
        "search:\n  lr: [1e\u22123]\n  net: [\u201calexnet\u201d]\n",
        """\
line 2  lr: must be a number, got '1e\u22123' ('\u2212' is U+2212 MINUS SIGN; write -); did you \
mean 1e-3?
line 3  net: '\u201calexnet\u201d' is not one of the 87 that there are (alexnet, vgg16_bn, \
convnext_base, …) ('\u201c' is U+201C LEFT DOUBLE QUOTATION MARK; write "); did you mean \
alexnet?""",
    ),
    "12 full-width": (
        "search\uff1a\n  lr: [1\uff0c 2]\n",
        """\
line 1  '\uff1a' is U+FF1A FULLWIDTH COLON; write :
line 2  '\uff0c' is U+FF0C FULLWIDTH COMMA; write ,""",
    ),
    "13 octal": (
        GOOD + "trials: 010\n",
        "line 3  trials: must be a whole number, got '010'; did you mean 10?",
    ),
    "14 sexagesimal": (
        GOOD + "trials: 1:30\n",
        "line 3  trials: must be a whole number, got '1:30'",
    ),
    "16 merge": (
        "fixed:\n  <<: {lr: 1}\n  seed: 1\n",
        "line 2  merging with << is not read; write the keys out",
    ),
    "17 null": (
        "fixed: {lr: null, epochs: ~}\n",
        "line 1  epochs: has no value\nline 1  lr: has no value",
    ),
    "19 no space": (
        "search:\n  lr:[1e-3, 1e-4]\n  sead: [1]\n",
        """\
line 2  a space is missing after `lr:`
line 3  sead: not a setting; did you mean seed?""",
    ),
    "20 no space in braces": (
        "fixed: {lr:1e-3, seed: 1}\n",
        "line 1  a space is missing after `lr:`",
    ),
    "21 no space after dash": (
        "search:\n  lr:\n    -1e-3\n    -1e-4\n",
        """\
line 3  a space is missing after the '-' of a list
line 4  a space is missing after the '-' of a list""",
    ),
    "22 a dash that is none": (
        "search:\n  lr:\n  \u2013 1e-3\n  \u2013 1e-4\n",
        """\
line 3  '\u2013' is U+2013 EN DASH; write -
line 4  '\u2013' is U+2013 EN DASH; write -""",
    ),
    "23 no colon": (
        "search:\n  lr [1e-3]\n",
        "line 2  search: 'lr [1e-3]' is no `key: value` line",
    ),
    "24 lists for values": (
        "fixed: {lr: [1]}\n",
        "line 1  lr: must be a single value, got a list",
    ),
    "25 binary": (bytes(range(256)), "a binary file, not a space file"),
    "26 documents": (
        "fixed: {lr: 1}\n---\nfixed: {lr: 2}\n",
        "line 2  not YAML: a second document starts here; a space file holds one",
    ),
    "27 quote": (
        'fixed:\n  net: "alexnet\n  lr: 1\n',
        "line 2  not YAML: a quote that is not closed",
    ),
    "28 cyrillic": (
        "fixed: {s\u0435ed: 1}\n",
        "line 1  s\u0435ed: not a setting ('\u0435' is "
        "U+0435 CYRILLIC SMALL LETTER IE; write e); did you mean seed?",
    ),
    "29 arabic digit": (
        GOOD + "trials: \u0663\n",
        "line 3  trials: must be a whole number, got "
        "'\u0663' ('\u0663' is U+0663 ARABIC-INDIC DIGIT THREE; write 3); did you "
        "mean 3?",
    ),
    "30 underscore": (
        GOOD + "trials: 1_000\n",
        "line 3  trials: must be a whole number, got '1_000'; did you mean 1000?",
    ),
    "31 space in quotes": (
        GOOD + "trials: '5 '\n",
        "line 3  trials: must be a whole number, got '5 '; did you mean 5?",
    ),
    "32 escapes": (
        '"\\e]0;pwned\\a": 1\nfixed: {lr: 1}\n',
        "line 1  \\x1b]0;pwned\\x07: not a key of a space file",
    ),
    "33 windows path": (
        'fixed: {lr: 1}\ndata: "C:\\faces"\n',
        "line 2  data: has a control "
        "character (\\x0c); in double quotes \\ starts an escape: use single quotes",
    ),
    "34 case": (
        "fixed: {net: AlexNet}\n",
        "line 1  net: 'AlexNet' is not one of the 87 that "
        "there are (alexnet, vgg16_bn, convnext_base, …); did you mean alexnet?",
    ),
    "35 zero width": (
        "search:\n  l\u200br: [1]\n",
        "line 2  l\\u200br: not a setting (U+200B "
        "ZERO WIDTH SPACE; take it out); did you mean lr?",
    ),
    "36 newline in a key": ('fixed: {"a\\nb": 1}\n', "line 1  a\\nb: not a setting"),
    "37 booleans": (
        "fixed: {epochs: true, augment: 1}\n",
        """\
line 1  augment: must be true or false, got '1'
line 1  epochs: must be a whole number, got 'true'""",
    ),
    "38 empty": ("", "empty; a space file has `search:`, `rows:` or `fixed:`"),
    "39 comment": ("# nothing yet\n", "empty; a space file has `search:`, `rows:` or `fixed:`"),
    "40 no-break space in a note": ("rows: {A: {note: caf\xe9\xa0au lait}}\n", None),
    # 600 letters of the line, of which the first 16 and the last are not the value's.
    "41 long value": (
        "fixed: {net: " + "a" * 100_000 + "}\n",
        "line 1  net: '" + "a" * 284 + "… (99,491 characters) …" + ("a" * 300 + NOT_ONE)[-300:],
    ),
}


def write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "space.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", FILES)
def test_each_is_told_as_what_it_is_by_both_commands(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, told = FILES[name]
    path = write(tmp_path, content)
    code = 0 if told is None else 2
    assert main([str(path)]) == code
    out, err = capsys.readouterr()
    if told is None:
        assert out.startswith(f"{path}: ") and err == ""
        return
    assert not out and err.isprintable() is False and "\x1b" not in err
    if told.startswith("line "):
        number = told.count("\n") + 1
        head = f"{path}: {number} problem{'s' if number > 1 else ''}\n  "
        assert err == head + told.replace("\n", "\n  ") + "\n"
    else:
        assert err == f"{path}: {told}\n"
    assert run.main([str(path), "--dry-run", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == err


@pytest.mark.parametrize("name", [name for name, (_, told) in FILES.items() if told])
def test_no_text_of_a_file_is_shown_whole_where_it_is_endless(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpaceError) as caught:
        load(write(tmp_path, FILES[name][0]))
    assert max(map(len, str(caught.value).splitlines())) < 700


ENVIRONMENTS = {
    "C": ([sys.executable], {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, ""),
    "ascii": ([sys.executable], {"PYTHONIOENCODING": "ascii"}, ""),
    "-O": ([sys.executable, "-O"], {}, ""),
    "-OO": ([sys.executable, "-OO"], {}, ""),
    "umask": ([sys.executable], {}, "umask 077; "),
    "read-only home": ([sys.executable], {"HOME": "/proc/self"}, ""),
}
ENDS = {"": "", "closed": ">&- 2>&-", "no stdin": "<&-", "full": ">/dev/full"}


@pytest.mark.parametrize(
    ("around", "end"),
    [(around, "") for around in ENVIRONMENTS]
    + [(around, end) for around in ("C", "-OO") for end in ENDS if end],
)
def test_odd_surroundings_make_no_traceback(tmp_path: Path, around: str, end: str) -> None:
    """Two good files, one whose message has letters that ASCII lacks, in one process."""
    python, more, before = ENVIRONMENTS[around]
    bad = write(tmp_path, FILES["11 minus and quotes"][0])
    good = tmp_path / "good.yaml"
    good.write_text(GOOD)
    words = [*python, "-m", "search.space", str(good), str(bad)]
    line = before + " ".join(f"'{word}'" for word in words) + f" {ENDS[end]}"
    env = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=env, timeout=120)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert done.returncode == 2
    if end in ("", "no stdin"):
        assert done.stdout == f"{good}: fine; 2 configurations\n"
    if end == "full":
        assert done.stderr == "No space left on device\n"
    elif end != "closed":
        assert "U+2212 MINUS SIGN" in done.stderr


def test_help_needs_no_docstrings_and_wrong_words_are_shown_safely() -> None:
    """In one process, as what they import takes seconds."""
    modules = ("search.run", "search.space", "search.results", "facesiam.data")
    # Where the function of a command lies that is not its module's own.
    elsewhere = {"search.run": "search.cli.run_command"}
    elsewhere |= {name: f"{name}.__main__" for name in ("search.space", "facesiam.data")}
    code = f"""if True:
        import importlib, sys
        for module in {modules}:
            for argv in (["--help"], ["--\\x1b[31m", "a", "b\\x07"]):
                try:
                    name = {elsewhere}.get(module, module)
                    importlib.import_module(name).main(argv)
                except SystemExit as stopped:
                    print(stopped.code, file=sys.stderr)
    """
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-OO", "-c", code], capture_output=True, text=True, timeout=200, env=env
    )
    said = done.stderr.splitlines()
    assert "Traceback" not in done.stderr and "\x1b" not in done.stderr
    assert [line for line in said if line.isdecimal()] == ["0", "2"] * len(modules), said
    assert all(f"usage: python -m {module} " in done.stdout for module in modules)


@pytest.mark.parametrize("words", [["search.run", "{space}"], ["search.replay", "{space}"]])
def test_what_needs_ray_says_that_it_needs_docstrings(tmp_path: Path, words: list[str]) -> None:
    space = write(tmp_path, GOOD)
    done = subprocess.run(
        [sys.executable, "-OO", "-m", *(word.format(space=space) for word in words)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("python -OO strips docstrings, without which Ray cannot be")
    assert os.listdir(tmp_path) == ["space.yaml"]


def test_what_is_wrong_fits_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("fixed:\n  net: alexnett\nsearch: {lr: [1e-3, -1]}\n")
    assert main(["a.yaml"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "a.yaml: 2 problems",
        "  line 2  net: 'alexnett' is not one of the 87 that there are (alexnet,",
        "      vgg16_bn, convnext_base, …); did you mean alexnet?",
        "  line 3  lr: must be above 0, got -1",
    ]
