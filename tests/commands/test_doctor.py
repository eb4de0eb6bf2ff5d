"""What the doctor prints of its findings, and the code it ends with; no Ray is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from search import doctor
from search.resources.findings import Finding, fail, note, ok

FINE, ODD = ok("Python", "3.11.7"), note("token", "none", "set one")
WRONG = fail("storage", "--out x: cannot write", "give another folder")


@pytest.mark.parametrize(
    ("found", "code", "last"),
    [
        ([FINE], 0, "a search would run"),
        ([FINE, ODD], 0, "a search would run; the notes say what it would miss"),
        (
            [WRONG, FINE, ODD, WRONG],
            1,
            "a search would fail: 2 of 4 lines say what to mend",
        ),
    ],
)
def test_the_worst_finding_is_the_exit_code(
    found: list[Finding],
    code: int,
    last: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(doctor, "_findings", lambda options: iter(found))
    assert doctor.main([]) == code
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_a_finding_takes_as_many_lines_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text, remedy = "a folder\x1b[2J " + "word " * 9, "give another folder that all machines share"
    lines = doctor._lines(fail("storage", text, remedy)).splitlines()
    assert lines[0].startswith("FAIL  storage        a folder") and "\x1b" not in lines[0]
    assert [line[:24] for line in lines[1:]] == [
        " " * 21 + "wor",
        " " * 21 + "-> ",
        " " * 21 + "   ",
    ]
    assert max(map(len, lines)) <= 60 and lines[2].endswith("-> give another folder that all")
    assert doctor._lines(ok("data", "")) == "ok    data"


def test_a_space_that_is_wrong_ends_what_is_looked_for_of_it(tmp_path: Path, faces: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("search: {lrr: [1e-4, 1e-3]}\n")
    (found,) = _of_search(str(file))
    assert found.subject == "space" and "did you mean lr?" in found.text
    file.write_text(f"data: {faces}\nsearch: {{lr: [1e-4, 1e-3]}}\nalgorithm: grid\n")
    found, data, weights = _of_search(str(file))
    assert found.text == f"{file}: 2 trials"
    assert data.level.value == "ok" and data.text == f"{faces}, read as cfp"
    assert weights.text == "no trial starts from pretrained weights"
    file.write_text("search: {lr: [1e-4, 1e-3]}\nalgorithm: grid\n")
    _, data, _ = _of_search(str(file), "--data", str(tmp_path / "none"))
    assert data.level.value == "FAIL" and data.remedy == "--data names another"


def _of_search(*given: str) -> Iterator[Finding]:
    return doctor._of_search(doctor.parser().parse_args(given))
