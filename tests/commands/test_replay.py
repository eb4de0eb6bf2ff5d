"""The command search.replay: its table, its files, and what it says of wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import REFERENCE, SPACES

from search.pruning.recorded_runs import SHIPPED
from search.replay import main

CODE2 = SPACES / "code2.yaml"


def test_the_command_prints_a_table_and_writes_json_and_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_file, figure = tmp_path / "r.json", tmp_path / "r.png"
    options = ["--orders", "3", "--json", str(json_file), "--figure", str(figure)]
    assert main([str(CODE2), *options]) == 0
    out = capsys.readouterr().out
    assert "cfp-pairs, 2800 validation pairs: 6 runs, 348 epochs, best val_acc 82.7 % (6)" in out
    assert "frontal-triplets, 2000 validation pairs: 12 runs, 720 epochs" in out
    written = json.loads(json_file.read_text())
    assert written["orders"] == 3 and len(written["contests"]) == 2
    ours = written["contests"][1]["policies"][-1]
    assert ours["policy"] == "ASHA and rules" and f"{100 * ours['epochs']:.1f}" in out
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_fits_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main([str(CODE2), "--orders", "2"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert max(map(len, lines)) <= width
    heads = [line for line in lines if line.startswith("policy ")]
    assert len(heads) == (4 if width == 80 else 2)  # two contests, in two parts each
    assert "stopped by" in heads[-1]


def test_epochs_of_the_space_cap_the_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(CODE2), "--orders", "2", "--set", "epochs=10"]) == 0
    assert "6 runs, 60 epochs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spaces/none.yaml"], "spaces/none.yaml"),
        ([str(CODE2), "--curves", "/none"], "/none: no such folder of recorded curves"),
        ([str(CODE2), "--set", "epoch=3"], "did you mean epochs?"),
        ([str(CODE2), "--figure", "replay.xyz"], "--figure replay.xyz: must end in .png"),
        ([str(CODE2), "--figure", "/none/r.png"], "--figure /none/r.png: cannot be written"),
        ([str(CODE2), "--json", "/"], "--json /: is a folder"),
        (
            [str(CODE2), "--set", "epochs=10", "--late", "10"],
            "--late 10: must be below the 10 epochs of the longest trial",
        ),
    ],
)
def test_wrong_input_is_told_in_a_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_a_run_folder_is_as_good_as_a_folder_of_csvs(capsys: pytest.CaptureFixture[str]) -> None:
    run_folder = REFERENCE / "code2-rows-AJK"
    assert main([str(CODE2), "--curves", str(run_folder), "--orders", "2"]) == 0
    assert "3 runs, 12 epochs, best val_acc 73.5 % (A)" in capsys.readouterr().out


def test_runs_that_name_no_protocol_are_of_the_spaces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "AJ":
        (tmp_path / f"{name}.csv").write_bytes((SHIPPED / f"{name}.csv").read_bytes())
    assert main([str(CODE2), "--curves", str(tmp_path), "--orders", "2"]) == 0
    out = capsys.readouterr().out
    assert "frontal-triplets, 2000 validation pairs: 2 runs, 120 epochs" in out
    assert "chance 1.0" in out  # J: there is a band, as there is a number of pairs
