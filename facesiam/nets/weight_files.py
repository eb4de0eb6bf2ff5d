"""Reading files of tensors, of torch or safetensors, without running code.

A torch file is a zip with a checksum of each part, which torch writes but does not check when it
reads; here a flipped bit is an error. A safetensors file is JSON followed by raw values.
"""

from __future__ import annotations

import json
import math
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from facesiam import files
from facesiam.errors import FileError, WeightsError, first_line

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The types of a safetensors file's values."""
MOST_HEADER = 100_000_000
"""Largest safetensors header in bytes, as in its own library."""
_TEXTS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself; fetch that with: git "
    "lfs pull",
    b"<!doctype": "a web page, not weights: the download gave an error or a form",
    b"<html": "a web page, not weights: the download gave an error or a form",
    b"<?xml": "a web page, not weights: the download gave an error or a form",
    b"\x89hdf": "an HDF5 file, as of Keras; weights of torch are needed",
}
"""The beginnings, in lower case, of files that are something else."""


def read_weights(path: Path) -> Any:
    """Read tensors and plain values from a torch or safetensors file, never code.

    Raises:
        WeightsError: no such file, no file of tensors, a damaged one, or one that would run code
            when it is read.
    """
    start = _beginning(path)
    try:
        if _is_safetensors(start):
            return _read_safetensors(path)
        if start.startswith(b"PK"):
            _check_sums(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on pickles that are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path}: {_refusal(str(error), start)}") from None
    except Exception as error:  # what a broken file makes the unpickler raise is not bounded
        if not _is_pickled(start):
            raise WeightsError(f"{path}: not a torch weights file") from None
        raise WeightsError(
            f"{path}: cannot be read as torch weights ({first_line(error)})"
        ) from None


def _beginning(path: Path) -> bytes:
    """Return a file's first bytes; refuse what cannot be a file of weights."""
    try:
        if not files.is_file(path):
            what = "not a file" if files.exists(path) else "no such weights file"
            what = "a folder; give a file of weights in it" if files.is_dir(path) else what
            raise WeightsError(f"{path}: {what}")
        with path.open("rb") as file:
            start = file.read(64)
    except FileError as error:
        raise WeightsError(str(error)) from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None
    if not start:
        raise WeightsError(f"{path}: not a torch weights file, it is empty")
    for text, what in _TEXTS.items():
        if start.lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(text):
            raise WeightsError(f"{path}: {what}")
    return start


def _is_pickled(start: bytes) -> bool:
    """Return whether a file begins as torch's zip or as a bare pickle."""
    return start.startswith((b"PK", pickle.PROTO))


def _refusal(said: str, start: bytes) -> str:
    """Return why a pickle was refused: what it contains besides tensors, or that it is none."""
    if not _is_pickled(start) or not re.search("unsupported|global|not allowed", said, re.I):
        return "not a torch weights file"
    held = re.search(r"GLOBAL ([\w.]+)", said)
    what = f" ({held[1]})" if held else ""
    return (
        f"refused, it holds code or objects besides tensors{what}, which would run when it is "
        "read; save a plain state_dict: torch.save(net.state_dict(), file)"
    )


def _check_sums(path: Path) -> None:
    """Refuse a zip in which the content of a part differs from its checksum.

    Raises:
        WeightsError: names the part, or the file is truncated.
    """
    try:
        with zipfile.ZipFile(path) as parts:
            summed = any(part.CRC for part in parts.infolist())  # torch can be told to write none
            damaged = parts.testzip() if summed else None
    except files.DAMAGED as error:
        raise WeightsError(
            f"{path}: cannot be read as torch weights, it is cut short or damaged: half a "
            f"download? ({first_line(error)})"
        ) from None
    if damaged:
        raise WeightsError(f"{path}: damaged: {damaged} does not match its checksum")


def _is_safetensors(start: bytes) -> bool:
    if start[8:9] != b"{":
        return False
    # A header's length may begin as a zip or a pickle does, but never is as large as they are.
    return int.from_bytes(start[:8], "little") < 2**40 or not _is_pickled(start)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file: 8 bytes of length, JSON, values end to end.

    Raises:
        WeightsError: its header is wrong.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        if length > min(size - 8, MOST_HEADER):
            raise WeightsError(f"{path}: no safetensors file, or one that is cut short")
        try:
            header = json.loads(file.read(length), object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise WeightsError(
                f"{path}: no safetensors file: its header is not JSON ({first_line(error)})"
            ) from None
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        places = [(_place(path, name, entry), name) for name, entry in entries.items()]
        at, found = 0, {}
        for (begin, end, dtype, shape), name in sorted(places, key=lambda place: place[0][:2]):
            if begin != at:
                raise WeightsError(
                    f"{path}: damaged: the values of {name} begin at {begin}, not "
                    f"at {at}, where those before it end"
                )
            at = end
            if end > size - 8 - length:
                raise WeightsError(f"{path}: cut short: the values of {name} are not all there")
            found[name] = _values(file, end - begin, dtype).reshape(shape)
    if at != size - 8 - length:
        raise WeightsError(f"{path}: damaged: {size - 8 - length - at} bytes after its values")
    return {name: found[name] for name in entries}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; refuse one with a repeated name."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is given twice")
    return found


def _place(path: Path, name: str, entry: Any) -> tuple[int, int, torch.dtype, list[int]]:
    """Return where a tensor's bytes begin and end, its type and shape, as the header has them."""
    entry = entry if isinstance(entry, Mapping) else {}
    offsets, shape, kind = (entry.get(key) for key in ("data_offsets", "shape", "dtype"))
    dtype = DTYPES.get(kind) if isinstance(kind, str) else None
    if dtype is None or not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise WeightsError(f"{path}: damaged, or of a kind that is not read: {name} is {entry}")
    begin, end = offsets
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise WeightsError(f"{path}: damaged: {name} of shape {shape} has {end - begin} bytes")
    return begin, end, dtype, shape


def _counts(numbers: Any) -> bool:
    """Return whether this is a list of whole numbers that can count bytes or values."""
    of_ints = isinstance(numbers, list) and all(type(n) is int for n in numbers)
    return of_ints and all(0 <= n < 2**48 for n in numbers) and math.prod(numbers) < 2**60


def _values(file: BinaryIO, length: int, dtype: torch.dtype) -> Tensor:
    if not length:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(bytearray(file.read(length)), dtype=dtype)


def check_finite(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse the weights of a trained net that predicts nothing.

    Args:
        path: of the weights, for the error.
        tensors: the weights.

    Raises:
        WeightsError: one holds NaN or infinity.
    """
    if name := not_finite(tensors):
        raise WeightsError(
            f"{path}: {name} holds NaN or infinity, as of a trial that diverged; such a net "
            "predicts nothing"
        )


def not_finite(tensors: Mapping[str, Tensor]) -> str:
    """Return the name of the first tensor that holds NaN or infinity, or ''."""
    return next(
        (
            name
            for name, value in tensors.items()
            if value.is_floating_point() and not bool(torch.isfinite(value).all())
        ),
        "",
    )
