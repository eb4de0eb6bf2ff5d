"""What a worker without the driver's disk gets: the driver's weights, and images of the same size."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import SQUEEZE
from numpy.typing import NDArray

from facesiam.data.dataset import INDEX, FaceData, Fetch
from facesiam.data.fetched_files import local_data, local_weights


def fetching(files: dict[str, bytes], asked: list[str]) -> Fetch:
    """Hand out what the driver's machine has, and note what was asked for."""

    def fetch(path: Path) -> NDArray[np.uint8]:
        asked.append(str(path))
        return np.frombuffer(files[str(path)], np.uint8)

    return fetch


def test_images_that_this_machine_does_not_see_are_empty_ones_of_their_number(
    data: FaceData,
) -> None:
    unseen, asked = Path("/of/the/driver") / data.key, list[str]()
    index = str(unseen / INDEX)
    fetch = fetching({index: (data.folder / INDEX).read_bytes()}, asked)
    with local_data(str(unseen), SQUEEZE, fetch) as folder:
        blank = FaceData(Path(folder))
        assert blank.key == data.key and blank.names == data.names
        pixels = blank.pixels(SQUEEZE)
        assert pixels.shape == data.pixels(SQUEEZE).shape and not pixels.any()
    assert set(asked) == {index} and not Path(folder).exists()
    for known in (None, fetch):  # the driver's machine, and one that sees its folder
        with local_data(str(data.folder), SQUEEZE, known) as folder:
            assert folder == str(data.folder)


def test_weights_of_one_name_and_another_content_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path / "cache"))
    files, asked = {"/one/alexnet.pth": b"first", "/two/alexnet.pth": b"SECOND"}, []

    def bytes_of(path: str, **more: Any) -> bytes:
        found = local_weights({"alexnet": path}, fetching(files, asked), **more)["alexnet"]
        assert Path(found).suffix == ".pth"
        return Path(found).read_bytes()

    for path, content in [*files.items(), *files.items()]:
        assert bytes_of(path) == content
    assert len(list((tmp_path / "cache" / "weights").iterdir())) == 2  # a trial may still read one
    files["/one/alexnet.pth"] = b"third"  # as after the file was replaced, at the same path
    assert bytes_of("/one/alexnet.pth") == b"third"
    asked.clear()  # with the driver's digest nothing is sent that is there already
    digest = hashlib.sha256(b"third").hexdigest()
    assert bytes_of("/one/alexnet.pth", contents={"alexnet": digest}) == b"third" and not asked


def test_another_file_at_the_drivers_path_is_not_taken_for_the_drivers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker has its own site-packages at the driver's path, of another version."""
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path / "cache"))
    own, asked = tmp_path / "lite0.pth", list[str]()
    own.write_bytes(b"old")
    fetch = fetching({str(own): b"new"}, asked)
    contents = {"net": hashlib.sha256(b"new").hexdigest()}
    found = local_weights({"net": str(own)}, fetch, contents)["net"]
    assert Path(found).read_bytes() == b"new" and asked == [str(own)]
    own.write_bytes(b"new")  # a folder that both see
    assert local_weights({"net": str(own)}, fetch, contents) == {"net": str(own)}
    assert local_weights({"net": "/of/the/driver"}, None) == {"net": "/of/the/driver"}


def test_a_damaged_copy_in_the_cache_is_fetched_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACESIAM_CACHE", str(tmp_path / "cache"))
    fetch = fetching({"/one/a.pth": b"whole"}, [])
    contents = {"a": hashlib.sha256(b"whole").hexdigest()}
    copy = Path(local_weights({"a": "/one/a.pth"}, fetch)["a"])
    for known in (None, contents):
        copy.write_bytes(b"who")
        found = local_weights({"a": "/one/a.pth"}, fetch, known)["a"]
        assert Path(found) == copy and copy.read_bytes() == b"whole"
