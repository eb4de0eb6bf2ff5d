"""Ray's private API: used in one file, each name listed, and a Ray that lacks one is refused."""

from __future__ import annotations

import ast
import errno
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray
from builders import ROOT
from ray.tune.experiment import Trial

from facesiam.cli import interrupts
from search.resources.allocation import DriverError, RayStartError
from search.tuning import ray_cluster, ray_environment, ray_session

OWNER = ROOT / "search" / "tuning" / "ray_cluster.py"


def private_names(path: Path) -> set[str]:
    """The dotted names in a file's code that begin with ``ray`` and have a private part."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            found.add(ast.unparse(node))
    return {name for name in found if re.match(r"ray\.(\w+\.)*_(?!_)", name)}


def test_this_ray_has_every_private_name() -> None:
    """Where this fails after an upgrade: find what became of the names in Ray's source."""
    ray_cluster.check_private_names()
    trial = Trial("stub", stub=True)
    assert {"metric_analysis", "metric_n_steps", "last_result"} <= set(vars(trial.run_metadata))
    assert "ray_actor" in vars(trial.temporary_state)


def test_private_names_are_used_in_one_file_and_listed_there() -> None:
    files = [p for package in ("search", "facesiam") for p in (ROOT / package).rglob("*.py")]
    assert OWNER in files
    assert {path for path in files if private_names(path)} == {OWNER}
    for used in private_names(OWNER):
        within = [n for n in ray_cluster.PRIVATE if f"{n}.".startswith(f"{used}.")]
        assert within or used.startswith(ray_cluster.PRIVATE), f"{used} is not in PRIVATE"


def test_a_ray_without_a_private_name_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("ray._private.state.actors")
    monkeypatch.setattr(ray, "__version__", "2.99.0")
    with pytest.raises(DriverError) as refused:
        ray_cluster.connect(None)
    assert str(refused.value) == (
        "Ray 2.99.0 has no ray._private.state.actors, which a search needs; install Ray 2.60: "
        "pip install 'ray[tune]==2.60.*'"
    )


def test_the_supported_ray_is_the_one_that_pyproject_asks_for() -> None:
    (asked,) = re.findall(r'"ray\[tune\](.*)"', (ROOT / "pyproject.toml").read_text())
    assert asked == f">={ray_cluster.SUPPORTED},<2.61"
    assert ray.__version__.startswith(f"{ray_cluster.SUPPORTED}.")


def test_the_dashboard_is_told_with_the_token_that_it_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "abc123")
    monkeypatch.setattr("ray._private.worker.get_dashboard_url", lambda: "127.0.0.1:8265")
    told = "http://127.0.0.1:8265, which asks for the token abc123"
    assert ray_cluster.dashboard() == told
    monkeypatch.setattr("ray._private.worker.get_dashboard_url", lambda: None)
    assert ray_cluster.dashboard() == "did not start"


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("token", "the cluster refuses the token that is set here"),
        ("disabled", "the cluster asks for a token"),
    ],
)
def test_a_cluster_that_refuses_the_token_is_asked_once_and_silently(
    mode: str, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(**given: Any) -> None:
        os.write(2, b"gcs_client.cc: Unauthenticated\n")
        raise ray.exceptions.AuthenticationError(str(given))

    def init(**given: Any) -> None:
        raise AssertionError(given)

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray_cluster, "check_address", lambda address: None)
    monkeypatch.setattr("ray._raylet.Config", SimpleNamespace(initialize=lambda text: None))
    monkeypatch.setattr("ray._raylet.GcsClient", refuse)
    with ray_environment.restored():
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
        with pytest.raises(DriverError, match=f"--address 10.0.0.1:6379: {said}; set RAY_AUTH_"):
            ray_cluster.connect("10.0.0.1:6379")
    assert capfd.readouterr().err == ""


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What ``ray.init`` is given, and $TMPDIR at that moment; no Ray is started."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(
        ray, "init", lambda **options: seen.update(options, at=os.environ["TMPDIR"])
    )
    monkeypatch.setattr(ray_cluster, "cores", lambda: 3)
    monkeypatch.setattr(ray_cluster, "_check_token", lambda address: None)
    monkeypatch.setattr(ray_cluster, "check_address", lambda address: None)
    monkeypatch.setattr(ray_session, "new_folder", lambda: tmp_path)
    monkeypatch.setattr(
        ray_session, "ends_with_this_process", lambda folder, end: seen.update(end=folder)
    )
    monkeypatch.setattr("ray._raylet.Config", SimpleNamespace(initialize=lambda text: None))
    monkeypatch.setattr("ray._private.services.ConsolePopen", ray._private.services.ConsolePopen)
    monkeypatch.setenv("TMPDIR", "/before")
    with ray_environment.restored():
        yield seen


def test_a_ray_of_this_machine_is_on_loopback_in_the_folder_of_its_session(
    given: dict[str, Any], tmp_path: Path
) -> None:
    ray_cluster.connect(None)
    assert (given["address"], given["_node_ip_address"], given["num_cpus"]) == (
        *("local", "127.0.0.1", 3),
    )
    assert (given["include_dashboard"], given["dashboard_host"]) == (False, "127.0.0.1")
    assert given["_temp_dir"] == given["at"] == str(tmp_path) and given["end"] == tmp_path
    assert os.environ["TMPDIR"] == "/before" and "runtime_env" not in given
    assert ray._private.services.ConsolePopen.__name__ == "GroupedPopen"


def test_a_ray_of_this_machine_has_the_gpus_that_torch_can_use(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Ray saw fewer than there are, a search would train on the CPU and not say so."""
    for names in (["a GPU", "a GPU"], []):
        monkeypatch.setattr("facesiam.device.hardware.gpu_names", lambda names=names: names)
        ray_cluster.connect(None)
        assert given["num_gpus"] == len(names)


def test_a_ray_that_does_not_start_is_told_and_the_environment_is_as_it_was(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    logged = False
    folder = tmp_path / "session"
    folder.mkdir()
    monkeypatch.setattr(ray_session, "new_folder", lambda: folder)

    def init(**options: Any) -> None:
        if logged:
            logs = Path(options["_temp_dir"]) / "session_2026-11-28_10-00-00_1_2" / "logs"
            logs.mkdir(parents=True, exist_ok=True)
            for name, text in RAYS_LOGS.items():
                (logs / name).write_text(text)
        raise RuntimeError("no port is free\nmore")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(RayStartError, match="^Ray does not start here: no port is free$") as told:
        ray_cluster.connect(None)
    assert os.environ["TMPDIR"] == "/before" and told.value.exit_code == 3
    logged = True
    with pytest.raises(RayStartError) as told:
        ray_cluster.connect(None)
    (kept,) = tmp_path.glob("siamsearch-ray-logs-*")
    assert str(told.value).splitlines() == [
        "Ray does not start here: no port is free",
        "  raylet.out: agent_manager.cc:45:  Check failed: Timed out waiting for file",
        f"  its logs: {kept}; on a busy machine the same command may do later",
    ]
    assert {file.name: file.read_text() for file in kept.iterdir()} == RAYS_LOGS
    shutil.rmtree(kept)
    with monkeypatch.context() as patch:
        patch.setattr(interrupts, "_seen", [signal.SIGINT])
        with pytest.raises(interrupts.Interrupted):
            ray_cluster.connect(None)
    assert [place.name for place in tmp_path.iterdir()] == ["session"]
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copy", full)
        with pytest.raises(
            RayStartError, match="cannot be kept: No space left on device$"
        ) as told:
            ray_cluster.connect(None)
    assert "Timed out waiting for file" in str(told.value)
    assert [place.name for place in tmp_path.iterdir()] == ["session"]


def full(*given: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


RAYS_LOGS = {
    "gcs_server.out": "[2026-11-28 10:00:00,100 I 10 10] (gcs_server) main.cc:1: it begins\n",
    "raylet.err": "",
    "raylet.out": (
        "[2026-11-28 10:00:00,200 E 11 11] store.cc:2: it is slow\n"
        "[2026-11-28 10:00:25,300 C 11 11] agent_manager.cc:45:  Check failed: Timed out waiting "
        "for file\n*** StackTrace Information ***\n"
    ),
}


def test_the_workers_of_a_cluster_get_both_packages(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACESIAM_GRAPHS", "0")
    monkeypatch.setenv("FACESIAM_CACHE", "/of/this/machine")
    ray_cluster.connect("10.0.0.1:6379")
    sent = given["runtime_env"]
    assert given["address"] == "10.0.0.1:6379" and "end" not in given
    assert [Path(place) for place in sent["py_modules"]] == [ROOT / "facesiam", ROOT / "search"]
    assert (sent["excludes"], sent["env_vars"]) == (["__pycache__"], {"FACESIAM_GRAPHS": "0"})


def test_the_results_of_a_trial_that_has_ended_are_forgotten() -> None:
    trial = Trial("stub", stub=True)
    kept: Any = trial.run_metadata
    kept.metric_analysis["val_acc"] = {"max": 1.0}
    kept.metric_n_steps["val_acc"] = {"5": [1.0]}
    kept.last_result = {"val_acc": 1.0}
    ray_cluster.forget_results(trial)
    assert (kept.metric_analysis, kept.metric_n_steps, kept.last_result) == ({}, {}, {})
    ray_cluster.forget_results(SimpleNamespace())  # a stand-in has none


@pytest.mark.usefixtures("local_ray")
def test_a_ray_of_one_machine_has_no_process_that_a_search_has_no_use_for() -> None:
    started = {
        Path(word).name for child in psutil.Process().children() for word in child.cmdline()
    }
    assert {"gcs_server", "raylet"} <= started
    assert not started & {"monitor.py", "log_monitor.py", "dashboard.py"}
