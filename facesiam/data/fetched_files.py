"""The driver's data and weights, copied to a worker that has no access to the driver's disk."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from facesiam.config.trial import Packing
from facesiam.data import cache_files
from facesiam.data.dataset import INDEX, Fetch, cache_root, open_packed
from facesiam.files import digest


@contextmanager
def local_data(data: str, packing: Packing, fetch: Fetch | None) -> Iterator[str]:
    """Yield a packed folder that this machine sees: the driver's, or one of empty images.

    Args:
        data: the driver's packed folder.
        packing: of the images that are wanted.
        fetch: brings a file's bytes, (n,) uint8, from the driver; None: this is its machine.
    """
    if fetch is None or (Path(data) / INDEX).exists():
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="siamsearch-") as folder:
        blank = Path(folder) / Path(data).name
        blank.mkdir()
        (blank / INDEX).write_bytes(fetch(Path(data) / INDEX).tobytes())
        shape = (len(open_packed(data, fetch).person), packing.side, packing.side, 3)
        file = blank / packing.file
        np.lib.format.open_memmap(file, "w+", np.uint8, shape)  # sparse: it takes no room
        yield str(blank)


def local_weights(
    weights: Mapping[str, str], fetch: Fetch | None, contents: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return files of pretrained weights that this machine sees, with the driver's content.

    A machine may have another file under the driver's path, or one of that name from an earlier
    run; so files are compared by content, and their names in the cache contain its hash.

    Args:
        weights: the driver's file by net.
        fetch: brings a file's bytes, (n,) uint8, from the driver; None: this is its machine.
        contents: SHA-256 of the driver's file by net, as far as known.
    """
    if fetch is None:
        return dict(weights)
    found = {}
    for net, path in weights.items():
        file, wanted = Path(path), (contents or {}).get(net)
        if not file.exists() or (wanted and digest(file) != wanted):
            file = _cached(file, wanted, fetch)
        found[net] = str(file)
    return found


def _cached(path: Path, wanted: str | None, fetch: Fetch) -> Path:
    """Return the copy of the driver's file in this machine's cache; fetch it if need be."""

    def place(content: str) -> Path:
        return cache_root() / "weights" / f"{path.stem}-{content[:16]}{path.suffix}"

    if wanted and place(wanted).exists() and digest(place(wanted)) == wanted:
        return place(wanted)
    fetched = fetch(path).tobytes()
    content = hashlib.sha256(fetched).hexdigest()
    if not place(content).exists() or digest(place(content)) != content:
        with cache_files.writing(place(content)) as (partial,):
            partial.write_bytes(fetched)
    return place(content)
