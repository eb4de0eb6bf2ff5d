"""What failures are taken for, and what is tried again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from search.tuning.failures import (
    BUG,
    LOST,
    MEMORY,
    PREEMPTED,
    STORAGE,
    Retries,
    kind_of,
    last_lines,
    reason_of,
)

DIED = """(occurred at 2026-11-24_20-24-07)
The actor died unexpectedly before finishing this task.
	pid: 14145
	ip: 10.0.0.7
The actor is dead because its {what} has died. Worker exit type: SYSTEM_ERROR
"""
KILLED_BY_MONITOR = """(occurred at 2026-11-27_15-13-52)
1 worker(s) were killed due to the node running low on memory. Memory on the node \
(IP: 10.0.0.7, ID: cd30d5) was 10.32GB used / 23.54GB limit (0.438199)
Top 10 memory users: PID	MEM(GB)	COMMAND
22407	1.17	python serve.py --url s3://key:secret@bucket
Refer to the documentation on how to address the out of memory issue: https://docs.ray.io/x
"""
"""As Ray 2.60 writes it, without the name of a class, shortened."""
TRACE = 'ray::ResourceTrainable.train() (pid=1)\n  File "x.py", line 1, in step\n'


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (DIED.format(what="worker process"), LOST, "the worker died (process 14145 on 10.0.0.7)"),
        (DIED.format(what="node"), LOST, "the machine died (process 14145 on 10.0.0.7)"),
        ("the worker died", LOST, "the worker died"),
        (
            "The actor died because of an error raised in its creation task, x\n"
            "ray.exceptions.ActorUnavailableError: The actor abc is unavailable: reset\n",
            LOST,
            "the worker died",
        ),
        (
            TRACE + "facesiam.trainable.Unseen: /r: this machine does not see the run's folder\n",
            LOST,
            "/r: this machine does not see the run's folder",
        ),
        (TRACE + "ValueError: shapes differ\n", BUG, "ValueError: shapes differ"),
        (
            "The actor died because of an error raised in its creation task, x\nKeyError: 'lr'\n",
            BUG,
            "KeyError: 'lr'",
        ),
        (
            "The actor died because of an error raised in its creation task, x\n"
            "facesiam.trainable.OutOfMemory: out of memory in epoch 0: 9 GiB\n",
            MEMORY,
            "out of memory in epoch 0: 9 GiB",
        ),
        (
            TRACE + "facesiam.trainable.Preempted: told to end in epoch 2: its state is saved\n",
            PREEMPTED,
            "told to end in epoch 2: its state is saved",
        ),
        (
            TRACE + "facesiam.errors.StorageError: /r/state/1.pt: No space left on device\n",
            STORAGE,
            "/r/state/1.pt: No space left on device",
        ),
        (
            KILLED_BY_MONITOR,
            MEMORY,
            "the machine's memory ran low (10.32GB of 23.54GB in use on 10.0.0.7), so Ray ended "
            "the worker",
        ),
        (
            "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on "
            "memory.\nSet RAY_x\n",
            MEMORY,
            "the machine's memory ran low, so Ray ended the worker",
        ),
    ],
)
def test_a_failure_is_taken_for_what_it_is(error: str, kind: str, reason: str) -> None:
    assert (kind_of(error), reason_of(error)) == (kind, reason)


def test_a_trial_is_tried_again_after_longer_and_longer_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    retries = Retries()
    assert [retries.next_delay("a", 2) for _ in range(4)] == [2, 4, 8, None]
    assert retries.next_delay("b", 0) == 2  # another trial's deaths are its own
    assert not retries.is_ready("a") and retries.is_ready("c")
    now = 108.0
    assert retries.is_ready("a")


def test_one_that_gets_further_each_time_is_not_given_up() -> None:
    """A machine that is taken away every hour is no fault of the trial."""
    retries = Retries()
    assert [retries.next_delay("a", epochs) for epochs in (1, 2, 3, 4, 5, 6)] == [2] * 6
    assert [retries.next_delay("a", 6) for _ in range(3)] == [4, 8, None]


def test_the_last_lines_of_a_log_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert last_lines(log) == []
    log.write_text("\n".join(f"line {n}" for n in range(2000)) + "\n\n")
    assert last_lines(log) == [f"line {n}" for n in range(1990, 2000)]
