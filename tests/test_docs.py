"""The documentation against the repository: links, commands, options, paths, examples."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ROOT

from facesiam.config import SETTINGS
from search import results
from search.cli.command_table import COMMANDS
from search.cluster import __main__ as cluster
from search.settings import bounds
from search.space import SpaceError, load

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:python -m |siamsearch )(?!pytest)([\w.]+)(.*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
PLACE = re.compile(
    r"(?<![\w./-])(?:search|facesiam|docs|tests|scripts|spaces|ray_results/reference)/[\w./-]*"
)
FOREIGN = (
    "ray ",
    "pip ",
    "pytest ",
    "ssh ",
    "kubectl ",
    "make ",
    "docker ",
    "sbatch ",
    "exclusive",
    "tensorboard ",
)
"""Programs that are not ours, whose options are not checked."""


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _code(name: str) -> list[str]:
    """Return what stands in code font: each line of a block, and each inline piece."""
    text = _text(name)
    blocks = [line for _, block in FENCE.findall(text) for line in block.splitlines()]
    return blocks + INLINE.findall(FENCE.sub("", text))


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """The options of each command, by its module, as its --help has them."""

    modules = ["search", *(module for module, _ in COMMANDS.values())]
    # In one process, as what they import takes seconds.
    code = (
        "import runpy, sys\n"
        "for module in sys.argv[1:]:\n"
        "    sys.argv = [module, '--help']\n"
        "    print('\\0')\n"
        "    try:\n"
        "        runpy.run_module(module, run_name='__main__')\n"
        "    except SystemExit as ended:\n"
        "        assert not ended.code, module\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    texts = done.stdout.split("\0\n")[1:]
    found = {
        module: set(OPTION.findall(text)) for module, text in zip(modules, texts, strict=True)
    }
    found["search.cluster"] |= found["search.run"]  # that may follow
    found["search.cluster"] |= set(OPTION.findall("".join(map(_help_of_job, cluster.KINDS))))
    return found


def _help_of_job(kind: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        cluster.main([kind, "--help"])
    return said.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    broken = []
    for link in LINK.findall(FENCE.sub("", _text(name))):
        if re.match(r"https?://", link):
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_their_options_exist(name: str, options: dict[str, set[str]]) -> None:
    wrong = []
    for code in _code(name):
        if not (found := COMMAND.search(code)):
            continue
        module, rest = found.groups()
        module = COMMANDS[module][0] if module in COMMANDS else module
        if module not in options:
            wrong.append(code)
            continue
        wrong += [code for option in OPTION.findall(rest) if option not in options[module]]
    assert not wrong


@pytest.mark.parametrize("name", NAMES)
def test_options_that_stand_alone_exist(name: str, options: dict[str, set[str]]) -> None:
    scripts = [*(ROOT / "scripts").glob("*.py"), *(ROOT / "tests" / "cluster").glob("*.py")]
    sources = "".join(path.read_text(encoding="utf-8") for path in scripts)
    known = set().union(*options.values(), OPTION.findall(sources))
    wrong = []
    for code in _code(name):
        if any(program in f" {code}" for program in FOREIGN) or COMMAND.search(code):
            continue
        wrong += [option for option in OPTION.findall(code) if option not in known]
    assert not wrong


@pytest.mark.parametrize("name", NAMES)
def test_paths_exist(name: str) -> None:
    named = [path for code in _code(name) for path in PLACE.findall(code)]
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.mark.parametrize("name", NAMES)
def test_named_tests_exist(name: str) -> None:
    found = [
        found for code in _code(name) for found in re.findall(r"pytest (tests\S*) -k (\w+)", code)
    ]
    for place, word in found:
        files = [ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("test_*.py")
        sources = "".join(file.read_text(encoding="utf-8") for file in files)
        assert re.search(rf"def test_\w*{word}", sources), f"{place} -k {word}"


@pytest.mark.parametrize("name", NAMES)
def test_modules_exist(name: str) -> None:
    named = {
        found
        for code in _code(name)
        for found in re.findall(r"(?<![\w/.])(?:search|facesiam)\.[a-z_]+", code)
    }
    assert not [module for module in named if importlib.util.find_spec(module) is None]


@pytest.mark.parametrize("name", ["README.md", "docs/space-file.md"])
def test_the_example_is_a_space_file(name: str, tmp_path: Path) -> None:
    example = next(block for kind, block in FENCE.findall(_text(name)) if kind == "yaml")
    file = tmp_path / "faces.yaml"
    file.write_text(example, encoding="utf-8")
    assert load(file).algorithm == "tpe"


def test_the_readme_shows_what_a_mistake_looks_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = _text("README.md")
    (example,) = [block for kind, block in FENCE.findall(readme) if kind == "yaml"]
    for right, wrong in (
        ("alexnet", "alexnett"),
        ("low: 1e-4", "low: -1e-4"),
        ("trials", "trails"),
    ):
        example = example.replace(right, wrong)
    (tmp_path / "faces.yaml").write_text(example, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpaceError) as error:
        load("faces.yaml")
    assert f"```text\n{error.value}\n```" in readme


def test_each_setting_has_its_row() -> None:
    page = _text("docs/space-file.md").split("\n## Settings\n")[1]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|", page, re.MULTILINE)
    assert sorted(name for name, _, _ in rows) == sorted(SETTINGS)
    for name, default_shown, values in rows:
        setting = SETTINGS[name]
        default = str(setting.default).lower() if setting.type is bool else str(setting.default)
        assert default_shown == f"`{default}`", name
        if name == "net":
            continue
        if setting.type is bool or setting.choices:
            choices = sorted(setting.choices or ("true", "false"))
            assert sorted(re.findall(r"`(\w[\w-]*)`", values)) == choices, name
        else:
            assert values == bounds(setting), name


def test_each_column_is_explained() -> None:
    page = "\n".join(re.findall(r"^\| (.*?) \|", _text("docs/run-folder.md"), re.MULTILINE))
    trials, epochs = results.load(ROOT / "ray_results" / "reference" / "cpu")
    columns = {*trials, *epochs} - {*SETTINGS}
    assert not [name for name in columns if f"`{name}`" not in page]


@pytest.mark.parametrize("package", ["search", "facesiam"])
def test_the_readme_has_a_line_for_each_room(package: str) -> None:
    (tree,) = [block for _, block in FENCE.findall(_text("README.md")) if "\nfacesiam/" in block]
    part = tree.split("facesiam/")[package == "facesiam"]
    listed = {*part.split()}
    found = {
        path.name + "/" * path.is_dir()
        for path in (ROOT / package).iterdir()
        if not path.name.startswith("__") or path.name == "__main__.py"
    }
    assert not found - {"py.typed"} - listed


@pytest.mark.parametrize(("name", "most"), [("README.md", 150), ("CONTRIBUTING.md", 60)])
def test_it_is_short(name: str, most: int) -> None:
    assert len(_text(name).splitlines()) <= most


def test_the_live_table_is_drawn_from_a_journal(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "scripts" / "pictures.py")
    assert spec and spec.loader
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    run = ROOT / "ray_results" / "reference" / "cpu-ablation"
    pictures.live(run, tmp_path / "live.svg")
    pictures.ranked(run, tmp_path / "ranked.svg")
    drawn = (tmp_path / "live.svg").read_text(encoding="utf-8").replace("&#160;", " ")
    assert re.search(r"1[678] of 27 trials ended · 2 running", drawn), drawn
    assert "@font-face" not in drawn
    assert "erase-0.5-s2" in (tmp_path / "ranked.svg").read_text(encoding="utf-8")


def test_pictures_are_small() -> None:
    pictures = [path for path in (ROOT / "docs" / "pictures").iterdir()]
    assert pictures
    assert not [path for path in pictures if path.stat().st_size > 150_000]
