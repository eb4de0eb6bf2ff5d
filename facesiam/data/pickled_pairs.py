"""An insightface .bin: a pickle of encoded images and labels, read without running any of it.

A pickle may name any function and have it called. Here its operations are compared with those
that lists, numbers, bytes and NumPy arrays need before the first is carried out, and the names of
NumPy stand for plain functions of this module. Everything else is refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesiam import files
from facesiam.data.file_kinds import ENOUGH, kind_of
from facesiam.errors import DataError, FileError

LABELS = "labels"
"""Path of the labels in the source: a line each, 1 for the same person and 0 for two, and the
CRC-32 of the two images, by which an image that comes again is known."""
_WHAT = "an insightface .bin is a pickle of a list of images and a list of labels"
_OPERATIONS = (
    "PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 "
    "STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE "
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8 EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE "
    "TUPLE1 TUPLE2 TUPLE3 PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET MEMOIZE GLOBAL "
    "STACK_GLOBAL REDUCE BUILD"
)
_KEEPS = ("PUT", "BINPUT", "LONG_BINPUT")


class _Dtype:
    """Stands for ``numpy.dtype``: a type of whole numbers, of bools, or of objects."""

    def __init__(self, name: object, *_: object) -> None:
        text = name.decode("ascii") if isinstance(name, bytes) else str(name)
        self.name, self.order = text.lstrip("|<>="), ""
        if self.name not in ("b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "O4", "O8"):
            raise ValueError(f"a NumPy array of the type {text[:20]!r}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else str(state[1])
        self.order = order if order in ("<", ">") else ""

    def array(self, raw: Any, shape: Any) -> NDArray[Any] | list[Any]:
        """Return an array of these bytes; of objects the list of them."""
        if self.name[0] == "O":
            return list(raw)
        content = raw.encode("latin-1") if isinstance(raw, str) else bytes(raw)
        return np.frombuffer(content, np.dtype(self.order + self.name)).reshape(shape)


class _Array:
    """Stands for an array whose content the pickle tells after it was made."""

    value: NDArray[Any] | list[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, _, raw = state
        self.value = dtype.array(raw, shape)


def _encoded(text: str, code: str) -> bytes:
    """Stand for ``_codecs.encode``, as which old pickles of Python 3 write bytes."""
    if code not in ("latin1", "latin-1"):
        raise ValueError(f"text encoded as {code[:20]!r}")
    return text.encode("latin-1")


_NAMES: dict[str, Any] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "multiarray._reconstruct": lambda *_: _Array(),
    "multiarray.scalar": lambda dtype, raw: dtype.array(raw, (1,))[0],
    "numeric._frombuffer": lambda raw, dtype, shape, _: dtype.array(raw, shape),
    "_codecs.encode": _encoded,
    "builtins.bytes": lambda: b"",
    "__builtin__.bytes": lambda: b"",
}
"""What a pickle's names stand for; ``numpy.core.`` and ``numpy._core.`` are left out of them."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what a name stands for here.

        Raises:
            ValueError: nothing.
        """
        short = module.removeprefix("numpy.core.").removeprefix("numpy._core.")
        if f"{short}.{name}" not in _NAMES:
            raise ValueError(f"{module}.{name}")
        return _NAMES[f"{short}.{name}"]


class BinSource:
    """The images of an insightface .bin, by the number of their pair: ``0001-left``.

    Raises:
        DataError: it cannot be read, or is no pickle of a list of images and a list of labels.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            content = files.read_bytes(path)
        except FileError as error:
            raise DataError(str(error)) from None
        images, labels = _lists(path, content)
        self.labels = [_label(path, at, label) for at, label in enumerate(labels)]
        """Whether the two images of each pair are of one person."""
        encoded = [_image(path, at, image) for at, image in enumerate(images)]
        digits = len(str(len(encoded) // 2))
        self.images = [
            f"{at // 2 + 1:0{digits}}-{'right' if at % 2 else 'left'}"
            for at in range(len(encoded))
        ]
        """Path of each image in the source, in order."""
        ends = [zlib.crc32(image) for image in encoded]
        said = "".join(
            f"{int(label)} {ends[2 * at]:08x} {ends[2 * at + 1]:08x}\n"
            for at, label in enumerate(self.labels[: len(ends) // 2])
        )
        self._files = dict(zip(self.images, encoded, strict=True)) | {LABELS: said.encode()}

    def enter(self, root: str) -> BinSource:
        """Return the same source: it has no folders."""
        return self

    def names(self) -> list[str]:
        """Return the path of every image, and of the labels, in order."""
        return sorted(self._files)

    def folders(self) -> list[str]:
        """Return nothing: it has no folders."""
        return []

    def links(self) -> dict[str, str]:
        """Return nothing: it has no links."""
        return {}

    def has(self, name: str) -> bool:
        """Whether there is a file of this path."""
        return name in self._files

    def place(self, name: str) -> str:
        """Return the path as it is."""
        return name

    def stamp(self, name: str) -> tuple[int, int]:
        """Return size in bytes and CRC-32."""
        return len(self._files[name]), zlib.crc32(self._files[name])

    def read(self, name: str) -> bytes:
        """Return an encoded image, or the labels."""
        return self._files[name]


def _lists(path: Path, content: bytes) -> tuple[list[Any], list[Any]]:
    if kind := kind_of(content[:ENOUGH]):
        raise DataError(f"{path}: {_WHAT}, and this one is {kind}")
    try:
        _check_operations(content)
        # Text of Python 2 is bytes.
        found = _plain(_Unpickler(io.BytesIO(content), encoding="bytes").load())
    except pickle.UnpicklingError as error:
        raise DataError(f"{path}: {_WHAT}, and this one is damaged ({error})") from None
    except (*files.DAMAGED, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path}: {_WHAT}, and this one holds something else ({error}); none of it was run"
        ) from None
    parts = [_plain(part) for part in found] if isinstance(found, list | tuple) else []
    if len(parts) != 2 or not all(isinstance(part, list | tuple | np.ndarray) for part in parts):
        held = f"{len(parts)} things" if parts else f"one {type(found).__name__}"
        raise DataError(f"{path}: {_WHAT}, and this one holds {held}")
    images, labels = map(list, parts)
    return images, labels


def _check_operations(content: bytes) -> None:
    """Refuse a pickle with an operation that lists of images and labels do not need.

    Raises:
        ValueError: it has one.
        UnpicklingError: it is cut short.
    """
    allowed = set(_OPERATIONS.split())
    for count, (operation, argument) in enumerate(_operations(content)):
        if operation.name not in allowed:
            raise ValueError(f"the operation {operation.name}")
        # The unpickler would make room for every number below it.
        if operation.name in _KEEPS and isinstance(argument, int) and argument > count:
            raise ValueError(f"the number {argument:,} for its operation {count:,}")


def _operations(content: bytes) -> Iterator[tuple[pickletools.OpcodeInfo, Any]]:
    """Yield each operation of a pickle with its argument.

    Raises:
        UnpicklingError: it is cut short.
    """
    try:
        for operation, argument, _ in pickletools.genops(content):
            yield operation, argument
    except ValueError as error:
        raise pickle.UnpicklingError(str(error)) from None


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, _Array) else value


def _image(path: Path, at: int, image: Any) -> bytes:
    """Return the bytes of an encoded image: bytes, or an array of them as OpenCV encodes to."""
    image = _plain(image)
    if (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.size == max(image.shape)
    ):
        return image.tobytes()
    if isinstance(image, bytes | bytearray):
        return bytes(image)
    what = type(image).__name__
    if isinstance(image, np.ndarray):
        what = f"pixels of the shape {image.shape}, whose order of colours nothing says"
    raise DataError(
        f"{path}: image {at + 1:,} is {what}; expected an encoded one, a whole JPEG or PNG"
    )


def _label(path: Path, at: int, label: Any) -> bool:
    if isinstance(label, bool | int | np.bool_ | np.integer) and int(label) in (0, 1):
        return bool(label)
    said = label if isinstance(label, int | np.integer) else type(label).__name__
    raise DataError(f"{path}: label {at + 1:,} is {said}; expected true or false, or 1 or 0")
