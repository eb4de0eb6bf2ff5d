"""What the doctor asks of a Ray, here this machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.resources import findings
from search.resources.findings import Level
from search.tuning.cluster_check import ClusterCheck


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("below", ["", "runs"])
def test_a_place_that_cannot_be_written_ends_no_examination(tmp_path: Path, below: str) -> None:
    out = tmp_path / "a file"
    out.touch()
    check = ClusterCheck(None, ["torch"], out / below, None)
    found = list(check.steps())
    assert [(one.level, one.subject) for one in found] == [(Level.OK, "Ray"), (Level.OK, "ports")]
    (report,) = check.reports.values()
    (storage,) = findings.of_storage(str(out), report, {}, is_url=False)
    assert storage.level is Level.FAIL and "cannot write: Not a directory" in storage.text


@pytest.mark.usefixtures("local_ray")
def test_each_machine_sees_the_file_of_this_one(tmp_path: Path) -> None:
    check = ClusterCheck(None, [], tmp_path / "new" / "runs", None)
    list(check.steps())
    assert [report.folder_trouble for report in check.reports.values()] == [""]
    assert list(tmp_path.iterdir()) == []
