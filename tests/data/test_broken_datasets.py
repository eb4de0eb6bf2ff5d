"""Every broken dataset is refused in a sentence by ``check`` and by ``prepare``; nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from broken_datasets import ALL, FLAWED, NONE, Broken
from permissions import permissions_hold

from facesiam.config.trial import Packing
from facesiam.data.__main__ import main
from facesiam.data.formats import FORMATS, cfp_root
from facesiam.data.preparation import prepare
from facesiam.errors import DataError
from search.cli.run_command import main as search

KNOWN = [kind.title for kind in FORMATS.values()]


def said_of(case: Broken, root: Path, given: Path) -> list[str]:
    """Return the case's sentences with what stands for paths filled in."""
    words = {
        "{given}": str(given),
        "{root}": str(root),
        "{above}": str(root.parent),
        "{formats}": f"known formats are {', '.join(KNOWN[:-1])} and {KNOWN[-1]}",
        "{cfp}": cfp_root.LAYOUT,
    }
    said = list(case.said)
    for word, meant in words.items():
        said = [sentence.replace(word, meant) for sentence in said]
    return said


def as_search_run_does(given: Path, cache: Path) -> None:
    """Open the lists, ask for the pairs of every part, then pack."""
    data = prepare(str(given), [], cache=cache, progress=False)
    for part in ("train", "val", "test") if data.format != "bin" else ():
        data.pairs("dataset-pairs", part)
    prepare(str(given), [Packing("squeeze", 16)], cache=cache, progress=False)


@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
def test_it_is_refused_in_a_sentence_and_nothing_is_written(
    case: Broken, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, cache = tmp_path / "faces", tmp_path / "cache"
    cache.mkdir()
    sound = case.sound(root)
    given = case.damage(sound) or sound
    said = said_of(case, root, given)

    with permissions_hold():
        code = main(["check", str(given)])

    out, err = capsys.readouterr()
    assert code == case.code
    assert "Traceback" not in err
    if code == NONE:
        assert (out, err) == ("", f"{given}: {said[0]}\n".replace(f"{given}: {given}", str(given)))
    else:
        count, *lines = out.partition("\n  problems    ")[2].splitlines()
        assert [line.strip() for line in lines if "`--all`" not in line] == said
        assert int(count) >= len(said)

    with permissions_hold(), pytest.raises(DataError) as refused:
        as_search_run_does(given, cache)

    assert str(refused.value) == told(case, said, given)
    # The checksums of a folder's files are remembered however the images turn out.
    kept = "stamps" if case.packing else ""
    assert [path for path in cache.rglob("*") if kept not in path.parts] == []


def told(case: Broken, said: list[str], given: Path) -> str:
    """Return the text of the error that says these sentences."""
    if case.packing:
        return (
            f"{given}: {said[0]}; `python -m facesiam.data check PATH --all` lists every such file"
        )
    if said[0].startswith(str(given)):
        return said[0]
    if len(said) == 1:
        return f"{given}: {said[0]}"
    return "\n  ".join([f"{given}: {len(said)} problems", *said])


def test_there_are_enough_of_them_and_of_every_format() -> None:
    assert len(ALL) >= 60
    assert len({case.name for case in ALL}) == len(ALL)
    assert all(case.code in (NONE, FLAWED) and case.said[0] for case in ALL)


EVERY_FORM = (
    "folders: everybody has one image",
    "images: a missing image",
    "pairs: an unknown answer",
    "LFW: no header",
    "pictures: a truncated jpeg",
)


@pytest.mark.parametrize("name", EVERY_FORM)
def test_search_run_refuses_it_and_begins_no_run(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = next(case for case in ALL if case.name == name)
    cache, runs = tmp_path / "cache", tmp_path / "runs"
    monkeypatch.setenv("FACESIAM_CACHE", str(cache))
    sound = case.sound(tmp_path / "faces")
    given = case.damage(sound) or sound
    (tmp_path / "space.yaml").write_text(
        "fixed: {protocol: dataset-pairs, image_size: 64}\nsearch: {lr: [1e-3, 1e-2]}\n"
    )

    options = ["--data", str(given), "--name", "x", "--out", str(runs)]
    code = search([str(tmp_path / "space.yaml"), *options])

    assert code == 2
    said = told(case, said_of(case, tmp_path / "faces", given), given)
    assert said in capsys.readouterr().err
    assert not runs.exists()
    assert [path for path in cache.rglob("*") if "stamps" not in path.parts] == []
