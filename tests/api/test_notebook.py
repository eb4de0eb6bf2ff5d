"""A notebook that searches, executed by a real kernel; and the examples of docs/python.md."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pandas as pd
import pytest
from builders import ROOT
from nbclient import NotebookClient
from rich.console import Group
from rich.text import Text

from search.api import notebook

CELLS = (
    """import os, signal, sys
numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
state = lambda: (dict(os.environ), [signal.getsignal(n) for n in numbers], sys.stdout)
before = state()
from search import SearchInterrupted, load, run
space = {
    "fixed": {"net": "alexnet", "join": "difference", "hidden": 16, "image_size": 64, "epochs": 2},
    "search": {"lr": [1e-3, 1e-4]},
    "algorithm": "grid",
}""",
    """one = run(space, DATA, name="one")
one""",
    """from search.tracking.callback import Callback
class Interrupt(Callback):
    def on_search_start(self, run, space, resumed):
        os.kill(os.getpid(), signal.SIGINT)
try:
    run(space, DATA, name="two", callbacks=[Interrupt()])
except SearchInterrupted as stopped:
    two = stopped.run
two.resume()
two.why(two.best)""",
    """assert state() == before
import ray
print(ray.is_initialized(), load("ray_results/two").trials["status"].tolist())""",
    """run(space, DATA, name="one")""",
)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A kernel of this Python, whose files are the test's."""
    (tmp_path / "jupyter").mkdir()
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter" / name.lower()))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")


def execute(cells: tuple[str, ...], folder: Path) -> list[list[Any]]:
    """Return the outputs of each cell."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(made, timeout=280, allow_errors=True, resources=where).execute()
    return [cell.outputs for cell in made.cells]


def text(outputs: list[Any]) -> str:
    """Return what a cell printed."""
    return "".join(one.text for one in outputs if one.output_type == "stream")


@pytest.mark.slow
@pytest.mark.usefixtures("kernel")
def test_a_notebook_searches_twice_and_its_kernel_stays_as_it_was(
    faces: Path, tmp_path: Path
) -> None:
    cells = tuple(cell.replace("DATA", repr(str(faces))) for cell in CELLS)
    begun, one, two, after, refused = execute(cells, tmp_path)
    assert begun == []
    shown, value = (out for out in one if out.output_type != "stream")
    assert "2 of 2 trials ended" in shown.data["text/plain"] and "<pre" in shown.data["text/html"]
    assert "2 trials into ray_results/one" in text(one) and "ipywidgets" not in text(one)
    assert value.data["text/plain"].startswith("<Run ray_results/one: 2 done; best 000")
    assert value.data["text/html"].count("<tr>") == 2
    story = two[-1].data["text/plain"]
    assert re.match(r"trial 000\d: done\nsettings     lr", story)
    assert text(after) == "False ['done', 'done']\n"
    (error,) = refused
    assert error.ename == "RunRefused" and "exists; go on with resume=True" in error.evalue


def test_a_view_changes_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, bundle: dict[str, str], raw: bool) -> None:
            shown.append(bundle["text/html"])

    monkeypatch.setattr(notebook, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr("IPython.display.display", lambda bundle, **more: Handle())
    state = ["one"]
    view = notebook.NotebookView(lambda: Group(Text(f"<{state[0]}> & more", "bold red")))
    view.start()
    while not shown:
        time.sleep(0.01)
    state[0] = "two"
    view.stop()
    assert shown[0].endswith(">&lt;one&gt; &amp; more\n</pre>")
    assert shown[-1].endswith(">&lt;two&gt; &amp; more\n</pre>")


def test_texts_are_html_that_shows_them_and_steers_no_terminal() -> None:
    assert notebook.paragraph("<b> & \x1b[2J").startswith("<p>&lt;b&gt; &amp; ")
    page = notebook.paragraph("\x1b[2J") + notebook.table(pd.DataFrame({"a": ["<i>\x1b[2J"]}))
    assert "\x1b" not in page and "&lt;i&gt;" in page


@pytest.mark.parametrize(("kernel", "there"), [(True, True), (False, False), (None, False)])
def test_a_notebook_is_an_ipython_with_a_kernel(
    kernel: bool | None, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = None if kernel is None else SimpleNamespace(**{"kernel": 1} if kernel else {})
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    assert notebook.in_notebook() == there
    console, view = notebook.console(progress=True)
    assert (view is notebook.NotebookView) == there
    assert console.width == notebook.WIDTH or not there


def test_without_progress_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    console, view = notebook.console(progress=False)
    console.print("a line")
    assert console.quiet and view is None and capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_the_examples_of_the_docs_run(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, in a folder where the faces are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").symlink_to(faces)
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs/python.md").read_text(), re.S | re.M
    )
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert len(blocks) == 6 and [*sys.modules].count("search.run") == 0
    assert sorted(path.name for path in Path("ray_results").iterdir()) == [
        "first",
        "second",
        "third",
    ]
    assert names["found"].name == "second"
    tested = names["tested"]
    assert tested["protocol"].tolist() == ["frontal-triplets"]
    assert tested["accuracy_low"].le(tested["accuracy"]).all() and tested["n"].gt(0).all()
    assert names["page"].is_file()
    assert names["verifier"].compare(*sorted(faces.rglob("*.jpg"))[:2]).score is not None
