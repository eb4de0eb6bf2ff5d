"""Who may import whom. The seams only hold as long as nobody reaches across them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RAY = {
    "search/asha.py", "search/driver.py", "search/pruners.py", "search/recorder.py",
    "facesiam/trainable.py",
}
FILES = sorted(p for package in ("search", "facesiam") for p in (ROOT / package).glob("*.py"))


def imports(path: Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_imports_stay_on_their_side(path: Path) -> None:
    name, used = f"{path.parent.name}/{path.name}", imports(path)
    assert "ray" not in used or name in RAY
    if path.parent.name == "facesiam":
        assert not {"search", "optuna", "pandas"} & used
    else:
        assert not {"torch", "torchvision"} & used
    if name in ("facesiam/config.py", "search/space.py", "search/journal.py"):
        assert not {"torch", "ray", "pandas", "optuna", "numpy"} & used


def test_both_packages_are_flat() -> None:
    for package in ("search", "facesiam"):
        folders = [p.name for p in (ROOT / package).iterdir() if p.is_dir()]
        assert set(folders) <= {"__pycache__"}
