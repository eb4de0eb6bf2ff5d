"""The plan's cost: measured where it can be, and arithmetic that a reader can redo."""

from __future__ import annotations

import argparse
from pathlib import Path

from facesiam.config import TrialConfig
from search.estimate import describe
from search.journal import Journal, write_atomically
from search.space import load

OPTIONS = argparse.Namespace(cpus=None, gpus=None, data=None, address=None, concurrent=None)


def test_arithmetic_without_a_measure(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("fixed: {epochs: 10}\nsearch: {lr: [1e-3, 1e-4]}\nalgorithm: grid\n")
    said = describe(load(file), tmp_path, OPTIONS)
    # 3,000 triplets · 3 images · 3 passes · 2 · 0.66e9 over 0.4e12 a second are 89 s an epoch
    # (on a GPU under 1 s).
    assert "2 trials × 10 epochs, 15 min a trial, 30 min in all" in said or "6 s a trial" in said
    assert "arithmetic, good to a factor of 3" in said


def test_earlier_runs_are_the_measure_where_there_are_any(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "before"
    write_atomically(run / "manifest.json", "{}")
    journal = Journal(run)
    journal.trial("0001", "done", settings=TrialConfig(lr=0.5, epochs=3).to_dict())
    for epoch, seconds in enumerate((70.0, 60.0, 65.0)):
        journal.epoch("0001", {"epoch": epoch, "seconds": seconds})
    file = tmp_path / "space.yaml"
    file.write_text("fixed: {epochs: 10}\nsearch: {lr: [1e-3, 1e-4]}\nalgorithm: grid\n")
    said = describe(load(file), tmp_path / "runs", OPTIONS)
    assert "2 trials × 10 epochs, 11 min a trial, 22 min in all" in said
    assert "(from earlier runs here)" in said
