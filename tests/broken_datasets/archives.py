"""A zip of a folder for each person, broken; and other archives."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import tiny_cfp
import tiny_datasets
from builders import unknown_compression

from .cases import Cases


def _zip(root: Path) -> Path:
    folder = tiny_datasets.folders(root / "faces")
    return tiny_cfp.zipped(folder, root / "faces.zip", "faces/")


ARCHIVES = Cases("zip", _zip)
"""Ten people of three images, and beside it the folder that it was made of."""


def add(archive: Path, name: str | zipfile.ZipInfo, content: bytes) -> None:
    """Add a member."""
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as out:
        out.writestr(name, content)


@ARCHIVES.none("not a dataset; it holds faces.zip: give that")
def the_folder_that_holds_only_the_zip_is_given(archive: Path) -> Path:
    (archive.parent / "download").mkdir()
    archive.rename(archive.parent / "download/faces.zip")
    return archive.parent / "download"


@ARCHIVES.none("not a dataset; it holds faces.zip: unpack that and give its folder")
def a_zip_within_the_zip(archive: Path) -> Path:
    with zipfile.ZipFile(archive.parent / "outer.zip", "w") as out:
        out.write(archive, "faces.zip")
    return archive.parent / "outer.zip"


@ARCHIVES.none(
    "a truncated or damaged zip (File is not a zip file); fetch it again, CFP with `python -m "
    "facesiam.data download`",
)
def half_a_download(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:1500])


@ARCHIVES.none("a page of HTML or XML, not a zip archive; give a zip of a dataset, or its folder")
def a_web_page_saved_as_zip(archive: Path) -> None:
    tiny_cfp.text(archive, ["<!DOCTYPE html>", "<title>Sign in</title>"])


@ARCHIVES.none("an empty file, not a zip archive; give a zip of a dataset, or its folder")
def an_empty_file(archive: Path) -> None:
    archive.write_bytes(b"")


@ARCHIVES.none("not a dataset; it is empty; {formats}")
def a_zip_of_nothing(archive: Path) -> None:
    zipfile.ZipFile(archive, "w").close()


@ARCHIVES.none("a RAR archive, not a zip archive; give a zip of a dataset, or its folder")
def a_rar(archive: Path) -> Path:
    rar = archive.with_suffix(".rar")
    rar.write_bytes(b"Rar!\x1a\x07\x01\0" + bytes(100))
    return rar


@ARCHIVES.none(
    "a gzip file, such as a .tar.gz, not a zip archive; give a zip of a dataset, or its folder",
)
def a_tar(archive: Path) -> Path:
    tar = archive.with_name("faces.tar.gz")
    with tarfile.open(tar, "w:gz") as out:
        out.add(archive.parent / "faces", "faces")
    return tar


@ARCHIVES.none("a 7z archive, not a zip archive; give a zip of a dataset, or its folder")
def a_7z(archive: Path) -> Path:
    other = archive.with_suffix(".7z")
    other.write_bytes(b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(100))
    return other


@ARCHIVES.none(
    "member 'faces/p00/1.png' is encrypted; unpack the archive with its password and give the "
    "folder",
)
def a_password(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flags of the first member
        content[content.index(mark) + at] |= 1
    archive.write_bytes(content)


@ARCHIVES.none("member 'faces/p00/1.png' is neither stored nor deflated; refused")
def a_compression_of_another_program(archive: Path) -> None:
    archive.write_bytes(unknown_compression(archive.read_bytes()))


@ARCHIVES.none("member '../../.bashrc' would land outside its folder; refused")
def a_member_that_leaves_the_folder(archive: Path) -> None:
    add(archive, "../../.bashrc", b"alias ls=rm")


@ARCHIVES.none("member 'faces/p00\\\\1.png' is in it twice, with different content; refused")
def two_members_of_one_name(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as out:
        member = zipfile.ZipInfo("faces/p00\\1.png")
        out.writestr(member, b"other")


@ARCHIVES.flawed("p00/9.png: is a link to /etc/passwd in the zip; zip what it leads to")
def a_link_in_the_zip(archive: Path) -> None:
    link = zipfile.ZipInfo("faces/p00/9.png")
    link.external_attr = 0o120777 << 16
    add(archive, link, b"/etc/passwd")


@ARCHIVES.none("member 'faces/p00/9.png' unpacks to 67,108,865 bytes; refused above 67,108,864")
def a_bomb(archive: Path) -> None:
    add(archive, "faces/p00/9.png", bytes(2**26 + 1))


@ARCHIVES.flawed("{given}: member p00/2.png is damaged (Bad CRC-32 for file 'faces/p00/2.png')")
def a_damaged_member(archive: Path) -> None:
    with zipfile.ZipFile(archive) as whole:
        member = whole.getinfo("faces/p00/2.png")
    content = bytearray(archive.read_bytes())
    content[member.header_offset + 30 + len(member.filename) + 10] ^= 255
    archive.write_bytes(content)


@ARCHIVES.none("a spreadsheet; save it as CSV and give that")
def a_spreadsheet_is_given(archive: Path) -> Path:
    table = archive.with_suffix(".xlsx")
    with zipfile.ZipFile(table, "w") as out:
        for name in ("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"):
            out.writestr(name, "<xml/>")
    return table
