"""Archives that must not be read, each refused with its reason."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest
import tiny_cfp

from facesiam import archive
from facesiam.archive import DataError, FolderSource, ZipSource, open_source


@pytest.fixture
def tiny_zip(tmp_path: Path) -> Path:
    return tiny_cfp.zipped(tiny_cfp.write(tmp_path / "tiny"), tmp_path / "cfp.zip")


@pytest.mark.parametrize(
    "name",
    ["../evil.jpg", "cfp-dataset/../../evil.jpg", "/etc/evil.jpg", "C:/evil.jpg", "..\\evil.jpg"],
)
def test_a_member_outside_its_folder_is_refused_by_name(tiny_zip: Path, name: str) -> None:
    with zipfile.ZipFile(tiny_zip, "a") as out:
        out.writestr(name, "x")
    with pytest.raises(DataError, match="evil.jpg' would land outside its folder; refused"):
        ZipSource(tiny_zip)


def test_the_copy_that_macos_leaves_is_not_the_data(tmp_path: Path) -> None:
    folder = tiny_cfp.write(tmp_path / "tiny")
    path = tiny_cfp.zipped(folder, tmp_path / "cfp.zip", "a/rather/long/name/cfp-dataset/")
    with zipfile.ZipFile(path, "a") as out:
        out.writestr("__MACOSX/Data/._1.jpg", "x")
        out.writestr("__MACOSX/Protocol/._Pair_list_F.txt", "x")
    assert ZipSource(path).has("Protocol/Pair_list_F.txt")


def test_names_with_dots_that_stay_inside_are_fine(tiny_zip: Path) -> None:
    with zipfile.ZipFile(tiny_zip, "a") as out:
        out.writestr("cfp-dataset/notes..txt", "x")
        out.writestr("cfp-dataset/..hidden", "x")
    assert ZipSource(tiny_zip).has("..hidden")


def test_a_large_member_is_refused_by_name(tiny_zip: Path) -> None:
    with zipfile.ZipFile(tiny_zip, "a", zipfile.ZIP_DEFLATED) as out:
        out.writestr("cfp-dataset/Data/zeros.jpg", bytes(archive.MAX_MEMBER + 1))
    assert tiny_zip.stat().st_size < 10**6
    with pytest.raises(DataError, match="zeros.jpg' unpacks to 67,108,865 bytes; refused"):
        ZipSource(tiny_zip)


def test_many_members_together_are_refused(
    tiny_zip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tiny_zip) as whole:
        total = sum(member.file_size for member in whole.infolist())
    monkeypatch.setattr(archive, "MAX_TOTAL", total)
    ZipSource(tiny_zip)
    monkeypatch.setattr(archive, "MAX_TOTAL", total - 1)
    with pytest.raises(DataError, match=f"unpacks to {total:,} bytes; refused above"):
        ZipSource(tiny_zip)


def test_no_more_is_unpacked_than_declared(tiny_zip: Path) -> None:
    with zipfile.ZipFile(tiny_zip, "a", zipfile.ZIP_DEFLATED) as out:
        out.writestr("cfp-dataset/lie", bytes(10**6))
    content = bytearray(tiny_zip.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # both headers' sizes
        at = content.rfind(signature, 0, content.rfind(b"cfp-dataset/lie"))
        at = content.rfind(signature) if signature == b"PK\x01\x02" else at
        struct.pack_into("<I", content, at + offset, 5)
    tiny_zip.write_bytes(content)
    source = ZipSource(tiny_zip)
    assert source.stamp("lie")[0] == 5
    with pytest.raises(DataError, match="member lie is damaged .Bad CRC-32"):
        source.read("lie")


def test_an_unusual_compression_is_refused(tiny_zip: Path) -> None:
    # its decoder cannot be told to stop at the declared size
    with zipfile.ZipFile(tiny_zip, "a", zipfile.ZIP_LZMA) as out:
        out.writestr("cfp-dataset/x", "x")
    with pytest.raises(DataError, match="'cfp-dataset/x' is neither stored nor deflated; refused"):
        ZipSource(tiny_zip)


def test_a_truncated_zip_says_how_to_get_it_again(tiny_zip: Path) -> None:
    tiny_zip.write_bytes(tiny_zip.read_bytes()[:-500])
    with pytest.raises(DataError, match="cfp.zip: a truncated or damaged zip .*download` fetches"):
        open_source(tiny_zip)


def test_a_damaged_member_is_named(tiny_zip: Path) -> None:
    content = bytearray(tiny_zip.read_bytes())
    with zipfile.ZipFile(tiny_zip) as whole:
        member = whole.getinfo("cfp-dataset/Data/Images/001/frontal/01.jpg")
    start = member.header_offset + 30 + len(member.filename)
    content[start : start + 20] = bytes(20)
    tiny_zip.write_bytes(content)
    with pytest.raises(DataError, match="member Data/Images/001/frontal/01.jpg is damaged"):
        ZipSource(tiny_zip).read("Data/Images/001/frontal/01.jpg")


def test_a_zip_of_something_else_says_what_is_expected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as out:
        out.writestr("readme.txt", "x")
    with pytest.raises(DataError, match="other.zip: not the CFP dataset; expected Data/Images"):
        open_source(tmp_path / "other.zip")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="notes.txt: not a zip archive; give the CFP zip or"):
        open_source(tmp_path / "notes.txt")


def test_a_folder_does_not_answer_for_what_is_outside_it(tmp_path: Path) -> None:
    folder = tiny_cfp.write(tmp_path / "tiny")
    (tmp_path / "secret.jpg").write_text("x")
    source = FolderSource(folder)
    assert source.has("Data/Images/001/frontal/01.jpg")
    assert not source.has("../secret.jpg") and not source.has(str(tmp_path / "secret.jpg"))


def test_zip_and_folder_stamp_alike(tiny_zip: Path) -> None:
    inside, outside = ZipSource(tiny_zip), FolderSource(tiny_zip.parent / "tiny")
    for name in ("Protocol/Pair_list_F.txt", "Data/Images/020/profile/01.jpg"):
        assert inside.stamp(name) == outside.stamp(name)
        assert inside.read(name) == outside.read(name)
