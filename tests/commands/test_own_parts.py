"""The example of docs/plugins.md: searched through Ray, shown, trained again, and loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import ROOT

from facesiam import demo
from facesiam.plugins import registry
from search import results
from search.cli.run_command import main
from search.retrain.__main__ import main as retrain
from search.runs import layout

PAGE = (ROOT / "docs" / "plugins.md").read_text()
BLOCKS = dict(re.findall(r"^```(python|yaml)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture(autouse=True)
def no_plugins() -> Iterator[None]:
    """No plugin of another test is known, nor any after this one."""
    registry.forget()
    yield
    registry.forget()


@pytest.mark.usefixtures("local_ray")
@pytest.mark.timeout(600)
def test_the_example_is_searched_resumed_shown_and_trained_again(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin, run = tmp_path / "my_parts.py", tmp_path / "runs" / "own"
    plugin.write_text(BLOCKS["python"])
    (tmp_path / "own.yaml").write_text(BLOCKS["yaml"])
    asked = [str(tmp_path / "own.yaml"), "--data", str(faces), "--out", str(tmp_path / "runs")]
    asked += ["--set", "epochs=1", "--set", "batch_size=8", "--cpus", "1", "--trials"]
    assert main([*asked, "1"]) == 0
    (session,) = layout.manifest(run)["sessions"]
    assert [(p["nets"], p["losses"], p["metrics"]) for p in session["plugins"]] == [
        (["tiny_cnn"], ["pulled"], {"val_gap": "max"})
    ]
    plugin.write_text(BLOCKS["python"] + "\n# changed\n")
    capsys.readouterr()
    assert main([*asked, "2", "--resume"]) == 0
    assert "plugins are not those that this run began with" in capsys.readouterr().out

    registry.forget()  # as in a new process
    trials, epochs = results.load(run)
    assert trials["status"].tolist() == ["done", "done"] and trials["rank"].tolist() == [1, 2]
    assert trials["val_gap"].tolist() == sorted(epochs["val_gap"], reverse=True)
    assert epochs["val_gap"].between(-2, 2).all() and epochs["val_gap"].ne(0.5).all()
    keys = {line["key"] for line in layout.read(run)[1].values()}
    assert len(keys) == 2

    weights = run / "weights" / f"{trials['trial'][0]}.pt"
    pictures = sorted(map(str, (faces / "Data" / "Images" / "001" / "frontal").iterdir()))[:2]
    shown = [str(weights), *pictures, "--out", str(tmp_path / "demo.png")]
    assert demo.main(shown) == 2
    said = capsys.readouterr().err
    assert re.search(
        rf"{weights.name}: its net tiny_cnn needs the plugin \S*my_parts\.py: give", said
    )
    assert demo.main([*shown, "--plugin", str(plugin)]) == 0
    registry.forget()
    assert retrain([str(run), "--data", str(faces)]) == 2
    assert f"net tiny_cnn needs the plugin {plugin}: give" in capsys.readouterr().err
    assert retrain([str(run), "--data", str(faces), "--plugin", str(plugin)]) == 0
