"""The command, from a wrong word to a finished, interrupted and resumed search."""

from __future__ import annotations

import errno
import gc
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from builders import REFERENCE, ROOT
from stub_trial import StubTrial

from facesiam.data.dataset import FaceData
from facesiam.nets.checkpoint import load_model
from search import results
from search.cli.run_command import main
from search.runs.journal_writer import Journal
from search.runs.remote import open_run
from search.tuning import warm_start

SPACE = """
fixed: {image_size: 64, hidden: 16, epochs: 3, batch_size: 8, precision: fp32, join: difference}
search:
  lr: [1e-3, 1e-4]
  augment: [false, true]
rows:
  A: {settings: {lr: 1e-3}, published: {val: 81, test: 80, overfit: true, epoch: 15}}
  B: {settings: {lr: 1e-3, augment: true}, note: a note}
algorithm: grid
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """A small search, in a folder of its own."""
    file = tmp_path / "small.yaml"
    file.write_text(SPACE)
    return file


def refused(argv: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command; assert that it refused and wrote nothing; return what it said."""
    before = sorted(out.rglob("*"))
    assert main(["--out", str(out / "runs"), *argv]) == 2
    assert sorted(out.rglob("*")) == before
    return capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--set", "optimiser=adam"], "--set optimiser: not a setting; did you mean optimizer?"),
        (["--set", "lr=-1"], "--set lr: must be above 0, got -1"),
        (["--set", "lr"], "--set lr: must be KEY=VALUE, such as epochs=10"),
        (["--rows", "A,Z"], "--rows Z: no such row; {space} has A, B"),
        (["--resume"], "--resume: there is no run at {out}/small"),
        (["--name", "../up"], "--name ../up: letters, digits, '-', '_' and '.' only"),
        (["--data", "nowhere.zip"], "nowhere.zip: does not exist"),
        (["--gpus", "64"], "--gpus 64: more than the"),
        (["--address", "127.0.0.1:1"], "--address 127.0.0.1:1: nothing answers there"),
        (["--address", "nonsense"], "--address nonsense: write auto or HOST:PORT"),
        (
            ["--dashboard", "--address", "auto"],
            "--dashboard: a cluster's dashboard starts with its head, ray start --head",
        ),
        (
            ["--ablate", f"{REFERENCE / 'cpu'}"],
            f"--ablate {REFERENCE / 'cpu'}: does not fit this space: its best trial has",
        ),
        (["--ablate", "x", "--rows", "A"], "--ablate runs rows of its own: leave out --rows"),
        (["--out", "s3://"], "--out s3://: no URL; such as s3://bucket/runs or file:///path"),
        (["--out", "file:/x"], "--out file:/x: no URL; such as s3://bucket/runs or file:///path"),
        (
            ["--optuna", "study.db"],
            "--optuna study.db: no URL of a database; did you mean sqlite:///study.db?",
        ),
        (["--optuna", "sqlite:///{out}/no/study.db"], "no/study.db: there is no folder {out}/no"),
        (["--optuna", "sqlite:///{out}.db", "--data", "nowhere.zip"], "does not exist"),
        (["--set", "people=1", "--data", "{faces}"], "people: 1 leaves no pair of the same"),
    ],
)
def test_a_wrong_option_is_refused_in_a_sentence_and_nothing_is_written(
    space: Path,
    faces: Path,
    options: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(faces.parent / "cache"))
    options = [option.replace("{faces}", str(faces)) for option in options]
    options = [option.replace("{out}", str(tmp_path / "runs")) for option in options]
    said = refused([str(space), *options], tmp_path, capsys)
    expected = sentence.replace("{space}", str(space)).replace("{out}", str(tmp_path / "runs"))
    assert expected in said and "Traceback" not in said


def test_a_sampler_that_is_none_is_told_with_the_nearest_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["code2", "--algorithm", "byes"])
    assert capsys.readouterr().err == (
        "python -m search.run: error: argument --algorithm: invalid choice: 'byes' (choose from "
        "tpe, gp, cmaes, nsga2, random, quasi-random, grid, rows); did you mean bayes?\n"
        "python -m search.run --help lists what it takes\n"
    )


@pytest.mark.parametrize(("name", "package"), [("mlflow", "mlflow-skinny"), ("wandb", "wandb")])
def test_a_tracker_that_is_not_installed_is_told_with_the_command(
    space: Path,
    name: str,
    package: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("search.tracking.chosen.find_spec", lambda name: None)
    expected = f"--log {name}: its package is missing; pip install {package}"
    assert refused([str(space), "--log", name], tmp_path, capsys) == expected
    space.write_text(f"{SPACE}log: {name}\n")
    assert refused([str(space)], tmp_path, capsys) == expected


def test_a_faulty_space_is_refused_with_every_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("search:\n  lr: [0]\n  optimiser: [adam]\n")
    said = refused([str(file)], tmp_path, capsys)
    assert said.splitlines() == [
        f"{file}: 2 problems",
        "  line 2  lr: must be above 0, got 0",
        "  line 3  optimiser: not a setting; did you mean optimizer?",
    ]


def test_data_beside_the_space_file_and_not_here_is_refused_with_the_path_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("data: my_faces\nsearch: {lr: [1e-3, 1e-4]}\n")
    (tmp_path / "my_faces").mkdir()
    said = refused([str(path), "--dry-run"], tmp_path / "out", capsys)
    assert said.startswith(f"{path}: data: my_faces: a relative path begins in the folder where ")
    assert said.strip().endswith(f"; write {tmp_path / 'my_faces'}")


def test_a_space_is_refused_before_torch_or_ray_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("search: {lr: []}\n")
    code = (
        "import sys; from search.cli.run_command import main; code = main([sys.argv[1]]); "
        "print(code, {'torch', 'ray', 'pandas', 'optuna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True)
    assert done.stdout.strip() == "2 set()"


def test_pretrained_without_weights_is_refused_before_anything_starts(
    space: Path,
    faces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    options = ["--set", "pretrained=true", "--data", str(faces), "--weights", str(tmp_path)]
    said = refused([str(space), *options], tmp_path, capsys)
    assert f"--weights {tmp_path}: no file named alexnet*.pth in it" in said


def test_an_output_folder_that_cannot_be_written_is_refused(
    space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert main([str(space), "--out", str(tmp_path / "file")]) == 2
    assert f"--out {tmp_path / 'file'}: {tmp_path / 'file'} cannot be written to (" in (
        capsys.readouterr().err
    )


def test_dry_run_prints_the_plan_and_starts_nothing(
    space: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(space), "--dry-run", "--out", str(tmp_path / "runs")]) == 0
    said = capsys.readouterr().out
    assert "distinct configurations: 4" in said and "trials: 4" in said
    assert "estimated cost: trials × epochs = 4 × 3" in said and "it halts" not in said
    given = ["--data", str(faces)]
    assert main([str(space), "--dry-run", "--out", str(tmp_path / "runs"), *given]) == 0
    assert f"\ndata: {faces}\n" in capsys.readouterr().out
    assert main([str(space), "--dry-run", "--out", str(tmp_path / "runs"), "--minutes", "9"]) == 0
    assert "; it halts after 9 minutes" in " ".join(capsys.readouterr().out.split())
    assert os.listdir(tmp_path) == ["small.yaml"]
    idle = ["--set", "sub_centres=2", "--dry-run"]
    assert main([str(space), *idle]) == 0
    assert "sub_centres: has no effect in any trial with loss " in capsys.readouterr().out


@pytest.mark.usefixtures("local_ray")
def test_a_search_leaves_everything_and_its_name_is_taken(
    space: Path,
    faces: Path,
    data: FaceData,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(data.folder.parent))
    out = tmp_path / "runs"
    argv = [str(space), "--data", str(faces), "--out", str(out), "--set", "epochs=2"]
    argv += ["--set", "people=8", "--concurrent", "1"]  # a worker takes 4 s of a core to start
    # 1e9 is above lr's bound, so the trial that diverges comes by its loss: Adam at lr 10.
    space.write_text(SPACE.replace("1e-4]", "10]"))
    assert main([*argv, "--report"]) == 0
    said = capsys.readouterr().out
    run = out / "small"
    assert "rank" in said and f"report: {run / 'report' / 'report.html'}" in said
    assert said.endswith(f"\ntest its best trial: python -m search.retrain {run}\n")
    for name in (
        "space.yaml",
        "manifest.json",
        "trials.csv",
        "trials.parquet",
        "epochs.csv",
        "epochs.parquet",
        "report/report.html",
        "report/report.md",
    ):
        assert (run / name).stat().st_size > 0, name
    trials, epochs = results.load(run)
    assert list(trials["val_acc"]) == sorted(trials["val_acc"], reverse=True)
    assert set(trials["status"]) <= {"done", "stopped"}
    for _, trial in trials[trials["status"] == "stopped"].iterrows():
        assert trial["stop_rule"] == "diverged" and "is nan at epoch" in trial["stop_reason"]
    pd.testing.assert_frame_equal(pd.read_parquet(run / "epochs.parquet"), epochs)
    assert len(list((run / "tensorboard").glob("*/events*"))) >= 4
    best = trials["trial"].iloc[0]
    kept = {f"{trial}.pt" for trial in trials["trial"].head(3)}
    assert {path.name for path in (run / "weights").iterdir()} == kept
    _, config, info = load_model(run / "weights" / f"{best}.pt")
    assert config == results.settings(run)[best]
    assert info["val_acc"] == trials["val_acc"].iloc[0]
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["data"]["key"] == data.key and manifest["finished"]
    assert manifest["versions"]["ray"] and manifest["machine"]["cores"]
    assert main(argv) == 2
    assert f"{run} exists; go on with --resume, or give another --name" in capsys.readouterr().err


@pytest.mark.usefixtures("local_ray")
def test_tpe_and_asha_on_ray_stop_trials_and_say_why(
    space: Path,
    faces: Path,
    data: FaceData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(data.folder.parent))
    text = SPACE.replace("lr: [1e-3, 1e-4]", "lr: {low: 1e-4, high: 1, log: true}")
    prune = "metric: val_loss\nprune: {asha: {grace: 1, factor: 2, noise: 0}}\n"
    space.write_text(text.replace("grid", "tpe") + prune)
    argv = [str(space), "--data", str(faces), "--out", str(tmp_path), "--trials", "7"]
    study = f"sqlite:///{tmp_path}/study.db"
    assert main([*argv, "--concurrent", "1", "--optuna", study], StubTrial) == 0
    trials, epochs = results.load(tmp_path / "small")
    assert len(trials) == 7
    kept = optuna.load_study(study_name="small", storage=study)
    assert kept.direction.name == "MINIMIZE"
    assert [trial.state.name for trial in kept.trials] == [
        {"done": "COMPLETE", "stopped": "PRUNED"}[status]
        for status in trials.sort_values("trial")["status"]
    ]
    stopped = trials[trials["status"] == "stopped"]
    assert "asha" in set(stopped["stop_rule"]) <= {"asha", "diverged", "dead"}
    for _, trial in stopped[stopped["stop_rule"] == "asha"].iterrows():
        found = re.fullmatch(
            r"best val_loss (\S+) at the rung of (\d) epochs?( from its take-off at epoch \d)?, "
            r"cutoff (\S+) of \d+ peers?",
            trial["stop_reason"],
        )
        assert found and float(found[1]) > float(found[4])
        assert trial["epochs_run"] == trial["stop_epoch"] + 1 >= trial["stop_rung"]
        assert trial["stop_rung"] == int(found[2])
    done = trials[trials["status"] == "done"]
    assert set(done["epochs_run"]) == {3}
    assert len(epochs) == trials["epochs_run"].sum()
    assert all(len(set(trials[name])) >= 2 for name in ("lr", "augment"))


def after_each_result(
    monkeypatch: pytest.MonkeyPatch, then: Callable[[Any, dict[str, Any]], None]
) -> None:
    """Have `then` called with Ray's trial and its result once the recorder has noted it."""
    from search.tuning.recorder import Recorder

    noted = Recorder.on_trial_result

    def both(
        self: Recorder,
        iteration: int,
        trials: list[Any],
        trial: Any,
        result: dict[str, Any],
        **info: object,
    ) -> None:
        noted(self, iteration, trials, trial, result, **info)
        then(trial, result)

    monkeypatch.setattr(Recorder, "on_trial_result", both)


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("deaths", [1, 9])
def test_a_worker_that_is_killed_costs_its_trial_an_epoch_and_one_that_always_dies_its_trial(
    space: Path,
    faces: Path,
    data: FaceData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    deaths: int,
) -> None:
    from search.tuning import failures

    monkeypatch.setenv("FACESIAM_CACHE", str(data.folder.parent))
    monkeypatch.setattr(failures, "FIRST_WAIT", 0.1)
    monkeypatch.setattr(failures, "RETRIES", 1)
    killed: list[int] = []

    def kill_a(trial: Any, result: dict[str, Any]) -> None:
        if trial.config["trial"] == "A" and len(killed) < deaths:
            killed.append(result["pid"])
            os.kill(result["pid"], signal.SIGKILL)

    after_each_result(monkeypatch, kill_a)
    argv = [str(space), "--data", str(faces), "--out", str(tmp_path / "runs"), "--rows", "A,B"]
    argv += ["--concurrent", "1"]
    assert main(argv, StubTrial) == (deaths > 1)
    out, err = capfd.readouterr()
    again = [line for line in out.splitlines() if line.startswith("trial A: again, ")]
    assert again and all(line[16:].startswith("the worker died") for line in again)
    assert [line for line in err.splitlines() if not line.startswith("packing ")] == []
    assert not re.search(r"raylet|actor|Ray|exit type|Traceback", out)  # nothing is Ray's
    trials, epochs = results.load(tmp_path / "runs" / "small")
    by_id = trials.set_index("trial")
    assert dict(by_id["status"]) == {"A": "failed" if deaths > 1 else "done", "B": "done"}
    assert by_id.loc["B", "epochs_run"] == 3
    assert len(killed) == len(set(killed)) == min(deaths, 2)  # once more than it is tried again
    if deaths > 1:
        said = by_id.loc["A", "stop_reason"]
        assert re.match(r"the worker died \(process \d+ on 127.0.0.1\)", said)
    else:
        assert by_id.loc["A", "epochs_run"] == 3


@pytest.mark.usefixtures("local_ray")
def test_when_its_time_is_up_a_search_halts_and_goes_on_later(
    space: Path,
    faces: Path,
    data: FaceData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(data.folder.parent))
    left: list[float] = []

    def soon(trial: Any, result: dict[str, Any]) -> None:
        left.append(signal.getitimer(signal.ITIMER_REAL)[0])
        if len(left) == 2:
            signal.setitimer(signal.ITIMER_REAL, 0.01)  # as if the hour were over

    after_each_result(monkeypatch, soon)
    argv = [str(space), "--data", str(faces), "--out", str(tmp_path / "runs"), "--rows", "A,B"]
    argv += ["--minutes", "60", "--concurrent", "1", "--set", "people=4"]
    assert main(argv) == 0
    assert 3500 < left[0] < 3600
    said = capsys.readouterr().out
    assert "60 minutes are over; go on with:\n  python -m search.run" in said
    run = tmp_path / "runs" / "small"
    assert "minutes: 60" in (run / "space.yaml").read_text()
    trials, _ = results.load(run)
    assert dict(zip(trials["trial"], trials["status"], strict=True)) != {"A": "done", "B": "done"}
    assert main([*argv, "--resume"]) == 0
    trials, epochs = results.load(run)
    assert set(trials["status"]) == {"done"} and list(trials["epochs_run"]) == [3, 3]
    assert sorted(epochs["epoch"]) == [0, 0, 1, 1, 2, 2]  # none was lost or run twice
    assert "minutes are over" not in capsys.readouterr().out


@pytest.mark.timeout(120)  # where the cores are not free again, the second search waits for ever
@pytest.mark.usefixtures("local_ray")
def test_a_search_that_a_full_disk_ends_frees_its_cores_for_the_next_one_of_the_process(
    space: Path,
    faces: Path,
    data: FaceData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(data.folder.parent))
    argv = [str(space), "--data", str(faces), "--out", str(tmp_path / "runs"), "--rows", "A,B"]
    argv += ["--concurrent", "1"]

    def full(*given: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    gc.disable()  # or it depends on chance whether Ray Tune is collected in between
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "epoch", full)
            assert main(argv, StubTrial) == 3
        assert "stopped: No space left on device" in capsys.readouterr().out
        assert main([*argv, "--resume"], StubTrial) == 0
    finally:
        gc.enable()
    assert set(results.load(tmp_path / "runs" / "small")[0]["status"]) == {"done"}


EMBEDDING = """
fixed: {net: mobilenet_v3_small, image_size: 64, epochs: 1, batch_size: 16, join: cosine,
  images_per_person: 4, views: all, embedding: 8, precision: fp32, lr: 1e-3, people: 8}
search:
  loss: [logistic, arcface]
  margin: {choices: [0.1, 0.3], when: {loss: arcface}}
trials: 2
"""


@pytest.mark.usefixtures("local_ray")
def test_embedding_nets_are_searched_then_ablated_and_warm_start_another_search(
    space: Path,
    faces: Path,
    data: FaceData,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(data.folder.parent))
    space.write_text(EMBEDDING)
    argv = [str(space), "--data", str(faces), "--out", str(tmp_path), "--concurrent", "1"]
    assert main(argv) == 0
    first, best = tmp_path / "small", results.load(tmp_path / "small")[0].iloc[0]

    assert main([*argv, "--name", "ablation", "--ablate", str(first), "--report"]) == 0
    trials, _ = results.load(tmp_path / "ablation")
    other = {"logistic": ["loss-arcface-s0"], "arcface": ["loss-logistic-s0"]}[best["loss"]]
    if best["loss"] == "arcface":
        other.append(f"margin-{0.4 - best['margin']:g}-s0")
    assert sorted(trials["row"]) == sorted(["best-s0", *other])
    again = trials.set_index("row").loc["best-s0"]
    assert again["val_acc"] == best["val_acc"]  # the same trial, trained again
    page = (tmp_path / "ablation" / "report" / "report.md").read_text()
    loss = {"logistic": "arcface", "arcface": "logistic"}[best["loss"]]
    assert f"| loss | {best['loss']} → {loss} |" in page  # from the trial that is changed

    capsys.readouterr()
    warm = [*argv, "--name", "warm", "--warm-start", str(first), "--trials", "1"]
    assert main(warm, StubTrial) == 0
    assert f"warm start: 2 of 2 trials of {first}" in capsys.readouterr().out
    assert len(warm_start.read(tmp_path / "warm")) == 2
    assert main([*argv, "--name", "warm", "--resume", "--trials", "2"], StubTrial) == 0
    assert len(results.load(tmp_path / "warm")[0]) == 2
    cold = [*argv, "--resume", "--warm-start", str(first)]
    assert main(cold) == 2
    assert "--warm-start: this run began without one" in capsys.readouterr().err


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("side", [64, pytest.param(224, marks=pytest.mark.slow)])
def test_a_tiny_search_on_the_real_faces(
    real_faces: str, space: Path, tmp_path: Path, side: int
) -> None:
    """One trial on the whole images and one on squeezed ones: the faces are decoded once."""
    text = SPACE.replace("search:\n", "search:\n  protocol: [frontal-triplets, cfp-pairs]\n")
    space.write_text(text.replace("augment: true}", "augment: true, protocol: cfp-pairs}"))
    argv = [str(space), "--data", real_faces, "--out", str(tmp_path), "--set", "people=8"]
    argv += ["--set", "epochs=1", "--set", f"packed_size={side}", "--concurrent", "1"]
    assert main([*argv, "--rows", "A,B"]) == 0
    trials, epochs = results.load(tmp_path / "small")
    assert list(trials["status"]) == ["done", "done"]
    assert dict(zip(epochs["trial"], epochs["val_pairs"], strict=True)) == {"A": 160, "B": 134}


def while_ray_starts(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Have `then` happen once the folder was found free, and before it is locked."""
    from search.tuning import ray_cluster

    there = ray_cluster.machines

    def late() -> Any:
        then()
        return there()

    monkeypatch.setattr(ray_cluster, "machines", late)


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("behind_a_url", [False, True])
def test_a_run_that_another_command_made_or_changed_while_this_one_started_stays_as_it_is(
    space: Path,
    faces: Path,
    data: FaceData,
    tmp_path: Path,
    behind_a_url: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(data.folder.parent))
    place = tmp_path / "runs"
    out = f"file://{place}" if behind_a_url else str(place)
    argv = [str(space), "--data", str(faces), "--out", out, "--rows", "A", "--set", "epochs=1"]
    with monkeypatch.context() as patch:
        inner = patch  # the other command runs while this one looks at its machines

        def other() -> None:
            inner.undo()
            assert main(argv, StubTrial) == 0

        while_ray_starts(patch, other)
        assert main([*argv, "--set", "hidden=32"]) == 2
    url = out + "/small" if behind_a_url else str(place / "small")
    assert f"{url} exists, begun by another command since this one" in capsys.readouterr().err
    run = open_run(url)
    assert [config.hidden for config in results.settings(run).values()] == [16]
    assert results.load(run)[0]["status"].tolist() == ["done"]

    def gone_on() -> None:
        """Somebody goes on with the run under another metric meanwhile."""
        for file in (run, place / "small"):
            text = (file / "space.yaml").read_text()
            (file / "space.yaml").write_text(re.sub("metric:.*", "metric: val_auc", text))

    before = (place / "small" / "trials.jsonl").stat() if not behind_a_url else None
    while_ray_starts(monkeypatch, gone_on)
    assert main([*argv, "--resume", "--rows", "A,B"]) == 2
    assert "metric was val_auc and is val_acc" in capsys.readouterr().err
    if before:
        assert (place / "small" / "trials.jsonl").stat() == before


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_is_swallowed_while_ray_starts_ends_the_search_all_the_same(
    space: Path,
    faces: Path,
    data: FaceData,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(data.folder.parent))

    def swallow() -> None:
        with suppress(BaseException):
            signal.raise_signal(number)

    while_ray_starts(monkeypatch, swallow)
    argv = [str(space), "--data", str(faces), "--out", str(tmp_path / "runs"), "--rows", "A"]
    assert main(argv) == code
    assert "ed before the search began\n" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_ctrl_c_while_ray_starts_leaves_nothing(
    space: Path, faces: Path, data: FaceData, tmp_path: Path
) -> None:
    sessions = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    command = [sys.executable, "-m", "search.run", str(space), "--data", str(faces), "--out"]
    with subprocess.Popen(
        [*command, str(tmp_path / "runs")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"FACESIAM_CACHE": str(data.folder.parent), "TMPDIR": str(sessions)},
    ) as process:
        while process.poll() is None and not list(sessions.glob("siam*/session_*")):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        shown, said = process.communicate(timeout=120)
    assert process.returncode == 130 and said.endswith("interrupted before the search began\n")
    assert "trials into" not in shown and "Traceback" not in shown
    assert not (tmp_path / "runs").exists()
    sessions.rmdir()  # nothing is in it


@pytest.mark.usefixtures("local_ray")
def test_minutes_that_are_over_before_a_trial_starts_leave_a_run_to_go_on_with(
    space: Path,
    faces: Path,
    data: FaceData,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command that goes on is the one that was given, not that of whoever calls ``main``."""
    from search.tuning import driver
    from search.tuning.search_state import SearchStop, StopReason

    monkeypatch.setenv("FACESIAM_CACHE", str(data.folder.parent))
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    monkeypatch.setattr(driver, "run", lambda *given, **more: SearchStop(StopReason.TIME_UP))
    argv = [str(space), "--data", str(faces), "--out", str(tmp_path), "--minutes", "0.0001"]
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert "no trial has started\nexplored 0 of 4 configurations\n" in said
    assert f"go on with:\n  python -m search.run {' '.join(argv)} --resume\n" in said
    noted = json.loads((tmp_path / "small" / "manifest.json").read_text())
    assert noted["command"] == f"python -m search.run {' '.join(argv)}"
    assert results.main([str(tmp_path / "small")]) == 2
    assert "small: no trial has started yet" in capsys.readouterr().err
    assert main([*argv, "--resume"]) == 0
    assert len(json.loads((tmp_path / "small" / "manifest.json").read_text())["sessions"]) == 2
