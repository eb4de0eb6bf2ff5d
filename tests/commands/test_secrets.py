"""What is shown or noted holds no secret of a URL, no control character, no HTML."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import SETTINGS, THREE_EPOCHS, epoch

from facesiam.errors import UserError, masked
from search import results
from search.cli.run_parser import read_options
from search.report.__main__ import main as report
from search.runs.journal_writer import Journal
from search.runs.mirror import folder_for
from search.tuning import failures


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://AKIA:s3cr3t@bucket/runs", "s3://***@bucket/runs"),
        ("x 's3://AKIA:s3/cr+3t@bucket/runs' y", "x 's3://***@bucket/runs' y"),
        ("s3://AKIA@bucket", "s3://***@bucket"),
        ("s3://b/r?secret_key=abc&region=eu", "s3://b/r?secret_key=***&region=eu"),
        ("s3://b?access_key=a&session_token=b", "s3://b?access_key=***&session_token=***"),
        ("https://b/x?X-Amz-Signature=a1&sig=b2", "https://b/x?X-Amz-Signature=***&sig=***"),
        ("ray://token@head:10001", "ray://***@head:10001"),
        ("sftp://me:pass@host/x", "sftp://***@host/x"),
        # No secrets:
        ("abfs://container@account.dfs.core.windows.net/x", None),
        ("sftp://me@host/x", None),
        ("s3://bucket/runs?endpoint_override=http://127.0.0.1:9000", None),
        ("file:///home/me/a@b/c", None),
        ("--set lr=0.1 seed=1", None),
        ("http://127.0.0.1:9000/a@b", None),
        ("me@example.com", None),
    ],
)
def test_a_secret_is_masked_and_nothing_else(text: str, said: str | None) -> None:
    assert masked(text) == (said or text)
    assert str(UserError(text)) == (said or text)


def test_the_command_that_is_noted_and_the_way_to_go_on_have_no_secret() -> None:
    url = "s3://AKIA:s3cr3t@bucket/runs?secret_key=s3cr3t"
    secret = read_options(["x.yaml", "--out", url])
    for text in (secret.command, secret.resume_command):
        assert "s3cr3t" not in text and "AKIA" not in text and "***@bucket/runs" in text
    assert "--resume\n(with the secret in place of ***" in secret.resume_command
    plain = read_options(["x.yaml", "--out", "s3://bucket/runs"])
    assert plain.resume_command.endswith(" x.yaml --out s3://bucket/runs --resume")


def test_another_password_is_the_same_place() -> None:
    assert folder_for("s3://A:1@bucket/x") == folder_for("s3://A:2@bucket/x")
    assert folder_for("s3://A:1@bucket/x") != folder_for("s3://A:1@other/x")


def test_what_a_worker_said_reaches_neither_terminal_nor_report_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.yaml").write_text(THREE_EPOCHS)
    bad = "boom \x1b[2J\u202e <script>alert(1)</script> [x](javascript:1)\nnext"
    noted = {"name": f"run {bad}", "command": f"x ` {bad}", "sessions": [{}], "commit": bad}
    (tmp_path / "manifest.json").write_text(json.dumps(noted))
    journal = Journal(tmp_path)
    journal.trial("0001", "running", settings=SETTINGS, row=None)
    journal.epoch("0001", epoch(0) | {"train_acc": 0.5, "train_loss": 0.5, "val_loss": 0.5})
    journal.trial("0001", "failed", stop_rule="error", stop_reason=bad, log=[bad], machine=bad)
    for arguments in ([], ["--why", "0001"]):
        assert results.main([str(tmp_path), *arguments]) == 0
        said = capsys.readouterr().out
        assert "\x1b" not in said and "\u202e" not in said and "\\x1b[2J" in said
    assert report([str(tmp_path)]) == 0
    page = (tmp_path / "report" / "report.md").read_text()
    assert "\x1b" not in page and "<script" not in page and "](javascript" not in page
    assert "&lt;script" in page


def test_a_workers_last_words_are_escaped_where_they_are_noted(tmp_path: Path) -> None:
    assert failures.reason_of("Traceback\nValueError: a\x1b[31mb\n") == "ValueError: a\\x1b[31mb"
    assert failures.reason_of("x.StorageError: s3://K:S@b/x: gone\n") == "s3://***@b/x: gone"
    (tmp_path / "0001.log").write_bytes(b"red \x1b[31m\n")
    assert failures.last_lines(tmp_path / "0001.log") == ["red \\x1b[31m"]
