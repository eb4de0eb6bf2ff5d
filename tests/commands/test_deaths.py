"""A search that is killed, interrupted and terminated ends like one that nothing has touched."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from builders import ROOT, unsaved_epochs

from facesiam.data.dataset import FaceData
from facesiam.nets.weight_files import read_weights
from facesiam.storage.folder import opened
from search import results
from search.runs.journal import read_epochs, read_lines, read_trials
from search.runs.line_format import EPOCHS, TRIALS
from search.tuning.shutdown import SAVE_SECONDS

MEASURED = ("seconds", "samples_per_second", "peak_memory_mib", "latency_ms")
"""Columns of times and memory, no two of which are alike."""
SPACE = """
fixed: {{image_size: 64, hidden: 16, batch_size: 1, precision: fp32, join: difference, epochs: 4,
  people: 6}}
search: {{lr: {{low: 1e-5, high: 3e-3, log: true}}, augment: [false, true]}}
algorithm: tpe
trials: {trials}
metric: val_loss
prune: {{asha: {{grace: 1, factor: 2}}, control: 0.2}}
"""
"""By losses, which always differ: ASHA has something to stop. By a pair a step: a signal comes
within an epoch."""


@pytest.mark.timeout(600)  # four starts of a search: on busy cores a minute each
@pytest.mark.parametrize(
    ("trials", "kills", "signals"),
    [
        (4, 1, (signal.SIGINT,)),  # a SIGTERM: tests/cluster/test_cluster.py
        pytest.param(6, 2, (signal.SIGINT, signal.SIGTERM), marks=pytest.mark.slow),
    ],
)
def test_after_kills_ctrl_c_and_preemption_the_table_is_that_of_an_uninterrupted_run_digit_for_digit(
    tmp_path: Path,
    faces: Path,
    data: FaceData,
    trials: int,
    kills: int,
    signals: tuple[signal.Signals, ...],
) -> None:
    """The real driver and workers. A kill costs what was not saved, a signal not a step."""
    space = tmp_path / "small.yaml"
    space.write_text(SPACE.format(trials=trials))
    environment = os.environ | {"FACESIAM_CACHE": str(data.folder.parent)}
    command = [sys.executable, "-m", "search.run", str(space), "--data", str(faces)]
    command += ["--out", str(tmp_path), "--concurrent", "1", "--cpus", "1"]
    (long := tmp_path / ("t" * 50)).mkdir()
    run_unshown([*command, "--name", "whole"], environment | {"TMPDIR": str(long)})

    run, rng = tmp_path / "cut", random.Random(0)
    command += ["--name", "cut"]
    lost = sum(
        kill([*command, *(["--resume"] if session else [])], environment, run, rng)
        for session in range(kills)
    )
    command.append("--resume")
    sessions = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    environment["TMPDIR"] = str(sessions)
    lost += sum(interrupt(command, environment, run, number) for number in signals)
    with start(command, environment) as last:
        assert last.stdout and last.stderr
        last.stdout.close()  # as ``| head`` does: the search goes on all the same
        said = last.stderr.read()
        assert (last.wait(240), said) == (
            0,
            "stdout cannot be written (Broken pipe): nothing more is shown there\n",
        )
    sessions.rmdir()  # Ray's are gone, each with its driver

    tables = [results.load(tmp_path / name) for name in ("whole", "cut")]
    for one, other in zip(*tables, strict=True):
        clock = [c for c in MEASURED if c in one]
        pd.testing.assert_frame_equal(one.drop(columns=clock), other.drop(columns=clock))
    assert "asha" in set(tables[0][0]["stop_rule"].dropna())
    assert epochs_noted_twice(run) <= lost


def run_unshown(command: list[str], environment: dict[str, str]) -> None:
    """Run the search where nothing of it can be shown, without a home, and with another Ray named."""
    hostile = {
        "PYTHONIOENCODING": "ascii",
        "HOME": "/proc",
        "TUNE_RESULT_DIR": "/x",
        "RAY_ADDRESS": "127.0.0.1:1",
        "RAY_TMPDIR": "/proc",
        "RAY_REDIS_ADDRESS": "127.0.0.1:1",
    }
    shell = ["bash", "-c", '"$@" >/dev/full 2>&- <&-', "-"]
    subprocess.run(
        [*shell, *command], cwd=ROOT, timeout=240, check=True, env=environment | hostile
    )


def start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start the search in a process group of its own."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
    )


def kill(command: list[str], environment: dict[str, str], run: Path, rng: random.Random) -> int:
    """Start the search and SIGKILL its driver, wherever it is after a few more lines.

    Return the epochs that this costs: those since the last state, which is saved as often as that
    takes 5 % of the time, so not after each of these short ones.
    """
    with start(command, environment) as process:
        wanted = lines_of(run) + rng.randrange(3, 7)
        while process.poll() is None and lines_of(run) < wanted:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.2)
        assert process.poll() is None, process.communicate()
        process.kill()
    return unsaved_epochs(run, opened(run))


def interrupt(
    command: list[str], environment: dict[str, str], run: Path, number: signal.Signals
) -> int:
    """Start the search and send it the signal within an epoch; assert how it ended.

    Return the epochs that this costs: none, where the trial had the time to save its state.
    """
    twice, unsaved = epochs_noted_twice(run), unsaved_epochs(run, opened(run))
    before = len(read_lines(run / EPOCHS))
    process = start(command, environment)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        going = within_a_trial(run, before)
        time.sleep(0.1)
        if going and going == within_a_trial(run, before):
            break
    os.killpg(process.pid, number)  # as a terminal or `timeout` does: to the whole group
    asked = time.monotonic()
    said, noise = process.communicate(timeout=120)
    seconds = time.monotonic() - asked
    print(f"{number.name}: ended after {seconds:.1f} s")
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    assert process.returncode == 128 + number, noise
    assert f"{word}; go on with:\n  python -m search.run" in said and "--resume" in said
    assert noise == ""
    (saved,) = (run / "state").glob("*.pt")
    within = read_weights(saved)["within"]
    assert within["steps"] == within["watch"]["updates"] > 0
    # What the session before had not saved is run again in this one or in the next.
    lost = epochs_noted_twice(run) - twice + unsaved_epochs(run, opened(run)) - unsaved
    late = seconds > SAVE_SECONDS  # on cores that much else keeps busy
    assert lost <= 0 or late
    return max(0, lost)


def within_a_trial(run: Path, before: int) -> tuple[str, int] | None:
    """Return a trial that runs, has noted an epoch in this session and has more, and its epochs."""
    if not (run / EPOCHS).exists() or len(read_lines(run / EPOCHS)) <= before:
        return None
    epochs = read_epochs(run)
    for name, line in read_trials(run).items():
        if line["status"] == "running" and 0 < len(epochs.get(name, ())) < 4:
            return name, len(epochs[name])
    return None


def epochs_noted_twice(run: Path) -> int:
    """How many epochs were trained again."""
    ran = Counter((row["trial"], row["epoch"]) for row in read_lines(run / EPOCHS))
    return sum(ran.values()) - len(ran)


def lines_of(run: Path) -> int:
    """How long the journal of a run is."""
    files = [run / name for name in (TRIALS, EPOCHS)]
    return sum(file.read_bytes().count(b"\n") for file in files if file.exists())
