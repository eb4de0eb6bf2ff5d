"""The commands of README and docs, pasted: the blocks of a page are run in their order.

A search is planned instead of run (``--dry-run``), as those of the pages take hours; so is one
that goes on. What retrains, tests, compares, exports and verifies is run, on a search of tiny nets
over drawn faces.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
import tiny_cfp
import tiny_datasets
from test_docs import FENCE, PAGES, ROOT

from facesiam.data.formats import open_dataset
from facesiam.plugins import registry
from search.cli.command_table import COMMANDS
from search.cli.run_command import main as run

NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
SPACE = """
fixed: {net: squeezenet1_1, image_size: 64, hidden: 16, batch_size: 8, epochs: 1, protocol: cfp-pairs}
search: {lr: [1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3]}
algorithm: rows
prune: false
resources: {cpus: 1}
rows:
"""
SWEEP = """
method: bayes
metric: {name: val_accuracy, goal: maximize}
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-5, max: 1e-2}
  batch_size: {values: [16, 32]}
"""
TRIALS = ("A", "0001", "0003", "0004", "0005", "0007")
"""Those that the pages name."""
ELSEWHERE = {
    "python -m facesiam.data download": "tests/data/test_download.py, from a server on loopback",
    "python -m search.doctor code2 --address auto": "tests/cluster/test_cluster.py, on a cluster",
    "python -m search.report ray_results/cpu --watch": "tests/report, as it does not end by itself",
    "python scripts/bench_": "tests/scripts, as each takes minutes",
    "python tests/cluster/soak.py": "tests/cluster/test_cluster.py",
}
"""Commands that other tests run, by how they begin."""
OURS = re.compile(r"^(?:python -m |siamsearch )((?:search|facesiam)[\w.]*|\w+)\b(.*)$")


def commands(name: str) -> list[str]:
    """Return the lines of a page's blocks that call a command of ours, without comments."""
    found = []
    for kind, block in FENCE.findall((ROOT / name).read_text(encoding="utf-8")):
        if kind not in ("", "sh", "bash"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            line = line.replace("/shared/runs", "ray_results")  # a folder of a cluster
            line = re.sub(r"^(\$ )?(\w+=\S+ )*", "", line.split(" #")[0].strip())
            if OURS.match(line) and not line.startswith(tuple(ELSEWHERE)):
                found.append(line)
    return found


WITH_COMMANDS = [name for name in NAMES if commands(name)]
LONG = ("docs/evaluation.md", "docs/pruning.md", "docs/report.md", "docs/results.md")
"""Pages that retrain many times, or replay hundreds of orders."""
BEFORE = (
    "python -m search.retrain ray_results/cpu",
    "python -m search.retrain ray_results/cpu --trial 0004",
    "python -m search.retrain ray_results/cpu --ensemble 3",
)
"""What the comparisons of docs/evaluation.md need to have been tested."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Path:
    """A folder with all that the pages' commands name: data, images, runs, space files, weights."""
    folder = tmp_path_factory.mktemp("docs")
    tiny_cfp.zipped(faces, folder / "cfp-dataset.zip")
    cfp = open_dataset(faces)
    tiny_datasets.folders(folder / "faces", people=20, each=6)
    for name, number in (("one.jpg", 0), ("other.jpg", 1)):
        shutil.copy(faces / cfp.read().names[number], folder / name)
    tiny_datasets.pair_csv(cfp, folder / "images")
    shutil.copy(folder / "images" / "pairs.csv", folder / "pairs.csv")
    tiny_datasets.lfw(cfp, folder / "lfw")
    (example,) = [
        block
        for kind, block in FENCE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
        if kind == "yaml"
    ]
    (folder / "example.yaml").write_text(example)
    (folder / "sweep.yaml").write_text(SWEEP)
    plugin = [
        block
        for kind, block in FENCE.findall((ROOT / "docs/plugins.md").read_text(encoding="utf-8"))
        if kind == "python"
    ]
    (folder / "my_parts.py").write_text(plugin[0])
    (folder / "weights").mkdir()
    for net in ("alexnet", "vgg16_bn"):
        (folder / "weights" / f"{net}-0.pth").touch()
    (folder / "backbone.pth").touch()
    rows = "".join(
        f'  "{name}": {{settings: {{lr: {1 + n}e-3}}}}\n' for n, name in enumerate(TRIALS)
    )
    (folder / "tiny.yaml").write_text(SPACE + rows)
    runs = folder / "ray_results"
    given = [str(folder / "tiny.yaml"), "--data", str(faces), "--out", str(runs), "--name", "cpu"]
    given += ["--concurrent", "1"]
    assert run(given) == 0
    for name in ("code2", "demo", "faces"):
        shutil.copytree(runs / "cpu", runs / name)
    (runs / "reference").symlink_to(ROOT / "ray_results" / "reference")
    return folder


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in WITH_COMMANDS],
)
def test_each_command_of_a_page_does_what_it_should(
    name: str,
    folder: Path,
    faces: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    registry.forget()
    shutil.copy("example.yaml", "faces.yaml")
    monkeypatch.setenv("FACESIAM_DATA", str(faces))
    monkeypatch.setenv("RUN", "ray_results/demo")
    failed = []
    if name == "docs/evaluation.md":
        assert [call(line) for line in BEFORE] == [0, 0, 0]
        (scores,) = Path("ray_results/cpu/retrain/0004").rglob("scores.csv")
        Path("baseline").mkdir()
        shutil.copy(scores, "baseline")
    for line in commands(name):
        if code := call(line):
            failed.append(f"{line}\n  ended with {code}: {capsys.readouterr().err.strip()}")
    registry.forget()  # of the page on plugins
    assert not failed, "\n".join(failed)


def call(line: str) -> int:
    """Run a line in this process, which has imported what is heavy; return its exit code."""
    found = OURS.match(line)
    assert found
    module, rest = found.groups()
    module = COMMANDS[module][0] if module in COMMANDS else module
    arguments = shlex.split(os.path.expandvars(rest.split(" > ")[0]))
    if module == "search.run":
        module, arguments = "search.cli.run_command", planned(arguments)
    place = importlib.import_module(module)
    if hasattr(place, "__path__"):
        place = importlib.import_module(f"{module}.__main__")
    if "--from-wandb" in arguments:
        Path("faces.yaml").unlink()  # of another page's example
    try:
        return int(place.main(arguments) or 0)
    except SystemExit as ended:
        return int(ended.code or 0)


def planned(arguments: list[str]) -> list[str]:
    """Return the arguments of a search that is planned instead.

    Of a search that goes on without the option that says so: the run of this name is another
    one's here, of a tiny space.
    """
    kept = [one for one in arguments if one not in ("--resume", "--dry-run")]
    if "--ablate" in kept:  # the best trial of a tiny run has settings that cpu.yaml lacks
        kept[0] = "tiny.yaml"
        for change in ("people=80", "epochs=3"):
            if change in kept:
                at = kept.index(change)
                del kept[at - 1 : at + 1]
    return [*kept, "--dry-run"]


def test_what_is_run_elsewhere_stands_in_a_page() -> None:
    texts = "".join((ROOT / name).read_text(encoding="utf-8") for name in NAMES)
    assert not [command for command in ELSEWHERE if command not in texts]
    assert len(WITH_COMMANDS) > 8 and sum(len(commands(name)) for name in NAMES) > 40
