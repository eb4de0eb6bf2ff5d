"""A trial in a worker that is reused: what is saved, what is taken up, what ends it."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import worker_config

from facesiam.config import TrialConfig
from facesiam.data.dataset import FaceData
from facesiam.device import gpu_memory, reproducibility
from facesiam.evaluation.predict import log_odds
from facesiam.evaluation.right_pairs import pack
from facesiam.nets.checkpoint import load_model
from facesiam.nets.weight_files import read_weights
from facesiam.trainable import FaceTrial, OutOfMemory, Preempted
from facesiam.training import saving

CLOCK = ("seconds", "samples_per_second", "peak_memory_mib")


@pytest.fixture(scope="module")
def tiny(tiny: TrialConfig) -> TrialConfig:
    """Of three updates an epoch: what is asked here does not depend on how many there are."""
    return dataclasses.replace(tiny, people=4)


def step(trial: FaceTrial) -> dict[str, Any]:
    """One epoch's numbers, the clock's left out, and None for those that are not known."""
    left_out = (*CLOCK, "cost")
    return {
        key: None if value != value else value
        for key, value in trial.step().items()
        if key not in left_out
    }


def test_a_reused_worker_gives_the_numbers_of_a_fresh_one(
    tiny: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    fresh = FaceTrial(worker_config(tmp_path / "a", data, tiny))
    expected = [step(fresh) for _ in range(3)]
    assert [row["done"] for row in expected] == [False, False, True]
    reused = FaceTrial(worker_config(tmp_path / "b", data, tiny, "0001"))
    step(reused)
    assert reused.reset_config(worker_config(tmp_path / "b", data, tiny, "0002"))
    assert [step(reused) for _ in range(3)] == expected


def test_a_trial_goes_on_from_its_saved_state(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "SAVING_SHARE", 1e9)  # save after every epoch
    whole = FaceTrial(worker_config(tmp_path / "whole", data, tiny))
    expected = [step(whole) for _ in range(3)]
    first = FaceTrial(worker_config(tmp_path / "cut", data, tiny))
    seen = [step(first), step(first)]
    first.writer.flush()
    state = tmp_path / "cut" / "state" / "0001.pt"
    assert state.exists()
    second = FaceTrial(
        worker_config(tmp_path / "cut", data, tiny) | {"noted": 2}
    )  # as after a kill
    assert seen + [step(second)] == expected
    # A driver that was stopped before it noted the second epoch is told of it.
    third = FaceTrial(worker_config(tmp_path / "cut", data, tiny) | {"noted": 1})
    assert seen[:1] + [step(third), step(third)] == expected
    ours, theirs = (load_model(tmp_path / run / "weights" / "0001.pt") for run in ("cut", "whole"))
    assert ours[2] == theirs[2]
    for name, value in theirs[0].state_dict().items():
        assert torch.equal(ours[0].state_dict()[name], value)


def test_a_trial_of_a_run_behind_a_url_goes_on_from_the_state_that_lies_there(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "SAVING_SHARE", 1e9)  # save after every epoch
    url = {"run": f"file://{tmp_path}/bucket"}
    first = FaceTrial(worker_config(tmp_path, data, tiny) | url)
    step(first)
    step(first)
    first.writer.flush()
    second = FaceTrial(worker_config(tmp_path, data, tiny) | url | {"noted": 2})
    assert step(second)["epoch"] == 2


def test_a_trial_that_may_be_paused_has_its_state_saved_before_it_reports(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker may go on with it at once, while this one holds it yet."""
    monkeypatch.setattr(saving, "SAVING_SHARE", 0)  # never cheap
    whole = FaceTrial(worker_config(tmp_path / "whole", data, tiny))
    expected = [step(whole) for _ in range(3)]
    first = FaceTrial(worker_config(tmp_path / "cut", data, tiny) | {"pauses": [2]})
    state = tmp_path / "cut" / "state" / "0001.pt"
    seen = [step(first)]
    assert not state.exists()
    seen.append(step(first))
    assert state.exists()
    second = FaceTrial(worker_config(tmp_path / "cut", data, tiny) | {"noted": 2})
    assert [*seen, step(second)] == expected


def test_a_state_that_cannot_be_used_costs_epochs_and_not_the_trial(
    tiny: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    state = tmp_path / "state" / "0001.pt"
    state.parent.mkdir()
    state.write_bytes(b"half a file")
    assert step(FaceTrial(worker_config(tmp_path, data, tiny)))["epoch"] == 0


def test_state_is_saved_only_as_often_as_it_is_cheap(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "ASSUMED_BYTES_PER_SECOND", 1.0)  # a year a save
    step(FaceTrial(worker_config(tmp_path, data, tiny)))
    assert not (tmp_path / "state").exists()


def test_of_its_best_epochs_a_trial_tells_which_pairs_it_judged_right(
    tiny: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    trial = FaceTrial(
        {
            **worker_config(tmp_path, data, tiny),
            "cpus": 1,
            "metric": "val_loss",
            "mode": "min",
        }
    )
    training, saver = trial.training, trial.saver
    assert training is not None and saver is not None
    pairs = data.pairs_of(tiny, "val")
    row = step(trial)
    odds = log_odds(training.net, tiny, data.pixels(tiny.packing), pairs)
    right = (odds > 0) == (pairs.label == 0)
    ends = zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)
    different = {frozenset(data.content[list(both)].tolist()) for both in ends}
    assert row["val_distinct"] == len(different) < len(right) == row["val_pairs"]
    assert row["val_right"] == pack(right) and row["val_acc"] == right.mean()
    trial.writer.flush()
    info = load_model(tmp_path / "weights" / "0001.pt")[2]
    assert (info["metric"], info["mode"], info["val_loss"]) == ("val_loss", "min", row["val_loss"])
    for loss, best_loss, best_accuracy, told in (
        (0.6, 0.5, 0.9, False),
        (0.4, 0.5, 0.9, True),
        (0.6, 0.5, 0.7, True),
    ):
        saver.best, saver.history = -best_loss, [{"val_acc": best_accuracy}]
        assert (saver.right({"val_loss": loss, "val_acc": 0.8}) is not None) == told


def test_the_weights_kept_are_those_of_the_best_epoch(
    tiny: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    trial = FaceTrial(worker_config(tmp_path, data, tiny))
    scores = [step(trial)["val_acc"] for _ in range(3)]
    _, _, info = load_model(tmp_path / "weights" / "0001.pt")
    best = scores.index(max(scores))
    by = {"metric": "val_acc", "mode": "max"}
    assert info == {"epoch": best, "val_acc": max(scores), "data": data.key, **by}


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ],
)
def test_running_out_of_memory_says_so_and_when(
    tiny: TrialConfig,
    data: FaceData,
    tmp_path: Path,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = FaceTrial(worker_config(tmp_path, data, tiny))
    trial.step()

    def fail(self: object) -> None:
        raise error

    monkeypatch.setattr("facesiam.training.loop.Training.__next__", fail)
    with pytest.raises(OutOfMemory, match="out of memory in epoch 1: "):
        trial.step()


def test_another_error_is_not_taken_for_one_of_memory(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = FaceTrial(worker_config(tmp_path, data, tiny))

    def fail(self: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("facesiam.training.loop.Training.__next__", fail)
    with pytest.raises(RuntimeError, match="^shapes differ$"):
        trial.step()


def test_a_trial_may_take_its_share_of_a_gpu_and_no_more(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[tuple[str, float]] = []
    monkeypatch.setattr(gpu_memory, "limit", lambda *given: limits.append(given))
    trial = FaceTrial(worker_config(tmp_path, data, tiny) | {"gpus": 0.25})
    trial.reset_config(worker_config(tmp_path, data, tiny, "0002") | {"gpus": 0.5})
    assert limits == [("cpu", 0.25), ("cpu", 0.5)]


def test_weights_below_the_bar_are_not_written(
    tiny: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    """The run has as many better trials as it keeps: what could be written would be deleted."""
    low = FaceTrial(worker_config(tmp_path, data, tiny) | {"keep_threshold": 1.01})
    high = FaceTrial(worker_config(tmp_path, data, tiny, "0002") | {"keep_threshold": 0.0})
    for trial in (low, high):
        step(trial)
        trial.writer.flush()
    assert [p.name for p in (tmp_path / "weights").iterdir()] == ["0002.pt"]


def test_a_trial_that_is_let_go_leaves_its_weights_whole(
    tiny: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    trial = FaceTrial(worker_config(tmp_path, data, tiny))
    score = step(trial)["val_acc"]
    trial.reset_config(
        worker_config(tmp_path, data, tiny, "0002")
    )  # as when a rule has stopped it
    assert load_model(tmp_path / "weights" / "0001.pt")[2]["val_acc"] == score


def test_a_disk_that_takes_nothing_fails_the_trial(
    tiny: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    (tmp_path / "weights").touch()  # no folder can be there
    trial = FaceTrial(worker_config(tmp_path, data, tiny))
    with pytest.raises(OSError, match="weights"):
        for _ in range(3):
            trial.step()


def test_the_last_trials_net_is_gone_when_the_next_begins_and_its_pixels_stay(
    tiny: TrialConfig, data: FaceData, tmp_path: Path
) -> None:
    trial = FaceTrial(worker_config(tmp_path, data, tiny))
    trial.step()
    assert trial.training is not None
    left = [
        weakref.ref(thing)
        for thing in (
            trial.training,
            trial.training.net,
            trial.training.optimizer,
            next(iter(trial.training.optimizer.param_states.values())).moments[0],
        )
    ]
    pairs = trial.training.train_pairs
    gc.disable()
    try:
        trial.reset_config(worker_config(tmp_path, data, tiny, "0002"))
        assert [ref() for ref in left] == [None] * 4
    finally:
        gc.enable()
    assert trial.training.train_pairs is pairs


@pytest.mark.parametrize("idle", [False, True])
def test_a_worker_that_is_told_to_end_saves_where_it_is(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, idle: bool
) -> None:
    whole = FaceTrial(worker_config(tmp_path / "whole", data, tiny))
    expected = [step(whole) for _ in range(3)]
    told: list[int] = []
    trial = FaceTrial(worker_config(tmp_path / "cut", data, tiny))
    trial.before = lambda number, frame: told.append(number)
    assert step(trial) == expected[0]
    if idle:
        trial._told_to_end(15, None)
        assert told == [15]  # saved, and Ray ends the process
    else:
        assert trial.training is not None
        update = trial.training._update

        def told_within(*given: Any) -> None:
            update(*given)
            trial._told_to_end(15, None)

        trial.training._update = told_within  # type: ignore[method-assign, assignment]
        with pytest.raises(Preempted, match="told to end in epoch 1: its state is saved"):
            trial.step()
        assert told == []
    state = read_weights(tmp_path / "cut" / "state" / "0001.pt")
    assert ("within" in state) == (not idle)
    again = FaceTrial(worker_config(tmp_path / "cut", data, tiny) | {"noted": 1})
    assert [step(again), step(again)] == expected[1:]


def test_a_worker_that_is_told_to_end_before_it_has_an_epoch_leaves_nothing(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "ASSUMED_BYTES_PER_SECOND", 1.0)  # no state is saved by itself
    told: list[int] = []
    trial = FaceTrial(worker_config(tmp_path, data, tiny))
    trial.before = lambda number, frame: told.append(number)
    trial._told_to_end(15, None)
    trial.ready = False  # as while a state is being loaded
    step(trial)
    trial._told_to_end(15, None)
    assert told == [15, 15]
    trial.writer.flush()
    assert not (tmp_path / "state").exists()


@pytest.fixture
def always_saved(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every epoch's state is saved; torch's threads are put back."""
    monkeypatch.setattr(saving, "SAVING_SHARE", 1e9)
    with reproducibility.torch_threads(1):
        yield


@pytest.mark.usefixtures("always_saved")
def test_a_trial_goes_on_with_the_threads_that_it_began_with(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its share is now: grown after it ran out of memory, or of another machine."""
    monkeypatch.setattr(reproducibility, "cores", lambda: 4)
    first = FaceTrial(worker_config(tmp_path, data, tiny) | {"cpus": 2})
    ran = step(first)["ran"]
    first.writer.flush()
    assert [(part["epoch"], part["threads"]) for part in ran] == [(0, 2)]
    for cpus in (1, 3):
        torch.set_num_threads(cpus)
        again = FaceTrial(worker_config(tmp_path, data, tiny) | {"cpus": cpus, "noted": 1})
        assert torch.get_num_threads() == 2 and again.ran == ran


@pytest.mark.usefixtures("always_saved")
def test_a_trial_that_cannot_go_on_as_it_ran_says_so(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = FaceTrial(worker_config(tmp_path, data, tiny) | {"cpus": 1})
    first.ran[0]["threads"] = 2  # as on a machine of two cores
    step(first)
    first.writer.flush()
    monkeypatch.setattr(reproducibility, "cores", lambda: 1)
    monkeypatch.setattr(saving, "SAVING_SHARE", 0.0)  # the state stays that of epoch 0
    for _ in range(2):  # taken up twice, it has changed once
        again = FaceTrial(worker_config(tmp_path, data, tiny) | {"cpus": 1, "noted": 1})
        row = step(again)
        assert [(part["epoch"], part["threads"]) for part in row["ran"]] == [(0, 2), (1, 1)]
        (said,) = row["said"]
        assert "epochs before 1 ran with 2 threads" in said and "here with 1 thread," in said


@pytest.mark.usefixtures("always_saved")
def test_a_trial_goes_on_in_the_precision_that_auto_was_where_it_began(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = dataclasses.replace(tiny, precision="auto")
    here = {"is": "fp32"}
    monkeypatch.setattr(reproducibility, "precision_of", lambda *of: here["is"])
    for began, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        here["is"] = began
        first = FaceTrial(worker_config(tmp_path / began, data, auto))
        step(first)
        first.writer.flush()
        # Who tests these weights elsewhere computes as the trial did.
        assert load_model(tmp_path / began / "weights" / "0001.pt")[1].precision == began
        here["is"] = "fp32" if began == "bf16" else "bf16"  # another processor
        again = FaceTrial(worker_config(tmp_path / began, data, auto) | {"noted": 1})
        assert again.training is not None and again.training.dtype == dtype
        assert [part["precision"] for part in again.ran] == [began]


def test_a_worker_says_once_that_its_processor_emulates_bf16(
    tiny: TrialConfig, data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = dataclasses.replace(tiny, precision="bf16", epochs=1)

    def said(multiplies: bool, *configs: TrialConfig) -> list[list[str]]:
        monkeypatch.setattr(reproducibility, "cpu_multiplies_bf16", lambda: multiplies)
        run = tmp_path / str(multiplies)
        first, *others = [
            worker_config(run, data, config, str(number)) for number, config in enumerate(configs)
        ]
        trial = FaceTrial(first)
        found = [trial.step().get("said", [])]
        for config in others:
            trial.reset_config(config)
            found.append(trial.step().get("said", []))
        return found

    fp32 = dataclasses.replace(one, precision="fp32")
    processor = torch.backends.cpu.get_cpu_capability()
    sentence = (
        f"bf16 is emulated by this processor ({processor}), which takes several times as long as "
        "fp32"
    )
    assert said(False, fp32, one, one) == [[], [sentence], []]
    assert said(True, one) == [[]]
