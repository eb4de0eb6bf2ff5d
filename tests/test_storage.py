"""Weights and states in a folder and behind a URL: whole or not at all, and every failure told."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from builders import ROOT

from facesiam.data.dataset import FaceData
from facesiam.errors import StorageError, WeightsError
from facesiam.storage.bucket import Bucket, join
from facesiam.storage.folder import Folder, Storage, opened, sweep
from search import results
from search.runs.journal import read_epochs, read_trials

NAME = Path("state") / "0001.pt"


@pytest.fixture(params=["folder", "file", "fsspec"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A folder, and the same operations behind two kinds of URL."""
    if request.param == "folder":
        return opened(tmp_path)
    url = {"file": f"file://{tmp_path}", "fsspec": f"memory://{tmp_path.name}/runs"}
    return opened(url[request.param])


def test_what_is_saved_is_there_until_it_is_removed(place: Storage) -> None:
    assert place.load(NAME) is None and place.names("state") == []
    for value in (1.0, 2.0):
        place.save({"x": torch.tensor([value]), "epoch": 3}, NAME)
    found = place.load(NAME)
    assert found["x"].tolist() == [2.0] and found["epoch"] == 3
    assert place.names("state") == ["0001.pt"]
    place.remove(NAME)
    place.remove(NAME)
    assert place.load(NAME) is None and place.names("state") == []


def test_a_file_is_put_there_as_it_is(place: Storage, tmp_path: Path) -> None:
    torch.save({"x": 7}, tmp_path / "mine.pt")
    place.put(tmp_path / "mine.pt", Path("weights") / "a.pt")
    assert place.load(Path("weights") / "a.pt") == {"x": 7}


def test_a_sweep_removes_the_files_of_the_trials_named_and_no_other(
    place: Storage, tmp_path: Path
) -> None:
    for name in ("state/1.pt", "state/2.pt", "weights/1.pt", "weights/2.pt"):
        place.save({"x": 1}, Path(name))
    (tmp_path / "mine").touch()
    place.put(tmp_path / "mine", Path("state/.1.pt.part"))
    (tmp_path / "foreign").touch()
    for name in ("state/1.tex", "state/1", "state/thesis.pt", "state/1.2.pt"):
        place.put(tmp_path / "foreign", Path(name))
    sweep(place, {"state": {"1", "3", "../mine", "mine"}, "logs": {"1"}})
    assert place.load(Path("weights/1.pt")) == {"x": 1}
    if isinstance(place, Bucket):
        assert place.exists("state/.1.pt.part")
    left = ["1", "1.2.pt", "1.tex", "2.pt", "thesis.pt"]
    assert place.names("state") == left and place.names("weights") == ["1.pt", "2.pt"]


def test_code_in_a_state_is_not_run(place: Storage, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path}/ran",)

    torch.save({"x": Bomb()}, tmp_path / "bomb.pt")
    place.put(tmp_path / "bomb.pt", NAME)
    with pytest.raises(WeightsError, match="holds code"):
        place.load(NAME)
    assert not (tmp_path / "ran").exists()


def test_the_query_of_a_url_stays_at_its_end() -> None:
    assert join("s3://b/runs/?scheme=http", "code2") == "s3://b/runs/code2?scheme=http"
    assert join("s3://b", "code2") == "s3://b/code2"


@pytest.mark.parametrize("url", ["nothing://here/at/all", "s3:///"])
def test_what_is_no_place_is_told(url: str) -> None:
    with pytest.raises(StorageError, match=url):
        Bucket(url)


def test_a_bucket_is_tried_again_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, waits = Bucket(f"file://{tmp_path}"), list[float]()
    copy = bucket._copy

    def flaky(file: Path, name: str) -> None:
        if len(waits) < fails:
            raise OSError("connection refused")
        copy(file, name)

    monkeypatch.setattr(bucket, "_copy", flaky)
    monkeypatch.setattr(time, "sleep", waits.append)
    fails = 3
    bucket.save({"x": 1}, NAME)
    assert waits == [1, 2, 4] and bucket.load(NAME) == {"x": 1}
    waits.clear()
    fails = 99
    with pytest.raises(StorageError, match=f"file://{tmp_path}/state/0001.pt: connection refused"):
        bucket.save({"x": 2}, NAME)
    assert waits == [1, 2, 4, 8] and bucket.load(NAME) == {"x": 1}


def test_a_folder_that_takes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(StorageError, match=f"{tmp_path}/state/0001.pt: "):
        Folder(tmp_path).save({"x": 1}, NAME)


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o027, 0o640), (0o022, 0o644)])
def test_others_read_what_the_umask_lets_them(tmp_path: Path, mask: int, mode: int) -> None:
    (tmp_path / "mine.pt").touch(0o600)
    before = os.umask(mask)
    try:
        place = opened(tmp_path / "run")
        place.save({"x": 1}, NAME)
        place.put(tmp_path / "mine.pt", Path("state") / "2.pt")
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "run").rglob("*")}
    assert found == {"state": mode | mode >> 2 & 0o111, "0001.pt": mode, "2.pt": mode}


CODE = """
import os, subprocess, sys
from search.cli.run_command import main
from search.tuning import failures
sys.path.append("tests")
from saving_trial import SavingTrial

failures.FIRST_WAIT, failures.RETRIES = 0.1, 1
for size, *resume in (["4k"], ["25m"], ["400m", "--resume"]):
    subprocess.run(["mount", "-o", f"remount,size={size}", os.environ["RUNS"]], check=True)
    print("exit code", main([*sys.argv[1:], *resume], SavingTrial), flush=True)
"""


def test_a_full_disk_stops_the_search_with_a_sentence_and_it_goes_on_when_there_is_room(
    tmp_path: Path, faces: Path, data: FaceData
) -> None:
    """Full for everything, then for the state of a trial."""
    if not shutil.which("unshare"):
        pytest.skip("needs Linux's unshare, of util-linux, for a small disk of its own")
    unshare = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "-rm"]
    mount = ["mount", "-t", "tmpfs", "none", str(tmp_path)]
    probe = subprocess.run([*unshare, *mount], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(
            f"needs a mount namespace, for a small disk of its own ({probe.stderr.strip()}): run as "
            "root (a container with --cap-add SYS_ADMIN), or where users may make namespaces"
        )
    (tmp_path / "full.yaml").write_text(
        "fixed: {image_size: 64, hidden: 16, batch_size: 8, epochs: 2, people: 4}\n"
        "search: {lr: [1e-4, 1e-3]}\nprune: false\n"
    )
    runs, copy = tmp_path / "runs", tmp_path / "copy"
    runs.mkdir()
    command = [sys.executable, "-c", CODE, str(tmp_path / "full.yaml")]
    command += ["--data", str(faces), "--out", str(runs), "--concurrent", "1", "--cpus", "1"]
    small = ["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(runs)]
    copied = ["cp", "-r", str(runs / "full"), str(copy)]
    script = " && ".join(map(shlex.join, (small, command, copied)))
    done = subprocess.run(
        [*unshare, "sh", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"FACESIAM_CACHE": str(data.folder.parent), "RUNS": str(runs)},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "Traceback" not in said, said
    assert re.findall("^exit code (.*)", done.stdout, re.MULTILINE) == ["3", "3", "0"], said
    everything, state, _, _ = done.stdout.split("exit code")
    for part in (everything, state):
        assert "No space left on device" in part
    assert "--resume" not in everything and "--resume" in state
    assert results.load(copy)[0]["status"].tolist() == ["done", "done"]
    assert [len(rows) for rows in read_epochs(copy).values()] == [2, 2]
    assert {len(line["settings"]) for line in read_trials(copy).values()} != {0}
