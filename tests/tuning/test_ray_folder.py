"""The folder of Ray's own files within a run."""

from __future__ import annotations

from pathlib import Path

from search.tuning import ray_folder

KILLED = """Failure # 1 (occurred at 2026-11-27_15-13-52)
1 worker(s) were killed due to the node running low on memory.
Top 2 memory users: PID\tMEM(GB)\tCOMMAND
22407\t1.17\tmysqldump --password=hush
946\t0.78\tpython train.py
Refer to the documentation on how to address the out of memory issue: …
Failure # 2 (occurred at 2026-11-27_15-14-52)
Top 1 memory users: PID\tMEM(GB)\tCOMMAND
22408\t1.17\tcurl --user me:hush
"""
OWN = "Failure # 1 (occurred at 2026-11-27_15-13-52)\nValueError: lr\n"


def test_no_command_line_of_another_process_stays_in_the_run(tmp_path: Path) -> None:
    trials = [tmp_path / "ray" / "session1" / name for name in ("0001", "0002")]
    for trial, text in zip(trials, (KILLED, OWN), strict=True):
        trial.mkdir(parents=True)
        (trial / "error.txt").write_text(text)
        (trial / "error.pkl").write_bytes(b"pickled")
    ray_folder.remove_secrets(tmp_path, None)
    lines = KILLED.splitlines()
    kept = "\n".join([*lines[:2], *lines[5:7], ""])
    assert (trials[0] / "error.txt").read_text() == kept
    assert (trials[1] / "error.txt").read_text() == OWN
    assert [path.name for path in trials[0].iterdir()] == ["error.txt"]
    assert (trials[1] / "error.pkl").exists()
