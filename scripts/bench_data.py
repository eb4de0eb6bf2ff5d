"""Time and memory of a large set of faces: packed, opened, and gathered into batches.

    python scripts/bench_data.py --images 100000

A folder per person is written into a temporary folder: drawn faces at 112 pixels as JPEG,
repeated, each with a comment of its own, so that no two files are the same. Each measurement runs
in a process of its own, whose memory is read from /proc: what is its own (anonymous), and all that
it holds (resident), mapped files of the page cache with it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facesiam.config.settings import positive
from facesiam.config.trial import Packing

PACKING = Packing("squeeze", 112)
BATCHES = 100


def write(folder: Path, images: int, each: int) -> None:
    """Write so many images of people with `each` of them."""
    from PIL import Image

    from facesiam.data.dataset import cache_root
    from facesiam.data.synthetic import writer

    drawn = sorted(writer.draw(cache_root() / writer.folder_name()).rglob("*.jpg"))
    bases = []
    for file in drawn:
        stream = io.BytesIO()
        Image.open(file).resize((PACKING.side, PACKING.side)).save(stream, "JPEG", quality=90)
        bases.append(stream.getvalue())
    for number in range(images):
        person, at = divmod(number, each)
        if not at:
            (folder / f"person-{person:06}").mkdir(parents=True)
        comment = b"\xff\xfe" + (10).to_bytes(2) + number.to_bytes(8)
        base = bases[number % len(bases)]
        (folder / f"person-{person:06}" / f"{at:04}.jpg").write_bytes(
            base[:2] + comment + base[2:]
        )


def lists(folder: Path, cache: Path) -> dict[str, Any]:
    """Read the lists and, where that is not remembered, every file."""
    from facesiam.data.preparation import prepare

    return {"folder": str(prepare(str(folder), [], cache=cache, progress=False).folder)}


def pack(folder: Path, cache: Path) -> dict[str, Any]:
    """Pack; the lists are read again for it."""
    from facesiam.data.preparation import prepare

    prepare(str(folder), [PACKING], cache=cache, progress=False)
    return {}


def batches(_folder: Path, cache: Path) -> dict[str, Any]:
    """Open as a worker does, and gather batches of 256 images in random order."""
    import numpy as np
    import torch

    from facesiam.data.dataset import open_packed
    from facesiam.device.image_store import ImageStore

    (packed,) = cache.glob(f"*/{PACKING.file}")
    before = time.perf_counter()
    data = open_packed(packed.parent)
    store = ImageStore(data.pixels(PACKING), PACKING.side, torch.device("cpu"))
    opened = time.perf_counter() - before
    rng = np.random.default_rng(0)
    order = torch.from_numpy(rng.permutation(len(data.person))[: 256 * BATCHES])
    parts = torch.split(order, 256)
    before = time.perf_counter()
    for part in parts:
        store.batch(part)
    return {"opened": opened, "batch": (time.perf_counter() - before) / len(parts)}


STEPS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "lists": lists,
    "pack": pack,
    "start": pack,
    "batches": batches,
}


def serve(step: str, folder: Path, cache: Path) -> None:
    """Run a step in this process; print its figures as JSON."""
    most = {"RssAnon": 0, "VmRSS": 0}
    ended = threading.Event()

    def watch() -> None:
        while True:
            last = ended.wait(0.05)
            lines = Path("/proc/self/status").read_text().splitlines()
            now = {line.split(":")[0]: line.split()[1] for line in lines if "kB" in line}
            for name in most:
                most[name] = max(most[name], int(now[name]))
            if last:
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = time.perf_counter()
    found = STEPS[step](folder, cache)
    found["seconds"] = time.perf_counter() - before
    ended.set()
    watcher.join()
    print(json.dumps({**found, **{name: kb / 1024 for name, kb in most.items()}}))


def measured(step: str, folder: Path, cache: Path) -> dict[str, Any]:
    """Run a step in a process of its own; return its figures."""
    command = [sys.executable, __file__, "--step", step, str(folder), str(cache)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Read the command line, measure, print a line for each step."""
    if sys.argv[1:2] == ["--step"]:
        serve(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=positive, default=100_000)
    parser.add_argument("--each", type=positive, default=25, help="images a person")
    options = parser.parse_args()
    count = options.images
    with tempfile.TemporaryDirectory() as root:
        folder, cache = Path(root) / "faces", Path(root) / "cache"
        write(folder, count, options.each)
        found = {step: measured(step, folder, cache) for step in STEPS}
        size = sum(file.stat().st_size for file in cache.rglob(PACKING.file)) / 2**20
    seconds = {step: one["seconds"] for step, one in found.items()}
    import PIL

    print(
        f"{count:,} images of {-(-count // options.each):,} people, {os.cpu_count()} cores, "
        f"python {platform.python_version()}, pillow {PIL.__version__}; packed {size:,.0f} MiB"
    )
    rate = count / (seconds["pack"] - seconds["start"])
    print(f"lists and stamps, first   {seconds['lists']:.1f} s")
    print(f"packing                   {seconds['pack']:.1f} s; {rate:,.0f} images a second")
    print(f"start, all packed         {seconds['start']:.1f} s")
    print(f"opening, as a worker      {found['batches']['opened']:.2f} s")
    print(f"a batch of 256            {1000 * found['batches']['batch']:.1f} ms")
    for step in STEPS:
        print(
            f"memory of {step:<15} {found[step]['RssAnon']:,.0f} MiB of its own, "
            f"{found[step]['VmRSS']:,.0f} MiB resident"
        )


if __name__ == "__main__":
    main()
