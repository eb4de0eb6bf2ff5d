"""insightface's .bin: whatever wrote it, and nothing of it is run."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_cfp
import tiny_datasets
from builders import SQUEEZE
from PIL import Image

from facesiam.data.__main__ import main
from facesiam.data.formats import open_dataset
from facesiam.data.listing import content_key
from facesiam.data.preparation import prepare
from facesiam.data.stamps import stamps
from facesiam.errors import DataError
from search.cli.run_command import main as search

LABELS = [bool(n % 3) for n in range(12)]


def encoded(at: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (10 * at, 255 - 10 * at, 100)).save(file, kind)
    return file.getvalue()


IMAGES = [encoded(at) for at in range(24)]


def old_bytes(content: bytes) -> bytes:
    """Return how Python 2 pickles a str of more than 255 bytes or fewer."""
    if len(content) < 256:
        return b"U" + bytes([len(content)]) + content
    return b"T" + len(content).to_bytes(4, "little") + content


def python_2(images: list[bytes], labels: list[bool]) -> bytes:
    """Return what Python 2 would write, protocol 2: text and bytes are one there."""
    items = b"".join(map(old_bytes, images))
    bools = b"".join(b"\x88" if label else b"\x89" for label in labels)
    return b"\x80\x02](" + items + b"e](" + bools + b"e\x86."


WRITERS: dict[str, Callable[[], bytes]] = {
    **{f"protocol {n}": lambda n=n: pickle.dumps((IMAGES, LABELS), n) for n in range(6)},
    "Python 2": lambda: python_2(IMAGES, LABELS),
    "a list of two": lambda: pickle.dumps([IMAGES, tuple(LABELS)]),
    "arrays that OpenCV encoded": lambda: pickle.dumps(
        ([np.frombuffer(image, np.uint8) for image in IMAGES], np.array(LABELS))
    ),
    "columns that OpenCV 3 encoded": lambda: pickle.dumps(
        ([np.frombuffer(image, np.uint8)[:, None] for image in IMAGES], LABELS), 2
    ),
    "an array of objects": lambda: pickle.dumps((np.array(IMAGES, object), LABELS)),
    "NumPy's numbers": lambda: pickle.dumps((IMAGES, [np.int64(label) for label in LABELS])),
    "ones and zeros": lambda: pickle.dumps((IMAGES, [int(label) for label in LABELS]), 2),
}


def write(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("writer", WRITERS)
def test_the_pairs_are_the_same_whatever_wrote_it(writer: str, tmp_path: Path) -> None:
    opened = open_dataset(write(tmp_path / "x.bin", WRITERS[writer]()))
    listing = opened.read()
    assert (opened.name, opened.why) == ("bin", "a pickle of 24 images and 12 labels")
    assert listing.problems == [] and listing.names[:3] == ["01-left", "01-right", "02-left"]
    assert listing.pairs[:, 2:4].tolist() == np.arange(24).reshape(12, 2).tolist()
    assert (listing.pairs[:, 4] == 0).tolist() == LABELS
    # As KFold of 12 pairs does it, in order.
    assert listing.pairs[:, 1].tolist() == [1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert [opened.source.read(name) for name in listing.names] == IMAGES


def test_its_colours_are_red_green_and_blue(tmp_path: Path) -> None:
    file = write(tmp_path / "x.bin", pickle.dumps((IMAGES, LABELS)))
    data = prepare(str(file), [SQUEEZE], cache=tmp_path / "cache", progress=False)
    assert data.pixels(SQUEEZE)[3, 100, 100].tolist() == [30, 225, 100]


def test_the_same_bytes_in_several_pairs_are_one_image(tmp_path: Path) -> None:
    images = IMAGES.copy()
    images[5], images[8], images[11] = images[0], images[0], images[10]
    listing = open_dataset(write(tmp_path / "x.bin", pickle.dumps((images, LABELS)))).read()
    assert len(listing.names) == 22
    assert listing.pairs[[2, 4], 2:4].ravel()[[1, 2]].tolist() == [0, 0]
    left, right = listing.pairs[5, 2:4].tolist()
    assert left != right, "a pair of two copies stays one, and is told as such"
    with pytest.raises(DataError, match="pair 6: a pair of one person, but 06-left and 06-right"):
        prepare(str(tmp_path / "x.bin"), [], cache=tmp_path / "cache", progress=False)


def test_the_labels_are_part_of_its_key_and_the_file_name_is_not(tmp_path: Path) -> None:
    def key(name: str, labels: list[bool]) -> str:
        opened = open_dataset(write(tmp_path / name, pickle.dumps((IMAGES, labels))))
        listing = opened.read()
        return content_key(listing, stamps(opened.source, listing.files + listing.names))

    assert key("a.bin", LABELS) == key("b.bin", LABELS) != key("a.bin", LABELS[::-1])


class Call:
    """Would write a file if it were unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.file}",)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a call": (lambda f: (IMAGES, [Call(f)]), r"this one holds something else \(posix.system\)"),
    "a call of NumPy": (
        lambda f: np.load, r"something else \(numpy.load\); none of it was run$"
    ),
    "a dictionary": (
        lambda f: {"images": IMAGES}, r"something else \(the operation EMPTY_DICT\)"
    ),
    "a float": (lambda f: (IMAGES, [0.5] * 12), r"something else \(the operation BINFLOAT\)"),
    "three things": (lambda f: (IMAGES, LABELS, LABELS), "x.bin: an .* this one holds 3 things$"),
    "a number": (lambda f: 7, "this one holds one int$"),
    "texts": (
        lambda f: (["a.jpg"] * 24, LABELS),
        "x.bin: image 1 is str; expected an encoded one, a whole JPEG or PNG$",
    ),
    "pixels": (
        lambda f: ([np.zeros((8, 6, 3), np.uint8)] * 24, LABELS),
        r"image 1 is pixels of the shape \(8, 6, 3\), whose order of colours nothing says; exp",
    ),
    "an array of floats": (
        lambda f: ([np.zeros(9)] * 24, LABELS), "something else .a NumPy array of the type 'f8'"
    ),
    "a label of 2": (
        lambda f: (IMAGES, [2] * 12),
        "x.bin: label 1 is 2; expected true or false, or 1 or 0$",
    ),
    "too few labels": (
        lambda f: (IMAGES, LABELS[:10]),
        "x.bin: x.bin: has 24 images and 10 labels; there must be two images a label$",
    ),
    "too few pairs": (
        lambda f: (IMAGES[:8], LABELS[:4]), "has 4 pairs; its ten folds need a pair each$"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_anything_else_is_refused_in_one_sentence(fault: str, tmp_path: Path) -> None:
    what, said = REFUSED[fault]
    touched = tmp_path / "touched"
    file = write(tmp_path / "x.bin", pickle.dumps(what(touched)))
    with pytest.raises(DataError, match=said) as error:
        prepare(str(file), [], cache=tmp_path / "cache", progress=False)
    assert "\n" not in str(error.value) and not touched.exists()


BYTES = {
    "cut short": (pickle.dumps((IMAGES, LABELS))[:-200], "this one (is damaged|holds something)"),
    "a zip": (b"PK\x03\x04" + b"\0" * 60, "and this one is a zip archive$"),
    "empty": (b"", "and this one is an empty file$"),
    "room for 4 billion": (b"\x80\x02]r\xf0\xff\xff\xff.", "the number 4,294,967,280 for its op"),
    "an object built from a class": (b"\x80\x02cnumpy\ndtype\n)\x81.", "the operation NEWOBJ"),
    "code of another encoding": (
        b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0bz2\x86R.",
        "something else .text encoded as 'bz2'",
    ),
}


@pytest.mark.parametrize("fault", BYTES)
def test_what_is_no_such_pickle_is_refused_in_one_sentence(fault: str, tmp_path: Path) -> None:
    content, said = BYTES[fault]
    with pytest.raises(DataError, match=said) as error:
        open_dataset(write(tmp_path / "x.bin", content))
    assert "\n" not in str(error.value)


def test_no_search_starts_on_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "x.bin", pickle.dumps((IMAGES, LABELS)))
    (tmp_path / "space.yaml").write_text(
        f"data: {file}\nfixed: {{protocol: dataset-pairs}}\nsearch: {{lr: [1e-3, 1e-2]}}\n"
    )
    run = tmp_path / "run"
    assert search([str(tmp_path / "space.yaml"), "--name", "x", "--out", str(run)]) == 2
    err = capsys.readouterr().err
    assert "x.bin: an insightface .bin names no people, so no part could be kept apart" in err
    assert not run.exists()


def test_check_says_what_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfp = open_dataset(tiny_cfp.write(tmp_path / "cfp"))
    file = tiny_datasets.bin_file(cfp, tmp_path / "x.bin", cfp.read().pairs)
    assert main(["check", str(file)]) == 0
    out = capsys.readouterr().out
    assert "bin (a pickle of 120 images and 60 labels)" in out
    assert "people      not named" in out
    assert "  pairs       train 36 (24 same), val 12 (8 same), test 12 (8 same); 6 in each" in out
    assert "note        it names no people: it can be evaluated on, and not be trained on" in out


def test_another_image_that_comes_again_is_other_data(tmp_path: Path) -> None:
    files = [tmp_path / "one.bin", tmp_path / "other.bin"]
    for file, again in zip(files, (0, 2), strict=True):
        file.write_bytes(pickle.dumps(([*IMAGES[:-1], IMAGES[again]], LABELS)))
    one, other = (
        prepare(str(file), [], cache=tmp_path / "cache", progress=False) for file in files
    )
    assert one.key != other.key
    assert [data.official(0, 10).right.tolist() for data in (one, other)] == [[0], [2]]
