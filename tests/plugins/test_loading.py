"""A plugin's file: what it registers, how it can be wrong, and what knows its names after it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from facesiam.config import SETTINGS, TrialConfig, metrics
from facesiam.errors import ConfigError, PluginError, WeightsError
from facesiam.fingerprint import keys
from facesiam.nets.checkpoint import load_model, save_model
from facesiam.nets.losses import check_loss
from facesiam.nets.pretrained import find_weights
from facesiam.nets.siamese import SiameseNet, build
from facesiam.nets.trunks import check_net, features_of
from facesiam.plugins import loading, net, registry
from search.space import SpaceError, load
from search.space.__main__ import main as check_spaces
from search.space.file_dump import dump

PARTS = """from facesiam.plugins import loss, metric, net
from torch import nn


@net("tiny_cnn", scale=((0.1, 0.1, 0.1), (0.2, 0.2, 0.2)))
def tiny_cnn():
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2))


@loss("pulled")
class Pulled(nn.Module):
    def __init__(self, config, people):
        super().__init__()
        self.weight = nn.Parameter(nn.init.normal_(nn.Linear(2, 2).weight))

    def forward(self, embeddings, person):
        return (embeddings @ embeddings.T).mean() * self.weight.sum()


@metric("val_gap")
def gap(scores, same):
    return scores[same].mean() - scores[~same].mean()
"""
SPACE = "plugins: [parts.py]\nfixed: {net: tiny_cnn}\nsearch: {lr: [1e-4, 1e-3]}\n"


@pytest.fixture(autouse=True)
def no_plugins() -> Iterator[None]:
    """No plugin of another test is known."""
    registry.forget()
    yield
    registry.forget()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A plugin with a net, a loss and a metric."""
    path = tmp_path / "parts.py"
    path.write_text(PARTS)
    return path


def test_its_names_are_values_of_the_settings_until_it_is_forgotten(file: Path) -> None:
    before = SETTINGS["net"].choices, SETTINGS["loss"].choices
    plugin = loading.load(file)
    assert (plugin.nets, plugin.losses) == (("tiny_cnn",), ("pulled",))
    assert plugin.metrics == metrics.OWN == {"val_gap": "max"}
    config = TrialConfig(net="tiny_cnn", join="cosine", loss="pulled")
    with pytest.raises(ConfigError, match="loss: pulled does not go with join: concat"):
        TrialConfig(net="tiny_cnn", loss="pulled")
    with pytest.raises(ConfigError, match="one of the 88 .* did you mean tiny_cnn"):
        TrialConfig(net="tiny_cn")
    made = SiameseNet(config, people=3)
    assert features_of("tiny_cnn") == 32 and isinstance(made.trunk.net[0], nn.Conv2d)
    assert made.criterion is not None and len(list(made.criterion.parameters())) == 1
    registry.forget()
    assert (SETTINGS["net"].choices, SETTINGS["loss"].choices) == before and not metrics.OWN


def test_a_file_that_changed_is_run_anew_and_one_that_fails_leaves_the_former(file: Path) -> None:
    first = loading.load(file)
    assert loading.load(file) is first
    file.write_text(PARTS.replace("Pool2d(2)", "Pool2d(3)").replace("tiny_cnn", "tinier"))
    assert loading.load(file).nets == ("tinier",) and features_of("tinier") == 72
    assert "tiny_cnn" not in SETTINGS["net"].choices
    file.write_text("1 / 0\n")
    with pytest.raises(PluginError, match=r"parts\.py line 1: ZeroDivisionError: division by"):
        loading.load(file)
    assert [plugin.nets for plugin in registry.loaded()] == [("tinier",)]


def test_its_text_is_enough_for_a_worker_which_forgets_that_of_another_search(file: Path) -> None:
    loading.load(file)
    texts, key = loading.sources(), registry.hashes()
    registry.forget()
    file.unlink()
    loading.take(texts)
    assert registry.hashes() == key and features_of("tiny_cnn") == 32
    loading.take([])
    assert not registry.loaded() and "tiny_cnn" not in SETTINGS["net"].choices


WRONG = {
    "def broken(:\n": r"parts\.py line 1: invalid syntax",
    "x = 1\n": r"parts\.py: registers no net, loss or metric; put @net",
    "\nimport not_there\n": r"parts\.py line 2: ModuleNotFoundError: No module named 'not_there'",
    "import sys\nsys.exit(3)\n": r"parts\.py line 2: SystemExit: 3",
    "from facesiam.plugins import net\n\n\nnet('alexnet')(int)\n": (
        r"parts\.py line 4: net alexnet: there is a net of this name already; take another"
    ),
    "from facesiam.plugins import loss\nloss('two')(int)\n": r"line 2: loss two: there is a loss",
    "from facesiam.plugins import metric\nmetric('val_acc')(int)\n": r"metric val_acc: there is",
    "from facesiam.plugins import metric\nmetric('gap')(int)\n": r"gap: must begin with val_",
    "from facesiam.plugins import net\nnet('Tiny CNN')(int)\n": r"net 'Tiny CNN': a name has small",
    "from facesiam.plugins import net\nnet('a')(int)\nnet('a')(int)\n": (
        r"parts\.py line 3: net a: \S+parts\.py line 2 has that name"
    ),
    "from facesiam.plugins import net\nnet('a')(3)\n": r"net a: must be a function or a class, got 3",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_with_a_file_is_one_sentence_with_its_line(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "parts.py").write_text(text)
    (tmp_path / "space.yaml").write_text(f"name: x\n{SPACE}")
    assert check_spaces([str(tmp_path / "space.yaml")]) == 2
    said = capsys.readouterr().err
    assert re.search(rf"line 2  plugins: .*{WRONG[text]}", said) and said.count("\n") == 2
    assert check_spaces(["--plugin", str(tmp_path / "parts.py"), "quickstart"]) == 2
    said = capsys.readouterr().err
    assert re.search(WRONG[text], said) and said.count("\n") == 1
    assert SETTINGS["net"].choices[-1] != "a"


def test_one_that_is_missing_or_clashes_with_another(tmp_path: Path, file: Path) -> None:
    with pytest.raises(PluginError, match=r"^plugin \S+none\.py: no such file"):
        loading.load(tmp_path / "none.py")
    loading.load(file)
    other = tmp_path / "other.py"
    other.write_text(f"# another\n{PARTS}")
    with pytest.raises(
        PluginError, match=r"other\.py line 6: net tiny_cnn: \S+parts\.py line 5 has that name"
    ):
        loading.load(other)


def register(tmp_path: Path, body: str) -> None:
    """Load a plugin with this text behind its imports, of three lines."""
    path = tmp_path / f"p{abs(hash(body))}.py"
    imports = (
        "import torch\nfrom facesiam.plugins import loss, metric, net\nfrom torch import nn\n"
    )
    path.write_text(imports + body)
    loading.load(path)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "@net('a')\ndef a():\n    return 3\n",
            "line 4: net a: TypeError: must make an nn.Module, got int",
        ),
        (
            "@net('a')\ndef a():\n    return nn.Flatten()\n",
            "as many features an image of any size",
        ),
        (
            "@net('a')\ndef a():\n    return nn.Linear(2, 2)\n",
            "line 4: net a: RuntimeError: ",
        ),
        ("@net('a')\ndef a():\n    return nn.Missing()\n", "line 6: net a: AttributeError"),
    ],
)
def test_a_net_that_gives_no_features_is_refused(tmp_path: Path, body: str, sentence: str) -> None:
    register(tmp_path, body)
    with pytest.raises(PluginError, match=re.escape(sentence)):
        check_net("a")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "@loss('a')\ndef a(config, people):\n    return 3\n",
            "line 4: loss a: TypeError: must make",
        ),
        ("@loss('a')\ndef a(config, people):\n    return nn.CosineSimilarity()\n", "loss a: "),
        (
            "@loss('a')\ndef a(config):\n    return nn.ReLU()\n",
            "takes 1 positional argument but 2",
        ),
    ],
)
def test_a_loss_that_gives_no_gradient_is_refused(
    tmp_path: Path, body: str, sentence: str
) -> None:
    register(tmp_path, body)
    with pytest.raises(PluginError, match=re.escape(sentence)):
        check_loss("a")


def test_a_metric_is_a_number_or_nan_or_its_error_is_told(tmp_path: Path, file: Path) -> None:
    loading.load(file)
    scores, same = np.array([0.75, 0.25, 0.0]), np.array([True, False, False])
    assert registry.measure(scores, same) == {"val_gap": 0.625}
    assert np.isnan(registry.measure(scores * np.nan, same)["val_gap"])
    register(tmp_path, "@metric('val_bad')\ndef bad(scores, same):\n    return scores\n")
    with pytest.raises(PluginError, match=r"line 4: metric val_bad: TypeError: only"):
        registry.measure(scores, same)


def test_the_key_of_a_trial_has_its_text(file: Path) -> None:
    settings = TrialConfig().to_dict()
    without = keys("data", {})(settings)
    loading.load(file)
    with_it = keys("data", {})(settings)
    file.write_text(f"{PARTS}\n# more\n")
    loading.load(file)
    assert len({without, with_it, keys("data", {})(settings)}) == 3


def test_a_space_file_finds_it_beside_itself_and_a_runs_space_needs_no_code(file: Path) -> None:
    space = file.parent / "space.yaml"
    space.write_text(SPACE + "metric: val_gap\nresources: {per_net: {tiny_cnn: {cpus: 1}}}\n")
    loaded = load(space, strict=True)
    assert loaded.fixed["net"] == "tiny_cnn" and loaded.objective.mode == "max"
    (plugin,) = loaded.plugins
    assert plugin.file == str(file) and len(plugin.sha256) == 64
    of_run = file.parent / "run.yaml"
    of_run.write_text(dump(loaded))
    assert load(of_run) == loaded
    registry.forget()
    file.unlink()
    assert load(of_run, of_run=True) == loaded
    with pytest.raises(
        PluginError, match=rf"net tiny_cnn needs the plugin {re.escape(str(file))}"
    ):
        features_of("tiny_cnn")
    with pytest.raises(SpaceError, match=r"line 3  plugins: plugin \S+parts\.py: no such file"):
        load(of_run)


def test_a_space_files_list_of_them_is_checked(tmp_path: Path) -> None:
    for text in ("plugins: 3\n", "plugins: [{file: a.py, what: 1}]\n", "plugins: {}\n"):
        (tmp_path / "space.yaml").write_text(text + "fixed: {lr: 1e-3}\n")
        with pytest.raises(SpaceError, match=r"plugins"):
            load(tmp_path / "space.yaml", of_run="what" in text)


def test_a_model_file_says_which_plugin_its_net_needs(file: Path) -> None:
    loading.load(file)
    settings = {"net": "tiny_cnn", "join": "cosine", "loss": "pulled", "precision": "fp32"}
    config, model = TrialConfig(**settings), file.parent / "model.pt"
    made = build(config)
    save_model(model, made.state_dict(), config)
    images = torch.rand(2, 3, 64, 64)
    expected = made.eval().embed(images)
    registry.forget()
    with pytest.raises(
        WeightsError, match=r"model\.pt: its net tiny_cnn needs the plugin parts\.py: give"
    ):
        load_model(model)
    loading.load(file)
    found, _, rest = load_model(model)
    assert torch.allclose(found.float().embed(images), expected, atol=1e-5) and not rest
    of_loss = TrialConfig(join="cosine", loss="pulled", embedding=4)
    save_model(model, build(of_loss).state_dict(), of_loss)
    registry.forget()
    assert load_model(model)[1].loss == "pulled"  # which predictions do not need


def test_a_model_file_says_that_its_plugin_has_changed(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loading.load(file)
    config, model = TrialConfig(net="tiny_cnn", hidden=4), file.parent / "model.pt"
    save_model(model, build(config).state_dict(), config)
    load_model(model)
    assert capsys.readouterr().err == ""
    file.write_text(file.read_text() + "# edited\n")
    loading.load(file)
    load_model(model)
    said = f"{model}: plugin {file} has changed since: the net may compute something else\n"
    assert capsys.readouterr().err == said


def test_its_net_starts_from_weights_that_are_given_and_inputs_are_scaled(file: Path) -> None:
    loading.load(file)
    with pytest.raises(WeightsError, match="no weights of tiny_cnn to download"):
        find_weights("tiny_cnn", None)
    torch.manual_seed(3)
    part = registry.part("net", "tiny_cnn").made()
    torch.save({f"module.{k}": v for k, v in part.state_dict().items()}, file.with_suffix(".pth"))
    config = TrialConfig(net="tiny_cnn", hidden=4, pretrained=True)
    path = find_weights("tiny_cnn", str(file.with_suffix(".pth")))
    made = build(config, {"tiny_cnn": str(path)})
    assert torch.equal(made.trunk.net[0].weight, part[0].weight)
    assert made.mean.flatten().tolist() == pytest.approx([0.1] * 3)


def test_imported_by_another_program_a_file_registers_nothing() -> None:
    @net("of_mine")
    def of_mine() -> nn.Module:
        return nn.ReLU()

    assert "of_mine" not in SETTINGS["net"].choices and isinstance(of_mine(), nn.ReLU)
