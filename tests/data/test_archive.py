"""Archives that must not be read, each refused with its reason."""

from __future__ import annotations

import os
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_cfp

from facesiam.data import zip_members
from facesiam.data.archive import FolderSource, ZipSource
from facesiam.data.formats import open_dataset
from facesiam.errors import DataError


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
    assert open_dataset(path).source.has("Protocol/Pair_list_F.txt")


def test_names_with_dots_that_stay_inside_are_fine(tiny_zip: Path) -> None:
    with zipfile.ZipFile(tiny_zip, "a") as out:
        out.writestr("cfp-dataset/notes..txt", "x")
        out.writestr("cfp-dataset/..hidden", "x")
    assert open_dataset(tiny_zip).source.has("..hidden")


def test_a_large_member_is_refused_by_name(tiny_zip: Path) -> None:
    with zipfile.ZipFile(tiny_zip, "a", zipfile.ZIP_DEFLATED) as out:
        out.writestr("cfp-dataset/Data/zeros.jpg", bytes(zip_members.MAX_MEMBER + 1))
    assert tiny_zip.stat().st_size < 10**6
    with pytest.raises(DataError, match="zeros.jpg' unpacks to 67,108,865 bytes; refused"):
        ZipSource(tiny_zip)


def test_many_members_together_are_refused(
    tiny_zip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tiny_zip) as whole:
        total = sum(member.file_size for member in whole.infolist())
    size = tiny_zip.stat().st_size
    assert total < size  # most of it is what a zip needs for an entry
    with zipfile.ZipFile(tiny_zip, "a", zipfile.ZIP_DEFLATED) as out:
        out.writestr("zeros", bytes(30 * size))
    total, size = total + 30 * size, tiny_zip.stat().st_size
    monkeypatch.setattr(zip_members, "MAX_TOTAL", total)
    ZipSource(tiny_zip)
    monkeypatch.setattr(zip_members, "MAX_TOTAL", total - 1)
    said = f"unpacks to {total:,} bytes, {total // size} times its size; .* beyond 20 times"
    with pytest.raises(DataError, match=said):
        ZipSource(tiny_zip)


def test_a_large_set_of_images_is_no_bomb(tiny_zip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_members, "MAX_TOTAL", 1)
    assert open_dataset(tiny_zip).source.has("Protocol/Pair_list_F.txt")


def test_no_more_is_unpacked_than_declared(tiny_zip: Path) -> None:
    with zipfile.ZipFile(tiny_zip, "a", zipfile.ZIP_DEFLATED) as out:
        out.writestr("cfp-dataset/lie", bytes(10**6))
    content = bytearray(tiny_zip.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # both headers' sizes
        at = content.rfind(signature, 0, content.rfind(b"cfp-dataset/lie"))
        at = content.rfind(signature) if signature == b"PK\x01\x02" else at
        struct.pack_into("<I", content, at + offset, 5)
    tiny_zip.write_bytes(content)
    source = open_dataset(tiny_zip).source
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
    with pytest.raises(DataError, match="cfp.zip: a truncated or damaged zip .*data download`"):
        open_dataset(tiny_zip)


def test_a_zip_of_an_unknown_version_is_damaged(tiny_zip: Path) -> None:
    content = bytearray(tiny_zip.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 99  # the version that is needed to extract it
    tiny_zip.write_bytes(content)
    with pytest.raises(DataError, match="cfp.zip: a truncated or damaged zip .zip file version"):
        open_dataset(tiny_zip)


def test_a_damaged_member_is_named(tiny_zip: Path) -> None:
    content = bytearray(tiny_zip.read_bytes())
    with zipfile.ZipFile(tiny_zip) as whole:
        member = whole.getinfo("cfp-dataset/Data/Images/001/frontal/01.jpg")
    start = member.header_offset + 30 + len(member.filename)
    content[start : start + 20] = bytes(20)
    tiny_zip.write_bytes(content)
    with pytest.raises(DataError, match="member Data/Images/001/frontal/01.jpg is damaged"):
        open_dataset(tiny_zip).source.read("Data/Images/001/frontal/01.jpg")


def test_a_zip_of_something_else_says_what_is_expected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as out:
        out.writestr("readme.txt", "x")
    with pytest.raises(
        DataError,
        match="other.zip: not a dataset; it holds no image .*, and 1 other file: 1 .txt ",
    ):
        open_dataset(tmp_path / "other.zip")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="notes.txt: not a zip archive; give a zip of a dataset"):
        open_dataset(tmp_path / "notes.txt")


def test_a_folder_does_not_answer_for_what_is_outside_it(tmp_path: Path) -> None:
    folder = tiny_cfp.write(tmp_path / "tiny")
    (tmp_path / "secret.jpg").write_text("x")
    source = FolderSource(folder)
    assert source.has("Data/Images/001/frontal/01.jpg")
    assert not source.has("../secret.jpg") and not source.has(str(tmp_path / "secret.jpg"))


def test_zip_and_folder_stamp_alike(tiny_zip: Path) -> None:
    inside, outside = (
        open_dataset(tiny_zip.parent / name).source for name in (tiny_zip.name, "tiny")
    )
    for name in ("Protocol/Pair_list_F.txt", "Data/Images/020/profile/01.jpg"):
        assert inside.stamp(name) == outside.stamp(name)
        assert inside.read(name) == outside.read(name)


@pytest.mark.parametrize(
    "write",
    [
        lambda name: f"cfp-dataset\\{name}".replace("/", "\\"),
        lambda name: f"./cfp-dataset/{name}",
        lambda name: f"a/b//c/./{name}",
        lambda name: f"CFP/{name.upper()}",
    ],
)
def test_archives_of_other_systems_are_the_same_data(
    tmp_path: Path, write: Callable[[str], str]
) -> None:
    folder = tiny_cfp.write(tmp_path / "tiny")
    plain = FolderSource(folder)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as out:
        for file in sorted(folder.rglob("*")):
            info = zipfile.ZipInfo("x")
            name = write(file.relative_to(folder).as_posix())
            if file.is_dir():
                name += "\\" if "\\" in name else "/"
            info.filename = info.orig_filename = name
            out.writestr(info, b"" if file.is_dir() else file.read_bytes())
    source = open_dataset(tmp_path / "other.zip").source
    for name in ("Protocol/Split/FF/01/same.txt", "Data/Images/020/profile/01.jpg"):
        assert source.read(name) == plain.read(name) and source.stamp(name) == plain.stamp(name)
    assert not source.has("Data/Images") and not source.has("Data/Images/020/profile/02.jpg")


def test_two_members_of_one_name_are_refused_unless_they_are_alike(tiny_zip: Path) -> None:
    name = "cfp-dataset/Protocol/Split/FF/01/same.txt"
    content = open_dataset(tiny_zip).source.read("Protocol/Split/FF/01/same.txt")
    with zipfile.ZipFile(tiny_zip, "a") as out, pytest.warns(UserWarning, match="Duplicate"):
        out.writestr(name, content)
    assert open_dataset(tiny_zip).source.read("Protocol/Split/FF/01/same.txt") == content
    with zipfile.ZipFile(tiny_zip, "a") as out:
        out.writestr(name.replace("/", "\\"), "1,1")
    with pytest.raises(DataError, match="same.txt' is in it twice, with different content"):
        ZipSource(tiny_zip)


def test_the_dataset_is_found_some_folders_down_and_the_nearest_counts(tmp_path: Path) -> None:
    for down in ("a", "a/b/c/d"):
        folder = tiny_cfp.write(tmp_path / down.replace("/", "-") / down)
        above = tmp_path / down.replace("/", "-")
        assert open_dataset(above).source.read(LIST) == (folder / LIST).read_bytes()
    with pytest.raises(
        DataError, match="deep: not a dataset; .* not its lists; expected Data/Images"
    ):
        tiny_cfp.write(tmp_path / "deep/a/b/c/d/e")
        open_dataset(tmp_path / "deep")
    near = tiny_cfp.write(tmp_path / "two/z")
    far = tiny_cfp.write(tmp_path / "two/a/b")
    (far / LIST).write_text("1 other\n")
    assert open_dataset(tmp_path / "two").source.read(LIST) == (near / LIST).read_bytes()


LIST = "Protocol/Pair_list_F.txt"


def test_a_folder_that_is_not_the_dataset_says_what_to_give(tiny_zip: Path) -> None:
    (tiny_zip.parent / "unzipped").mkdir()
    shutil.move(tiny_zip, tiny_zip.parent / "unzipped")
    with pytest.raises(DataError, match="unzipped: not a dataset; it holds cfp.zip: give that"):
        open_dataset(tiny_zip.parent / "unzipped")
    for part in ("Protocol", "Data", "Data/Images"):
        with pytest.raises(DataError, match=f"{part}: not a dataset; give .*tiny; it holds"):
            open_dataset(tiny_zip.parent / "tiny" / part)


def test_two_files_that_differ_in_case_alone_are_told_apart(tmp_path: Path) -> None:
    folder = tiny_cfp.write(tmp_path / "tiny")
    images = folder / "Data/Images/001/frontal"
    (images / "01.JPG").write_bytes(b"another")
    for path in (folder, tiny_cfp.zipped(folder, tmp_path / "x.zip")):
        source = open_dataset(path).source
        assert source.read("Data/Images/001/frontal/01.JPG") == b"another"
        assert source.read("Data/Images/001/frontal/01.jpg") != b"another"
        assert not source.has("Data/Images/001/frontal/01.Jpg")  # which of them?


def test_paths_that_are_no_data_get_a_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (Path("/dev/zero"), "/dev/zero: neither a folder nor a zip archive"),
        (tmp_path / "pipe", "pipe: neither a folder nor a zip archive"),
        (tmp_path / ("a" * 5000), "File name too long"),
        (tmp_path / "a\0b", "null byte"),
    ):
        with pytest.raises(DataError, match=said):
            open_dataset(path)


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    folder = tiny_cfp.write(tmp_path / "tiny")
    file = folder / "Data/Images/001/frontal/01.jpg"
    file.unlink()
    os.mkfifo(file)
    source = FolderSource(folder)
    assert not source.has("Data/Images/001/frontal/01.jpg")
    with pytest.raises(DataError, match="01.jpg: is a pipe or a device, not a file"):
        source.read("Data/Images/001/frontal/01.jpg")


def test_nothing_but_a_sentence_comes_of_any_damage_to_an_archive(tiny_zip: Path) -> None:
    """Bytes overwritten near the end and anywhere, and cuts; seed 0."""
    rng = random.Random(0)
    whole = tiny_zip.read_bytes()
    names = [LIST, "Data/Images/001/frontal/01.jpg", "Protocol/Split/FF/01/same.txt"]
    refused = 0
    for turn in range(300):
        content = bytearray(whole)
        low = rng.choice([0, len(whole) * 3 // 4, len(whole) - 200])
        for _ in range(rng.randint(1, 8)):
            content[rng.randrange(low, len(content))] = rng.randrange(256)
        if turn % 5 == 0:
            del content[rng.randrange(1, len(content)) :]
        tiny_zip.write_bytes(content)
        try:
            source = open_dataset(tiny_zip).source
            for name in filter(source.has, names):
                source.read(name)
        except DataError as error:
            assert str(error)
            refused += 1
    assert refused > 100
