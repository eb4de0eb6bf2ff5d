"""What the package brings along, where it is installed and where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import ROOT

from search.space import load, shipped
from search.space.__main__ import main
from search.space.errors import SpaceError

NAMES = [
    "beyond",
    "code1",
    "code2",
    "cpu",
    "hard-pairs",
    "low-far",
    "precision",
    "precision-lite",
    "quickstart",
    "several-nets",
    "ten-folds",
]


@pytest.mark.parametrize("given", ["code2", "code2.yaml", "spaces/code2.yaml", "spaces/code2"])
def test_a_space_of_the_package_goes_by_its_name(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    own = ROOT / "spaces" / "code2.yaml"
    assert shipped.space_file(given) == own
    assert capsys.readouterr().err == (
        f"{given}: not here, so the package's own is taken: {own}\n"
    )
    assert main([given]) == 0
    # A file of one's own goes first.
    (tmp_path / given).parent.mkdir(exist_ok=True)
    (tmp_path / given).write_text("search: {lr: [1e-5]}\n")
    assert shipped.space_file(given) == Path(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("cod2", "cod2: no such file; did you mean code2?"),
        ("spaces/code22.yaml", "spaces/code22.yaml: no such file; did you mean code2?"),
        ("nothing", f"nothing: no such file; the package brings {', '.join(NAMES)}"),
        ("code1.yam", "code1.yam: no such file; did you mean code1?"),
        ("mine", "mine: no such file; did you mean spaces/MINE.yaml?"),
        ("space/MINE.yaml", "space/MINE.yaml: no such file; did you mean spaces/MINE.yaml?"),
        ("sapces/xyz", "sapces/xyz: no such file; there is no folder sapces"),
        ("other/code2.yaml", "other/code2.yaml: no such file; there is no folder other"),
    ],
)
def test_what_is_not_there_is_said_with_the_nearest_that_is(
    given: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "MINE.yaml").touch()
    with pytest.raises(SpaceError) as told:
        load(shipped.space_file(given))
    assert str(told.value) == message


def test_what_the_package_brings_along_is_there() -> None:
    assert shipped.names() == NAMES
    assert (shipped.whole() / "index.csv").is_file()
