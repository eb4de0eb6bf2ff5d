"""The parser that all commands share."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from facesiam import cli

SEE = "p --help lists what it takes\n"
"""The line after each error."""


@pytest.mark.parametrize("given", [["", "--out", "x"], ["x", "--out", ""], ["x", "--to", ""]])
def test_a_variable_of_the_shell_that_is_not_set_is_no_text(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    parser = cli.Parser(prog="p")
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--out")
    parser.add_argument("--to", type=Path)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(given)
    named = "RUN" if not given[0] else given[1]
    assert capsys.readouterr().err == f"p: error: argument {named}: is empty\n{SEE}"


def test_what_is_empty_within_a_command_is_named_by_its_own_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = cli.Parser(prog="p")
    commands = parser.add_subparsers(metavar="KIND")
    commands.add_parser("slurm").add_argument("--time")
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["slurm", "--time", ""])
    see = SEE.replace("p", "p slurm", 1)
    assert capsys.readouterr().err == f"p slurm: error: argument --time: is empty\n{see}"
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["slrum"])
    assert "argument KIND: invalid choice: 'slrum'" in (said := capsys.readouterr().err)
    assert said.endswith(f"; did you mean slurm?\n{SEE}")


@pytest.mark.parametrize(
    ("given", "near"),
    [
        (["--trails", "5"], "--trails 5; did you mean --trials?"),
        (["--xyzzy"], "--xyzzy"),
        (["--trees"], "--trees"),  # alike in nothing but the dashes and two letters
        (["--epochs", "3"], "--epochs 3; did you mean --set epochs=3?"),
        (["--batch-size=8"], "--batch-size=8; did you mean --set batch_size=8?"),
        (["--epochs", "--trees"], "--epochs --trees; did you mean --set epochs=VALUE?"),
        (["--"], "--"),
    ],
)
def test_an_option_that_is_none_is_told_with_the_nearest(
    given: list[str], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = cli.Parser(prog="p")
    parser.add_argument("--trials")
    parser.settings = ["epochs", "batch_size"]
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(given)
    assert capsys.readouterr().err == f"p: error: unrecognized arguments: {near}\n{SEE}"


def test_what_is_said_of_a_wrong_word_steers_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.Parser(prog="p").parse_args(["\x1b[2Jword"])
    said = capsys.readouterr().err
    assert "\x1b" not in said and said.endswith(f"word\n{SEE}")


def test_help_is_printed_in_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    with pytest.raises(SystemExit, match="0"):
        cli.Parser(prog="p", description="Müller").parse_args(["--help"])
    assert b"M\\xfcller" in out.buffer.getvalue()


def test_help_that_cannot_be_written_ends_without_a_complaint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit, match="0"):
            cli.Parser(prog="p").parse_args(["--help"])
        assert os.readlink(f"/proc/self/fd/{full.fileno()}") == os.devnull
