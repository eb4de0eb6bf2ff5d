"""The race of a search's best trials, through the driver: who is taken, killed and resumed."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_cfp
from ray import cloudpickle
from stub_trial import StubTrial

from search import load, race, results, run
from search.analysis import raced_run
from search.api import searching
from search.api.wording import OptionError
from search.cli import run_command
from search.cli.run_command import main
from search.report import page
from search.runs.journal import read_trials
from search.runs.mirror import Mirror
from search.runs.reuse import RunRefused
from search.tuning.session import Outcome

SPACE = """
fixed: {image_size: 64, hidden: 16, epochs: 2, batch_size: 8, precision: fp32, join: difference}
search: {lr: [1e-3, 2e-3, 1e-2, 1e-1]}
algorithm: grid
finalists: {top: 4, seeds: 4, within: 0.002}
"""


class NoisyTrial(StubTrial):
    """Has some luck with every seed but the search's own; none of it changes who is best.

    The greatest learning rate always fails.
    """

    def step(self) -> dict[str, Any]:
        """Report an epoch."""
        if self.settings["lr"] > 0.05:
            raise ValueError("fails with every seed")
        seed, row = self.settings["seed"], super().step()
        luck = (seed * 7 + round(1e4 * self.settings["lr"])) % 5 - 2
        return row | {"val_acc": row["val_acc"] + 0.0004 * luck * (seed > 0)}


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not have the tests


@pytest.fixture(scope="module")
def searched(faces: Path, tmp_path_factory: pytest.TempPathFactory, _ray_ends: None) -> Path:
    """The folder of the results of a search and the race that its space asks for."""
    folder = tmp_path_factory.mktemp("raced")
    (folder / "small.yaml").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACESIAM_CACHE", str(faces.parent / "cache"))
        reports = list[str]()

        def report(runs: Sequence[Path]) -> Path:
            """Note what a report would be on."""
            race = folder / "runs" / "small-race"
            reports.append(
                f"{runs[0].name} {raced_run.read(race).winner if race.is_dir() else ''}"
            )
            return runs[0] / "report" / "report.html"

        patch.setattr(page, "report", report)
        argv = [str(folder / "small.yaml"), "--data", str(faces), "--out", str(folder / "runs")]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            asked = [*argv, "--concurrent", "2", "--report"]
            assert main(asked, NoisyTrial) == 1  # one trial fails
    (folder / "said.txt").write_text(said.getvalue())
    (folder / "reports.txt").write_text("\n".join(reports))
    return folder / "runs"


def test_a_search_with_finalists_ends_with_their_race(searched: Path) -> None:
    known = read_trials(searched / "small-race")
    result = raced_run.read(searched / "small-race")
    assert (result.trials, result.winner) == (["0001", "0002", "0003"], "0001")
    # lr 1e-2 is 5 points worse: out after the second of 4 seeds, as is 2e-3, 1.5 points worse.
    assert sorted(known) == [f"000{n}-s{seed}" for n in (1, 2, 3) for seed in (1, 2)]
    assert {line["settings"]["seed"] for line in known.values()} == {1, 2}
    assert (result.epochs, result.all_epochs) == (12, 24)


def test_a_search_says_what_follows_and_its_report_is_written_again_with_the_race(
    searched: Path,
) -> None:
    said = " ".join((searched.parent / "said.txt").read_text().split())
    follows = said.index("now follows a race of its best 3 trials, which may take another one")
    announced = said.index(
        "a race of small's 0001, 0002, 0003 with up to 4 seeds at the level 0.05, within 0.002: at "
        "least 6 trainings and 12 epochs, at most 12 trainings and 24 epochs"
    )
    begun = said.index("12 trials into")
    assert follows < announced < begun < said.index("0001 wins")
    assert "test its best trial" not in said and said.count("test the one that is taken") == 1
    assert (searched.parent / "reports.txt").read_text().splitlines() == ["small ", "small 0001"]


def test_the_command_shows_a_race_that_is_over_again(
    searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(searched.rglob("*"))
    assert race.main([str(searched / "small")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "0001 wins: each of the others is shown to be worse (95 % sure, all at once)" in said
    assert "the search alone would have named 0001 too" in said
    assert "12 of the 24 epochs of 3 finalists with 4 seeds each" in said
    assert sorted(searched.rglob("*")) == before


def test_the_ranked_trials_end_with_what_the_race_says(
    searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert results.main([str(searched / "small")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "raced with further seeds: 0001 wins: each of the others is shown to be worse" in said
    assert results.main([str(searched / "small-race")]) == 0
    assert "raced with further seeds" not in capsys.readouterr().out


def test_another_race_of_the_same_name_or_on_other_data_is_refused(
    searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert race.main([str(searched / "small"), "--seeds", "9"]) == 2
    assert "give it another --name" in capsys.readouterr().err
    assert race.main([str(searched / "small"), "--name", "small"]) == 2
    assert "is no run of a race" in capsys.readouterr().err
    assert race.main([str(searched / "small-race")]) == 2
    assert "is the race of small's best trials; name that run" in capsys.readouterr().err
    asked = [str(searched / "small"), "--name", "other", "--data", str(tiny_cfp.write(tmp_path))]
    assert race.main(asked) == 2
    assert "small was started on other data (" in capsys.readouterr().err
    assert not (searched / "other").exists()
    with pytest.raises(SystemExit):
        race.main([str(searched / "small"), "--level", "0.9"])
    assert "--level: must be 0.5 or less, got 0.9" in capsys.readouterr().err


@pytest.mark.parametrize("lines", [0, 15])
def test_a_killed_race_goes_on_where_it_was(
    searched: Path, tmp_path: Path, faces: Path, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(faces.parent / "cache"))
    copy = tmp_path / "runs"
    shutil.copytree(searched, copy)
    raced = copy / "small-race"
    for name in ("trials.jsonl", "epochs.jsonl"):  # as a driver leaves them that was killed
        noted = [json.loads(line) for line in (raced / name).read_text().splitlines()]
        kept = [line for line in noted if line["n"] <= lines]
        (raced / name).write_text("".join(json.dumps(line) + "\n" for line in kept))
    before = {name: line for name, line in read_trials(raced).items() if line["status"] == "done"}
    assert len(before) < 6 and bool(before) == bool(lines)
    assert raced_run.read(raced).winner is None
    assert race.main([str(copy / "small")], NoisyTrial) == 0
    after = read_trials(raced)
    assert {name: after[name] for name in before} == before
    assert raced_run.read(raced).winner == "0001"
    assert sorted(after) == sorted(read_trials(searched / "small-race"))


def test_a_search_that_is_done_ends_as_it_did_where_its_race_is_another_one(
    searched: Path,
    tmp_path: Path,
    faces: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(faces.parent / "cache"))
    copy = tmp_path / "runs"
    shutil.copytree(searched, copy)
    raced = copy / "small-race" / "space.yaml"
    raced.write_text(raced.read_text().replace("within: 0.002", "within: 0.003"))
    argv = [str(searched.parent / "small.yaml"), "--data", str(faces), "--out", str(copy)]
    assert main([*argv, "--resume"], NoisyTrial) == 1  # the one that fails is tried again
    assert "give it another --name" in capsys.readouterr().err


def test_the_plan_says_what_a_race_costs(
    searched: Path,
    faces: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(faces.parent / "cache"))
    file = searched.parent / "small.yaml"
    assert main([str(file), "--data", str(faces), "--name", "new", "--dry-run"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "then the best 4 are trained again with up to 4 further seeds: at least 8 trainings and "
        "16 epochs, at most 16 trainings and 32 epochs" in said
    )
    assert race.main([str(searched / "small"), "--name", "other", "--top", "2", "--dry-run"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "a race of small's 0001, 0002 with up to 4 seeds" in said
    assert not (searched / "other").exists()


@pytest.mark.parametrize("python", [False, True])
def test_the_report_after_a_race_lies_where_the_run_does(
    searched: Path, tmp_path: Path, faces: Path, monkeypatch: pytest.MonkeyPatch, python: bool
) -> None:
    """Behind a URL as well; the search and its race are over when it is written."""
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "there").mkdir()
    out = f"file://{tmp_path}/there"
    for name in ("small", "small-race"):
        mirror = Mirror(f"{out}/{name}", lambda text: None)
        shutil.copytree(searched / name, mirror.run, ignore=shutil.ignore_patterns("report"))
        mirror.bring()
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path / "another-machine"))
    shutil.copytree(faces.parent / "cache", tmp_path / "another-machine")
    space, page = searched.parent / "small.yaml", tmp_path / "there" / "small" / "report"
    if python:
        monkeypatch.setattr(
            searching, "_driven", lambda ready, *shown: (Outcome(ready, None), None)
        )
        run(space, faces, out=out, resume=True, report=True, progress=False)
    else:
        monkeypatch.setattr(run_command, "_run", lambda *given: 0)
        asked = [str(space), "--data", str(faces), "--out", out, "--resume", "--report"]
        assert main(asked, NoisyTrial) == 0
    assert "0001 wins" in (page / "report.html").read_text()
    assert (page / "report.md").exists() and list(page.glob("*.png"))
    assert "0001 wins" in load(f"{out}/small").report().read_text()


def test_a_race_from_python_is_that_of_the_command(searched: Path) -> None:
    found = load(searched / "small").race()
    assert found is not None and found.winner == "0001"
    frame = found.frame()
    assert list(frame["trial"]) == ["0001", "0002", "0003"]
    assert list(frame["out_after"].isna()) == [True, False, False]
    assert frame["chance"].sum() == pytest.approx(1)
    assert str(found).splitlines()[2].split()[0] == "0001"
    with pytest.raises(RunRefused, match="give it another name"):
        load(searched / "small").race(top=2)
    with pytest.raises(OptionError, match="top"):
        load(searched / "small").race(top=0)
