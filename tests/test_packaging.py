"""What an installation consists of: the packages, their data files, the command ``siamsearch``."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from builders import ROOT
from setuptools import find_namespace_packages

from facesiam import cli
from search.__main__ import main
from search.runs.line_format import repair_hint

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PYPROJECT["project"]["version"]
COMMANDS = [
    "run",
    "results",
    "retrain",
    "race",
    "compare",
    "report",
    "replay",
    "doctor",
    "cluster",
    "space",
    "settings",
    "data",
    "demo",
    "verify",
    "export",
    "completion",
]
PACKAGES = ("search", "facesiam")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as pip builds it, from a copy of what is here."""
    tree, wheels = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheels")
    for folder in (*PACKAGES, "spaces", "tests"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tree)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", build, str(wheels)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = wheels.glob("*.whl")
    return found


def run(*command: str | Path, cwd: Path, site: Path = ROOT) -> str:
    """Return what a command prints that runs with the packages in ``site``."""
    env = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=True
    ).stdout


def test_each_package_is_declared() -> None:
    """``packages`` does not recurse, so a new folder must be named there."""
    here = find_namespace_packages(str(ROOT), include=[f"{name}*" for name in PACKAGES])
    declared = PYPROJECT["tool"]["setuptools"]["packages"]
    assert sorted(declared) == sorted([*here, "search.spaces"])


def test_a_wheel_has_all_modules_and_data_files_and_nothing_else(wheel: Path) -> None:
    kinds = (".py", ".csv", ".json", ".typed", ".md", ".css", ".js")
    files = (path for name in PACKAGES for path in (ROOT / name).rglob("*"))
    expected = {str(path.relative_to(ROOT)) for path in files if path.suffix in kinds}
    expected |= {f"search/spaces/{path.name}" for path in (ROOT / "spaces").glob("*.yaml")}
    expected |= {"search/cluster/slurm.sh", "search/cluster/rayjob.yaml"}
    metadata = f"siamsearch-{VERSION}.dist-info"
    held = {name for name in ZipFile(wheel).namelist() if not name.startswith(metadata)}
    assert held == expected
    assert {"search/py.typed", "facesiam/py.typed", "search/space/space.schema.json"} < held
    assert "search/pruning/recordings/index.csv" in held


def test_an_installed_wheel_works_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = (
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--disable-pip-version-check",
    )
    run(sys.executable, *pip, "--target", site, wheel, cwd=elsewhere)
    command = site / "bin" / "siamsearch"
    assert run(command, "--version", cwd=elsewhere, site=site) == f"siamsearch {VERSION}\n"
    said = run(command, "run", "quickstart", "--dry-run", cwd=elsewhere, site=site)
    assert "quickstart" in said
    code = (
        "from search.pruning.inactive_rules import cannot_act\n"
        "from search.pruning.recorded_runs import shipped as runs\n"
        "from search.space import load, shipped\n"
        "space = load(shipped.space_file('spaces/code2.yaml'))\n"
        "print(space.path, len(runs()), cannot_act(space), *shipped.names())\n"
    )
    names = " ".join(sorted(path.stem for path in (ROOT / "spaces").glob("*.yaml")))
    own = site / "search" / "spaces" / "code2.yaml"
    assert run(sys.executable, "-c", code, cwd=elsewhere, site=site) == f"{own} 18 [] {names}\n"


def test_each_command_is_called_as_it_was_typed() -> None:
    """``siamsearch COMMAND`` and ``python -m search COMMAND`` are the commands of the modules."""
    code = (
        "import sys\n"
        "from search.__main__ import main\n"
        "for name in sys.argv[1:]:\n"
        "    sys.argv = ['/bin/siamsearch', name, '--help']\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as ended:\n"
        "        assert ended.code == 0, name\n"
    )
    said = run(sys.executable, "-W", "ignore", "-c", code, *COMMANDS, cwd=ROOT)
    usages = [line.split()[1:3] for line in said.splitlines() if line.startswith("usage: ")]
    assert usages == [["siamsearch", name] for name in COMMANDS]
    listed = run(sys.executable, "-m", "search", "--help", cwd=ROOT)
    assert [
        line.split()[0] for line in listed.split("commands:\n")[1].split("\n\n")[0].splitlines()
    ] == COMMANDS
    own = run(sys.executable, "-m", "search.space", "--help", cwd=ROOT)
    assert own.startswith("usage: python -m search.space ")
    one = run(sys.executable, "-m", "search", "space", "--help", cwd=ROOT)
    assert one.startswith("usage: python -m search space ")


def test_a_command_that_is_none_is_told_with_the_nearest() -> None:
    command = [sys.executable, "-m", "search", "reslts"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.endswith(
        "error: reslts: not a command; did you mean results?\n"
        "python -m search --help lists what it takes\n"
    )


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--version"], 0, f"siamsearch {VERSION}\n"),
        ([], 2, "usage: python -m search "),
        (["spac"], 2, "python -m search: error: spac: not a command; did you mean space?\n"),
        (
            ["bogus"],
            2,
            "python -m search: error: bogus: not a command; there are run, results, retrain, ",
        ),
        (["space", "nothing"], 2, "nothing: no such file"),
    ],
)
def test_the_exit_code_is_that_of_the_command(argv: list[str], code: int, said: str) -> None:
    command = [sys.executable, "-m", "search", *argv]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, (done.stdout + done.stderr)[: len(said)]) == (code, said)


def test_a_command_names_another_one_as_it_was_called_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli, "called_as", {})
    monkeypatch.setattr(runpy, "run_module", lambda *given, **more: None)
    monkeypatch.setattr(sys, "argv", ["/bin/siamsearch", "retrain"])
    assert repair_hint().startswith("python -m search.results RUN --repair brings")
    main()
    assert repair_hint().startswith("siamsearch results RUN --repair brings")
    assert cli.program("facesiam.export") == "siamsearch export"
