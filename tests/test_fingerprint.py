"""The hash of the trainer's code: what changes it, and what must not."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from facesiam import fingerprint

BELOW = {"cli", "errors", "files", "fingerprint"}
"""What stands below the trainer's packages, or is not of its numbers."""


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package that is hashed in place of it."""
    shutil.copytree(
        fingerprint.PACKAGE, tmp_path / "facesiam", ignore=shutil.ignore_patterns("__pycache__")
    )
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path / "facesiam")
    yield tmp_path / "facesiam"
    fingerprint.trainer_version.cache_clear()
    fingerprint.tester_version.cache_clear()


def version() -> str:
    fingerprint.trainer_version.cache_clear()
    return fingerprint.trainer_version()


def imported(file: Path) -> set[Path]:
    """The files of this package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            above = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for name in node.names:
                for module in (f"{above}{name.name}", above.rstrip(".") or name.name):
                    place = fingerprint.PACKAGE.parent / Path(*module.split("."))
                    for one in (place.with_suffix(".py"), place / "__init__.py"):
                        found |= {one} if one.is_file() else set()
    return found


def test_the_trainer_imports_nothing_of_this_package_that_is_not_hashed_or_named() -> None:
    for file in fingerprint.trainer_files():
        for one in imported(file):
            package = one.relative_to(fingerprint.PACKAGE).with_suffix("").parts[0]
            hashed = {name.removesuffix(".py") for name in fingerprint.TRAINER}
            assert package in hashed | BELOW | {"__init__"}, f"{file}: {one}"


def test_no_training_imports_what_only_tests() -> None:
    """A change of it has no net trained again."""
    left = [fingerprint.PACKAGE / "trainable.py", fingerprint.PACKAGE / "training/train.py"]
    seen = set[Path]()
    while left:
        file = left.pop()
        if file not in seen:
            seen.add(file)
            left += imported(file)
    assert fingerprint.PACKAGE / "evaluation/true_accepts.py" in seen
    assert len(fingerprint.tester_files()) == len(fingerprint.TESTER)
    assert not seen & set(fingerprint.tester_files())


def test_the_testers_code_has_a_hash_of_its_own(copy: Path) -> None:
    before, tester = version(), fingerprint.tester_version()
    (copy / "evaluation" / "people_rates.py").write_text("FEW = 11\n")
    fingerprint.tester_version.cache_clear()
    assert version() == before and fingerprint.tester_version() != tester


def test_every_exclusion_is_of_a_module_that_is_there() -> None:
    for name in fingerprint.EXCLUDED:
        assert name.split("/")[0] in fingerprint.TRAINER
        assert (fingerprint.PACKAGE / name).is_dir() or (
            fingerprint.PACKAGE / f"{name}.py"
        ).is_file(), name


@pytest.mark.parametrize(
    ("file", "same"),
    [
        ("training/new.py", False),
        ("data/new.py", False),
        ("nets/deep/new.py", False),
        ("new.py", True),
        ("data/synthetic/new.py", True),
    ],
)
def test_a_module_that_is_new_is_of_the_trainer_unless_it_is_excluded(
    copy: Path, file: str, same: bool
) -> None:
    before = version()
    (copy / file).parent.mkdir(exist_ok=True)
    (copy / file).write_text("FACTOR = 2\n")
    assert (version() == before) == same


@pytest.mark.parametrize(
    ("edit", "same"),
    [
        (("import torch\n", "import torch\n\n# a comment\n"), True),
        (("def single", '"""A text."""\n\n\ndef single'), True),
        (("import torch\n", "import torch\n\nFACTOR = 2\n"), False),
        (("import torch\n", "import torch as th\n"), False),
        (("from facesiam.", "from facesiam.else_"), True),
        (("def single", "PLACE = 0\n\n\ndef single"), False),
    ],
)
def test_comments_and_docstrings_are_not_the_trainers_code(
    copy: Path, edit: tuple[str, str], same: bool
) -> None:
    before = version()
    file = copy / "nets" / "losses.py"
    assert edit[0] in file.read_text()
    file.write_text(file.read_text().replace(*edit, 1))
    assert (version() == before) == same


def test_a_definition_that_moves_is_the_same_code(copy: Path) -> None:
    before = version()
    one, other = copy / "evaluation" / "predict.py", copy / "evaluation" / "metrics.py"
    head, moved = one.read_text().split("def is_correct")
    one.write_text(head)
    other.write_text(other.read_text() + "\n\ndef is_correct" + moved)
    assert version() == before
    one.write_text(head + "def is_correct" + moved)  # and twice it is not
    assert version() != before


def test_a_definition_takes_the_imports_that_it_needs_along(copy: Path) -> None:
    """A name that is imported elsewhere too is one import, whatever stands beside it."""
    before = version()
    assert "from typing import Literal, get_args\n" in (copy / "config" / "metrics.py").read_text()
    (copy / "config" / "new.py").write_text("from typing import Literal\nimport math\n")
    assert version() == before
    (copy / "config" / "new.py").write_text("from math import Literal\n")
    assert version() != before


def test_an_excluded_module_may_change(copy: Path) -> None:
    before = version()
    (copy / "device" / "cores.py").write_text("")
    assert version() == before
    for name in ("device/hardware.py", "objective.py"):
        before = version()
        (copy / name).write_text("")
        assert version() != before
