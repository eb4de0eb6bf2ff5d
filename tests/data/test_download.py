"""The download, against a server on loopback that misbehaves in every way that servers do."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tiny_cfp

from facesiam.data import download as module
from facesiam.data.__main__ import main
from facesiam.data.download import download
from facesiam.errors import DataError


class Server(ThreadingHTTPServer):
    """Serves ``content``; ``drops`` holds after how many bytes each answer in turn breaks off."""

    content = b""
    ranges = True
    status = 200
    drops: list[int]
    asked: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/cfp-dataset.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        served, asked = self.server, self.headers["Range"]
        served.asked.append(asked)
        total = len(served.content)
        start = int(re.findall(r"\d+", asked)[0]) if asked and served.ranges else 0
        if served.status != 200:
            self.send_error(served.status)
            return
        if start >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(total - start))
        self.end_headers()
        stop = start + served.drops.pop(0) if served.drops else total
        self.wfile.write(served.content[start:stop])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("served")
    return tiny_cfp.zipped(tiny_cfp.write(folder / "tiny"), folder / "x.zip").read_bytes()


@pytest.fixture
def server(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.content, running.drops, running.asked = archive, [], []
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def test_a_whole_archive_arrives_under_its_name(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", "--url", server.url, "--to", str(tmp_path / "new")]) == 0
    target = tmp_path / "new/cfp-dataset.zip"
    assert capsys.readouterr().out == f"{target}\n"
    assert target.read_bytes() == server.content
    assert list(target.parent.iterdir()) == [target]
    assert main(["download", "--url", server.url, "--to", str(tmp_path / "new")]) == 0
    assert server.asked == [None]  # what is there and whole is not fetched again


def test_dropped_connections_are_resumed_where_they_broke(server: Server, tmp_path: Path) -> None:
    server.drops = [1000, 0, 500]
    target = download(server.url, tmp_path / "cfp.zip", progress=False)
    assert target.read_bytes() == server.content
    assert server.asked == [None, "bytes=1000-", "bytes=1000-", "bytes=1500-"]


def test_a_part_of_an_earlier_run_is_resumed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cfp.zip.part").write_bytes(server.content[:777])
    target = download(server.url, tmp_path / "cfp.zip", progress=False)
    assert target.read_bytes() == server.content and server.asked == ["bytes=777-"]


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges, server.drops = False, [1000]
    target = download(server.url, tmp_path / "cfp.zip", progress=False)
    assert target.read_bytes() == server.content and server.asked == [None, "bytes=1000-"]


def test_nothing_of_an_older_longer_file_stays(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "cfp.zip.part").write_bytes(server.content + bytes(5000))
    target = download(server.url, tmp_path / "cfp.zip", progress=False)
    assert target.read_bytes() == server.content


def test_a_whole_part_only_moves(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cfp.zip.part").write_bytes(server.content)
    assert download(server.url, tmp_path / "cfp.zip", progress=False).stat().st_size
    assert server.asked == [f"bytes={len(server.content)}-"]


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cfp.zip.part").write_bytes(server.content + b"more")
    target = download(server.url, tmp_path / "cfp.zip", progress=False)
    assert target.read_bytes() == server.content and server.asked[-1] is None


def test_a_part_of_something_else_is_found_out(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cfp.zip.part").write_bytes(bytes(5000))
    with pytest.raises(DataError, match="what came was deleted: .*member .* is damaged"):
        download(server.url, tmp_path / "cfp.zip", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_archive_in_place_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cfp.zip").write_bytes(server.content[:-9])
    target = download(server.url, tmp_path / "cfp.zip", progress=False)
    assert target.read_bytes() == server.content


def test_what_is_no_archive_is_deleted(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>moved</html>"
    with pytest.raises(DataError, match="what came was deleted: .*not a zip archive"):
        download(server.url, tmp_path / "cfp.zip", progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "sentence", "requests"),
    [(404, "the server says 404 Not Found", 1), (503, "cannot be fetched .Service Unavail", 4)],
)
def test_a_server_that_says_no(
    server: Server, tmp_path: Path, status: int, sentence: str, requests: int
) -> None:
    server.status = status
    with pytest.raises(DataError, match=sentence):
        download(server.url, tmp_path / "cfp.zip", progress=False)
    assert len(server.asked) == requests


def test_giving_up_keeps_what_came(server: Server, tmp_path: Path) -> None:
    server.drops = [900, 0, 0, 0, 0]
    with pytest.raises(DataError, match="0 of .* bytes came.* goes on after the 900 bytes"):
        download(server.url, tmp_path / "cfp.zip", progress=False)
    assert (tmp_path / "cfp.zip.part").stat().st_size == 900


def test_without_a_network_it_says_so(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x.zip"
        assert main(["download", "--url", url, "--to", str(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "Connection refused" in error
    # Nothing came that a second try could go on after.
    assert error.endswith(
        "; check the network and run this again, or get a copy and give it to --data"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [True, False])
def test_data_that_is_taken_before_a_download_is_told(
    server: Server,
    tmp_path: Path,
    there: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = tmp_path / "mine.zip"
    monkeypatch.setenv("FACESIAM_DATA", str(mine))
    if there:
        mine.touch()
    assert main(["download", "--url", server.url, "--to", str(tmp_path / "to")]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'to/cfp-dataset.zip'}\n"
    note = f"$FACESIAM_DATA, {mine}, is there and taken before a download: nothing has to be "
    assert said.err.startswith(f"{note}fetched\n") == there
    assert (note in said.err) == there


def test_only_the_web_is_fetched_from(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="file:///etc/passwd: not an http:// or https:// address"):
        download("file:///etc/passwd", tmp_path / "x.zip", progress=False)
