"""Tests of the hint at the path that may have been meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from facesiam import demo, verify
from facesiam.export import __main__ as exporting
from facesiam.files import is_file
from facesiam.nearby import did_you_mean
from search.runs.reuse import RunRefused
from search.tuning.option_checks import check_weights

SUITS = {"weights": lambda path: path.suffix == ".pt", "runs": Path.is_dir}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("mine/weights/0001.pt", "mine/weights/0010.pt", "demo-1/space.yaml"):
        (tmp_path / "ray_results" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "ray_results" / name).touch()
    (tmp_path / "ray_results/demo-2").mkdir()
    (tmp_path / "ray_results/mine/weights/best.pt").touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "kind", "hint"),
    [
        ("ray_results/minne", "runs", "did you mean ray_results/mine?"),
        ("mine", "runs", "did you mean ray_results/mine?"),
        ("minne", "runs", "did you mean ray_results/mine?"),
        ("demo", "runs", "did you mean ray_results/demo-2?"),
        ("ray_result/minne", "runs", "did you mean ray_results/mine?"),
        (
            "ray_results/minne/weihgts/0010.pt",
            "weights",
            "did you mean ray_results/mine/weights/0010.pt?",
        ),
        (
            "ray_results/mine/weights/0001.pth",
            "weights",
            "did you mean ray_results/mine/weights/0001.pt?",
        ),
        (
            "ray_results/mine/weights/1.pt",
            "weights",
            "did you mean ray_results/mine/weights/0001.pt?",
        ),
        (
            "ray_results/mine/weights/0011.pt",  # no slip of 0001 or 0010: another trial
            "weights",
            "ray_results/mine/weights has 0001.pt, 0010.pt, best.pt",
        ),
        ("ray_results/mine/0001.pt", "weights", "did you mean ray_results/mine/weights/0001.pt?"),
        ("nowhere/mine", "runs", "there is no folder nowhere"),
        ("empty/xyz", "runs", ""),
        ("empty.pt/x", "weights", "there is no folder empty.pt"),
        ("x" * 300, "runs", ""),
        ("a\0b", "runs", ""),
        ("a/" * 1200 + "q", "runs", f"there is no folder {'a/' * 1199}a"),
        ("ray_results/mine/weights/unlike.pt", "weights", ""),
        (
            "ray_results/mine/weights/bets.pt",
            "weights",
            "did you mean ray_results/mine/weights/best.pt?",
        ),
        ("/", "weights", ""),
    ],
)
def test_the_nearest_path_is_named(here: Path, given: str, kind: str, hint: str) -> None:
    said = did_you_mean(Path(given), SUITS[kind], ("ray_results", "weights"))
    assert said == (f"; {hint}" if hint else "")


def test_only_what_suits_is_named(here: Path) -> None:
    assert did_you_mean(Path("ray_results/minne"), is_file) == ""


def test_many_names_are_cut(here: Path) -> None:
    for number in range(2, 8):
        (here / f"ray_results/mine/weights/000{number}.pt").touch()
    assert did_you_mean(here / "ray_results/mine/weights/0020.pt", is_file).endswith(
        "has 0001.pt, 0002.pt, 0003.pt, 0004.pt, 0005.pt and 4 more"
    )


@pytest.mark.parametrize(
    ("command", "given", "meant"),
    [
        (exporting.main, "ray_results/minne", "ray_results/mine"),
        (exporting.main, "mine", "ray_results/mine"),
        (exporting.main, "ray_results/mine/weights/1.pt", "ray_results/mine/weights/0001.pt"),
        (verify.main, "minne", "ray_results/mine"),
        (demo.main, "ray_results/minne/weights/0001.pt", "ray_results/mine/weights/0001.pt"),
    ],
)
def test_each_command_that_reads_weights_names_the_nearest(
    here: Path,
    command: Callable[[list[str]], int],
    given: str,
    meant: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more: list[str] = []
    if command is exporting.main:
        more = ["--out", "out"]
    elif command is verify.main:
        more = ["a.jpg", "b.jpg"]
    assert command([given, *more]) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith(f"{given}: no such ")
    assert said.endswith(f"; did you mean {meant}?\n")
    assert not (here / "out").exists()


def test_pretrained_weights_that_are_not_there_are_told_with_the_nearest(here: Path) -> None:
    (here / "alexnet.pth").touch()
    with pytest.raises(RunRefused, match=r"--weights alexnet.pt: no such .*mean alexnet.pth\?$"):
        check_weights(Path("alexnet.pt"))
