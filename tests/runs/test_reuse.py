"""Runs with an edited space, and trials that are taken from earlier runs instead of trained."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import space
from simulated_ray import Workers, metrics, quiet, started

from facesiam.config import TrialConfig
from facesiam.device import reproducibility
from facesiam.fingerprint import keys
from search.runs.journal import read_epochs, read_trials
from search.runs.reuse import ReusableTrial, RunRefused, as_begun, refuse_changes, reusable_trials
from search.space import load
from search.space.domains import Range
from search.space.run_options import RunOptions
from search.tuning.recorder import Recorder
from search.tuning.run_folder import choose

GRID = """
fixed: {epochs: 3}
search: {lr: [3e-4, 3e-3], join: [concat, difference]}
algorithm: grid
"""
TPE = """
fixed: {epochs: 3}
search: {lr: {low: 1e-4, high: 1e-2, log: true}}
trials: 4
"""
ROWS = """
fixed: {epochs: 3}
rows: {A: {settings: {lr: 1e-5}}, B: {settings: {lr: 1e-4}}}
"""
NO_DATA = keys("data", {})


def ran(run: Path, text: str, reuse: tuple[str, ...] = ()) -> Recorder:
    """Run a search, or go on with it, to its end."""
    run.mkdir(exist_ok=True)
    searched = space(run, text)
    (run / "manifest.json").write_text(json.dumps({"command": "python -m search.run x.yaml"}))
    found = started(searched, run, key=NO_DATA, reusable=reusable_trials(reuse))
    workers = Workers(found, 2)
    while workers.go():
        pass
    found.ran = workers.ran
    return found


def edited(run: Path, text: str) -> Any:
    """The space as it is edited, checked against what has run."""
    file = run.parent / "edited.yaml"
    file.write_text(text)
    searched = load(file)
    refuse_changes(run, searched)
    return searched


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        (GRID, GRID.replace("[3e-4, 3e-3]", "[5e-5, 3e-4, 3e-3]"), 2),  # in front: all renumbered
        (GRID, GRID.replace("join:", "augment: [false, true], join:"), 4),
        (TPE, TPE.replace("trials: 4", "trials: 7"), 3),
        (TPE, TPE.replace("high: 1e-2", "high: 1e-1").replace("trials: 4", "trials: 6"), 2),
        (ROWS, ROWS.replace("}}}", "}}, C: {settings: {augment: true}}}"), 1),
        (GRID, GRID + "keep: 9\nreport: true\n", 0),
        # With no control group to draw, the seed of a grid decides nothing.
        (GRID + "prune: {control: 0}\n", GRID + "prune: {control: 0}\nseed: 7\n", 0),
    ],
)
def test_what_is_added_to_a_space_is_all_that_runs(
    tmp_path: Path, before: str, after: str, more: int
) -> None:
    run = tmp_path / "run"
    first = ran(run, before)
    known = read_trials(run)
    edited(run, after)
    second = ran(run, after)
    names = {name for name, _ in second.ran}  # type: ignore[attr-defined]
    assert len(names) == more and not names & set(known)
    now = read_trials(run)
    assert {name: now[name]["settings"] for name in known} == {
        name: line["settings"] for name, line in known.items()
    }
    distinct = {json.dumps(line["settings"], sort_keys=True) for line in now.values()}
    assert len(distinct) == len(now) == len(known) + more
    assert first.state.exhausted and second.state.exhausted


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (GRID, GRID.replace("epochs: 3", "epochs: 5"), "trial 0001 has run with epochs 3, and it"),
        (GRID, GRID.replace("[3e-4, 3e-3]", "[3e-3]"), "has run with lr 0.0003, and the space"),
        (
            GRID,
            GRID.replace("[3e-4, 3e-3]", "[3e-3, 1]"),
            "has run with lr 0.0003, and the space now has [0.003, 1.0]",
        ),
        (TPE, TPE.replace("low: 1e-4", "low: 9e-3"), "and the space now has {'low': 0.009"),
        (ROWS, ROWS.replace("1e-5", "1e-6"), "trial A has run with lr 1e-05, and it is 1e-06 now"),
        (ROWS, ROWS.replace("A:", "D:"), "row A, which is not among the rows: D, B"),
        (TPE, TPE + "metric: val_loss\n", "metric was val_acc and is val_loss"),
        (TPE, TPE + "seed: 7\n", "seed was 0 and is 7"),
        (TPE, TPE + "prune: {asha: true}\n", 'prune.asha was false and is {"grace": 3'),
    ],
)
def test_what_would_make_finished_trials_invalid_is_refused(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    ran(tmp_path / "run", before)
    with pytest.raises(RunRefused) as refused:
        edited(tmp_path / "run", after)
    assert said in str(refused.value) and "--reuse" in str(refused.value)


def test_what_a_file_leaves_open_is_as_the_run_began(tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "edited.yaml"
    small = TPE.replace("epochs: 3", "epochs: 3, image_size: 64")
    ran(run, small + "metric: val_auc\n")  # by the data; it packed at 224, as before packed_size
    file.write_text(small)
    left_open = load(file).packed()
    with pytest.raises(RunRefused) as refused:
        refuse_changes(run, left_open)
    assert "metric was val_auc and is val_acc" in str(refused.value)
    assert "trial 0001 has run with packed_size 224, and it is 64 now" in str(refused.value)
    options = RunOptions(space=str(file), name="run", out=str(tmp_path), resume=True)
    begun, _, _ = choose(options, left_open)
    assert (begun.metric, begun.fixed["packed_size"]) == ("val_auc", 224)
    refuse_changes(run, begun)
    for said in ("metric: val_acc\n", "prune: {asha: true}\n"):
        file.write_text(small + said)
        with pytest.raises(RunRefused):
            refuse_changes(run, as_begun(run, load(file).packed()))
    file.write_text(small.replace("64", "64, packed_size: 64"))
    with pytest.raises(RunRefused, match="packed_size 224, and it is 64 now"):
        refuse_changes(run, as_begun(run, load(file).packed()))


def test_larger_images_than_a_run_has_packed_are_refused(tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "edited.yaml"
    ran(run, TPE.replace("epochs: 3", "epochs: 3, image_size: 64, packed_size: 64"))
    file.write_text(
        TPE.replace("epochs: 3}", "epochs: 3}").replace(
            "search: {", "search: {image_size: [64, 96], "
        )
    )
    with pytest.raises(RunRefused, match="packed_size 64, and it is 96 now"):
        refuse_changes(run, as_begun(run, load(file).packed()))


def test_what_a_run_began_with_in_its_queue_is_kept(tmp_path: Path) -> None:
    """Also where the file lacks it now; what the space allows no more is not."""
    run = tmp_path / "run"
    ran(run, TPE + "enqueue: [{lr: 1e-3}, {lr: 2e-3}]\n")
    now = space(tmp_path, TPE + "enqueue: [{lr: 3e-3}, {lr: 1e-3}]\n")
    assert as_begun(run, now).enqueue == ({"lr": 1e-3}, {"lr": 2e-3}, {"lr": 3e-3})
    narrow = dataclasses.replace(now, search={"lr": Range(1.5e-3, 1e-1)}, enqueue=())
    assert as_begun(run, narrow).enqueue == ({"lr": 2e-3},)


def test_a_run_that_goes_on_has_no_fewer_trials_than_have_begun(tmp_path: Path) -> None:
    ran(tmp_path / "run", TPE)
    now = space(tmp_path, TPE)
    asked = {1: 4, 5: 5}
    for trials, taken in asked.items():
        fewer = dataclasses.replace(now, trials=trials)
        assert as_begun(tmp_path / "run", fewer).trials == taken


def test_a_finite_space_is_explored_whole_and_once_with_tpe_too(tmp_path: Path) -> None:
    found = ran(tmp_path / "run", GRID.replace("grid", "tpe") + "trials: 50\n")
    assert len({name for name, _ in found.ran}) == 4 == found.space.size()  # type: ignore[attr-defined]


def test_finished_trials_of_an_earlier_run_are_taken_and_not_trained(tmp_path: Path) -> None:
    ran(tmp_path / "old", GRID)
    (tmp_path / "old" / "weights").mkdir(exist_ok=True)
    for name in ("0001", "0002"):
        (tmp_path / "old" / "weights" / f"{name}.pt").write_text(name)
    wider = GRID.replace("[3e-4, 3e-3]", "[3e-4, 3e-3, 1e-2]")
    found = ran(tmp_path / "new", wider, (str(tmp_path / "old"),))
    lines = read_trials(tmp_path / "new")
    taken = {name: line["reused"] for name, line in lines.items() if "reused" in line}
    assert len(lines) == 6 and len(taken) == 4
    assert {name for name, _ in found.ran} == set(lines) - set(taken)  # type: ignore[attr-defined]
    for name, source in taken.items():
        old = read_epochs(tmp_path / "old")[source.rsplit("/", 1)[1]]
        new = read_epochs(tmp_path / "new")[name]
        own = ("n", "trial")
        assert [{k: v for k, v in row.items() if k not in own} for row in new] == [
            {k: v for k, v in row.items() if k not in own} for row in old
        ]
        assert lines[name]["status"] == "done"
    kept = {path.stem for path in (tmp_path / "new" / "weights").glob("*.pt")}
    assert kept <= {trial for _, _, trial in found.state.best}


def test_what_was_not_finished_or_is_not_the_same_is_trained(tmp_path: Path) -> None:
    pruned = GRID + "prune: {asha: {grace: 1, factor: 2, noise: 0}, chance: false}\n"
    ran(tmp_path / "old", pruned)
    status = {name: line["status"] for name, line in read_trials(tmp_path / "old").items()}
    assert "stopped" in status.values() and "done" in status.values()
    ran(tmp_path / "new", pruned, (str(tmp_path / "old"),))
    lines = read_trials(tmp_path / "new")
    taken = [line["reused"].rsplit("/", 1)[1] for line in lines.values() if "reused" in line]
    assert {status[name] for name in taken} == {"done"}
    ran(tmp_path / "other", GRID.replace("epochs: 3", "epochs: 4"), (str(tmp_path / "old"),))
    assert not any("reused" in line for line in read_trials(tmp_path / "other").values())


def test_a_run_that_is_killed_while_it_takes_trials_takes_the_rest_when_it_goes_on(
    tmp_path: Path,
) -> None:
    ran(tmp_path / "old", GRID)
    ran(tmp_path / "new", GRID, (str(tmp_path / "old"),))
    lines = (tmp_path / "new" / "epochs.jsonl").read_text().splitlines(keepends=True)
    for left in (1, 4):
        cut = tmp_path / f"cut{left}"
        shutil.copytree(tmp_path / "new", cut)
        (cut / "epochs.jsonl").write_text("".join(lines[:left]))
        last = json.loads(lines[left - 1])["n"]
        rows = (tmp_path / "new" / "trials.jsonl").read_text().splitlines(keepends=True)
        (cut / "trials.jsonl").write_text("".join(r for r in rows if json.loads(r)["n"] <= last))
        found = ran(cut, GRID, (str(tmp_path / "old"),))
        assert found.ran == []  # type: ignore[attr-defined]
        assert [len(rows) for rows in read_epochs(cut).values()] == [3] * 4


def test_a_key_is_of_settings_data_weights_and_the_trainers_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TrialConfig().to_dict()
    pretrained = settings | {"pretrained": True}
    files = [tmp_path / name for name in ("a.pth", "b.pth")]
    for file in files:
        file.write_text(file.name)
    one, other = ({"alexnet": str(file)} for file in files)
    found = [
        keys("data", one)(settings),
        keys("data", one)(settings | {"lr": 0.5}),
        keys("else", one)(settings),
        keys("data", one)(pretrained),
        keys("data", other)(pretrained),
    ]
    assert len(set(found)) == 5
    assert keys("data", one, "cuda")(settings) not in found
    assert keys("data", other)(settings) == keys("data", one)(dict(reversed(settings.items())))
    monkeypatch.setattr("facesiam.fingerprint.trainer_version", lambda: "another")
    assert keys("data", one)(settings) != found[0]


def test_a_key_is_of_threads_and_of_what_auto_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    auto = TrialConfig(precision="auto").to_dict()
    made: dict[str, dict[str, str]] = {}
    for has in ("fp32", "bf16"):
        monkeypatch.setattr(
            reproducibility,
            "precision_of",
            lambda asked, *of, has=has: has if asked == "auto" else asked,
        )
        key = keys("data", {})
        made[has] = {asked: key(auto | {"precision": asked}) for asked in ("auto", "fp32", "bf16")}
        assert made[has]["auto"] == made[has][has]
    assert (
        made["fp32"]["auto"] != made["bf16"]["auto"]
        and made["fp32"]["fp32"] == made["bf16"]["fp32"]
    )
    one, two = (keys("data", {}, threads=lambda net, n=n: n) for n in (1, 2))
    assert one(auto) != two(auto)
    gpus = [keys("data", {}, "cuda", lambda net, n=n: n)(auto) for n in (1, 2)]
    assert gpus[0] == gpus[1]  # there the CPU's threads compute nothing
    ran = [{"epoch": 0, "device": "cpu", "threads": 2, "precision": "bf16", "processor": "AVX2"}]
    assert one(auto, ran) == two(auto)  # what it ran with counts, not what was meant
    changed = [*ran, {**ran[0], "epoch": 3, "threads": 1}]
    assert one(auto, changed) not in {one(auto), two(auto)}


def test_what_a_trial_ran_with_is_noted_once_and_decides_its_key(tmp_path: Path) -> None:
    """Here a worker of a cluster with two threads, where the driver had reckoned with one."""
    (tmp_path / "run").mkdir()
    searched = space(tmp_path / "run", ROWS)
    ran = [{"epoch": 0, "device": "cpu", "threads": 2, "precision": "fp32", "processor": "AVX2"}]

    class Two(Workers):
        def report(self, trial: Any) -> None:
            told = self.recorder.on_trial_result
            self.recorder.on_trial_result = lambda n, trials, trial, row: told(
                n, trials, trial, {**row, "ran": ran}
            )
            try:
                super().report(trial)
            finally:
                self.recorder.on_trial_result = told

    workers = Two(started(searched, tmp_path / "run", key=NO_DATA), 1)
    for _ in range(4):  # A starts, and reports all of its three epochs
        workers.go()
    line = read_trials(tmp_path / "run")["A"]
    assert line["status"] == "done" and line["ran"] == ran
    assert line["key"] == NO_DATA(line["settings"], ran) != NO_DATA(line["settings"])
    lines = (tmp_path / "run" / "trials.jsonl").read_text().splitlines()
    assert sum("ran" in json.loads(text) for text in lines) == 1
    workers.go()
    workers.go()  # B, which is taken up in the middle
    again = started(searched, tmp_path / "run", key=NO_DATA)
    assert again.state.ran_with == {"B": ran}


@pytest.mark.parametrize(
    ("metric", "mode", "kept", "said"),
    [
        ("val_acc", "max", True, ""),
        ("val_auc", "max", False, "that run kept epoch 0, and here 2 is best; search.retrain"),
        ("val_loss", "min", False, "that run kept epoch 0, and here 1 is best; search.retrain"),
        ("val_loss", "max", True, ""),
    ],
)
def test_weights_are_taken_only_of_the_epoch_that_is_best_here(
    tmp_path: Path, metric: str, mode: str, kept: bool, said: str
) -> None:
    """val_acc 0.8, 0.79, 0.79; val_auc 0.85, 0.87, 0.9; val_loss 0.7, 0.5, 0.6."""
    lender, run, told = tmp_path / "lender", tmp_path / "run", list[str]()
    (lender / "weights").mkdir(parents=True)
    torch.save({"config": {}, "model": {}, "epoch": 0}, lender / "weights" / "0001.pt")
    rows = [
        metrics("0001", {"lr": 1e-5}, n) | {"val_acc": acc, "val_auc": auc, "val_loss": loss}
        for n, (acc, auc, loss) in enumerate(
            [(0.8, 0.85, 0.7), (0.79, 0.87, 0.5), (0.79, 0.9, 0.6)]
        )
    ]
    run.mkdir()
    text = "fixed: {epochs: 3}\nsearch: {lr: [1e-5]}\nalgorithm: grid\nprune: false\n"
    searched = dataclasses.replace(space(run, text + f"metric: {metric}\n"), mode=mode)
    table = quiet(searched)
    table.say = told.append
    ran = [{"epoch": 0, "device": "cpu", "threads": 2, "precision": "fp32", "processor": "AVX2"}]
    reusable = {"k": ReusableTrial(lender, "0001", rows, ran)}
    found = started(searched, run, table, key=lambda settings: "k", reusable=reusable)
    assert found.next() is None and read_trials(run)["0001"]["status"] == "done"
    assert (run / "weights" / "0001.pt").exists() == kept
    assert read_trials(run)["0001"]["ran"] == ran
    told = [line for line in told if not line.startswith("trial 0001: done")]
    assert len(told) == (not kept) and all(said in line for line in told)


def test_a_trial_of_an_earlier_run_passes_the_rungs_of_halving_without_a_pause(
    tmp_path: Path,
) -> None:
    long = GRID.replace("epochs: 3", "epochs: 6")
    ran(tmp_path / "old", long + "prune: false\n")
    more = long.replace("[3e-4, 3e-3]", "[3e-4, 3e-3, 2e-3, 5e-3]")
    found = ran(tmp_path / "new", more + "prune: {halving: true}\n", (str(tmp_path / "old"),))
    assert found.over() and found.close() is None and not found.state.scheduler.paused
    ended = read_trials(tmp_path / "new")
    assert len(ended) == 8 and {line["status"] for line in ended.values()} == {"done", "stopped"}
    assert {line["stop_rule"] for line in ended.values()} <= {None, "halving", "diverged"}
    taken = {name for name, line in ended.items() if line.get("reused")}
    names = {name for name, _ in found.ran}  # type: ignore[attr-defined]
    assert len(taken) == 4 and not names & taken


@pytest.mark.parametrize("content", [None, b"half a file", {"model": {}}, {"epoch": "0"}])
def test_weights_that_do_not_say_their_epoch_are_not_taken(
    tmp_path: Path, content: object
) -> None:
    trial = ReusableTrial(tmp_path, "0001", [])
    trial.weights.parent.mkdir()
    if isinstance(content, bytes):
        trial.weights.write_bytes(content)
    elif content is not None:
        torch.save(content, trial.weights)
    assert trial.lacks(0)


def test_the_metrics_of_the_stand_in_are_its_own() -> None:
    """Else a trial that is taken could not be told from one that ran."""
    settings = {"lr": 1e-3}
    assert metrics("0001", settings, 0)["val_acc"] != metrics("0002", settings, 0)["val_acc"]
