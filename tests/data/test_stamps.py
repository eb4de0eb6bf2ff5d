"""Stamps of a folder's files: read once, and again where a file has changed."""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path

import pytest

from facesiam.data.archive import FolderSource
from facesiam.data.stamps import StampMemory, joined, parted

OLD = time.time_ns() - 60 * 10**9
"""A minute ago: settled."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("a.jpg", b"aaaa"), ("b/ü.jpg", b"bb")):
        file = tmp_path / "set" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "set"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read; all of them count as settled."""
    names: list[str] = []
    whole = FolderSource.stamp
    state = FolderSource.state

    def counted(source: FolderSource, name: str) -> tuple[int, int]:
        names.append(name)
        return whole(source, name)

    def settled(source: FolderSource, name: str) -> tuple[int, int, int]:
        size, changed, _ = state(source, name)
        return size, changed, OLD if changed == OLD else changed

    monkeypatch.setattr(FolderSource, "stamp", counted)
    monkeypatch.setattr(FolderSource, "state", settled)
    return names


def found(folder: Path, cache: Path) -> list[tuple[int, int]]:
    memory = StampMemory(FolderSource(folder), cache)
    stamps = memory.of(["a.jpg", "b/ü.jpg"])
    memory.write()
    return stamps


def age(*paths: Path) -> None:
    for path in paths:
        os.utime(path, ns=(OLD, OLD))


def test_files_are_read_once_and_again_where_they_changed(
    folder: Path, tmp_path: Path, read: list[str]
) -> None:
    age(folder / "a.jpg", folder / "b/ü.jpg")
    first = [(4, zlib.crc32(b"aaaa")), (2, zlib.crc32(b"bb"))]
    assert found(folder, tmp_path) == first and len(read) == 2
    assert found(folder, tmp_path) == first and len(read) == 2
    (folder / "a.jpg").write_bytes(b"xaaa")  # of the same size, now
    assert found(folder, tmp_path)[0] == (4, zlib.crc32(b"xaaa"))
    assert read[2:] == ["a.jpg"]
    # It changed within the clock's tick, perhaps again: not remembered yet.
    assert found(folder, tmp_path)[0] == (4, zlib.crc32(b"xaaa")) and read[3:] == ["a.jpg"]


def test_another_folder_has_stamps_of_its_own(
    folder: Path, tmp_path: Path, read: list[str]
) -> None:
    age(folder / "a.jpg", folder / "b/ü.jpg")
    found(folder, tmp_path)
    other = folder.rename(tmp_path / "moved")
    found(other, tmp_path)
    assert len(read) == 4


def test_a_damaged_memory_is_forgotten(folder: Path, tmp_path: Path, read: list[str]) -> None:
    age(folder / "a.jpg", folder / "b/ü.jpg")
    first = found(folder, tmp_path)
    (file,) = (tmp_path / "stamps").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert found(folder, tmp_path) == first and len(read) == 4
    assert found(folder, tmp_path) == first and len(read) == 4


def test_paths_come_back_from_their_bytes() -> None:
    for names in ([], ["a"], ["a/b c.jpg", "ü\n.png", os.fsdecode(b"\xff.jpg")]):
        assert parted(joined(names)) == names
