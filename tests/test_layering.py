"""What is imported at run time. Who may import whom is checked by lint-imports (pyproject.toml)."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ROOT, space
from ray import cloudpickle

from search.resources.allocation import Allocation, Node, Setup
from search.tuning.driver import trial_resources

FILES = sorted(p for package in ("search", "facesiam") for p in (ROOT / package).rglob("*.py"))


def test_nothing_is_looked_for_beside_the_packages_but_by_one_module() -> None:
    """What lies in the checkout is not there where the packages are installed."""
    found = {
        str(path.relative_to(ROOT))
        for path in FILES
        if re.search(r"parent\.parent|PACKAGE\.parent|parents\[\d", path.read_text())
    }
    assert found == {"search/space/shipped.py"}


def test_run_of_the_package_is_a_function_and_never_the_module_of_the_command() -> None:
    """An imported search.run would be what ``from search import run`` gives from then on."""
    written = [
        f"{path.relative_to(ROOT)}: {line}"
        for folder in ("search", "facesiam", "tests", "scripts", "docs")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".md", ".sh", ".yaml")
        for line in path.read_text().splitlines()
        if re.search(r"^\W*(from search\.run import|import search\.run\b(?!_))", line)
    ]
    assert written == []
    with pytest.raises(ImportError, match="`from search import run` is the function"):
        importlib.import_module("search.run")
    assert "search.run" not in sys.modules


def test_the_placing_of_trials_brings_a_worker_nothing_of_the_search(tmp_path: Path) -> None:
    """What Ray sends with each trial is loaded before it starts, by importing what it names."""
    searched = space(tmp_path, "search: {net: [alexnet, vgg16_bn]}\n")
    shares = Allocation(searched, Setup(run=tmp_path, data="", cpus=3), [Node(8, 0)])
    (tmp_path / "sent").write_bytes(cloudpickle.dumps(trial_resources(shares)))
    code = (
        "import pickle, sys; placed = pickle.load(open(sys.argv[1], 'rb'));"
        "print(placed({'settings': {'net': 'vgg16_bn'}, 'larger': 0}).required_resources,"
        "[name for name in sys.modules if name.split('.')[0] in ('search', 'optuna', 'scipy')])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "sent")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "{'CPU': 3.0} []\n"


def test_what_would_keep_a_user_waiting_is_not_imported() -> None:
    """One process imports one after the other: what is told first needs the least."""
    steps = [
        # a mistake is told at once
        ("search.space.model", ["torch", "ray", "optuna", "pandas", "numpy"]),
        # pandas comes with ray.tune, but nothing of ours that reads frames
        (
            "search.tuning.driver",
            ["search.results", "search.analysis", "search.report", "scipy"],
        ),
        ("search.runs.manifest, search.results, search.analysis.rule_audit", ["scipy"]),
        # a worker whose net is the default one; torchvision brings torch's compiler
        (
            "facesiam.nets.siamese as nets; nets.build(nets.TrialConfig())",
            ["torchvision", "torch._dynamo", "sympy"],
        ),
    ]
    code = "import sys\n" + "".join(
        f"import {modules}; print([name for name in {heavy} if name in sys.modules])\n"
        for modules, heavy in steps
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n" * len(steps)
