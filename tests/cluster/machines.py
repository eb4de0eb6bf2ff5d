"""The machines on which soak.py and the tests of a cluster run: a head and two workers."""

from __future__ import annotations

import os
from pathlib import Path

from builders import LETTERBOX, ROOT, SQUEEZE
from nodes import Cluster, Node, s3_server

from facesiam.data.preparation import prepare
from facesiam.data.synthetic.writer import draw


class Machines:
    """A head, an S3 server where asked for, and two workers that see neither code nor data.

    Args:
        folder: for everything; `own` in it is seen by the head and its drivers alone.
        cores: of each worker.
        s3: whether there is a server.
        faces: a folder in the CFP layout, packed into ``cache`` beside it; None: drawn here.
    """

    def __init__(
        self, folder: Path, cores: int = 1, s3: bool = False, faces: Path | None = None
    ) -> None:
        self.folder, self.cores, self.s3 = folder, cores, s3
        self.faces = faces or draw(
            folder / "drawn", people=20, frontal=6, profile=2, seed=3, progress=False
        )
        self.cache, self.own = self.faces.parent / "cache", folder / "own"
        prepare(str(self.faces), [SQUEEZE, LETTERBOX], cache=self.cache, progress=False)
        self.own.mkdir()
        hidden = [ROOT / "search", ROOT / "facesiam", self.cache, self.own]
        self.cluster = Cluster(folder / "nodes", hidden=hidden)
        # Its machines have homes of their own, so no token; the driver may have one.
        self.environment = os.environ | {
            "FACESIAM_CACHE": str(self.cache),
            "RAY_AUTH_MODE": "disabled",
        }
        self.extra: dict[str, str] = {}
        self.url = ""
        self.workers: list[Node] = []

    def __enter__(self) -> Machines:
        self.cluster.__enter__()
        try:
            self.cluster.head()
            if self.s3:
                self.url, self.extra = s3_server(self.cluster, self.folder)
                self.environment |= self.extra
            for _ in range(2):
                self.workers.append(self.machine())
            self.cluster.wait_for(3, 200)
        except BaseException:
            self.cluster.close()
            raise
        return self

    def __exit__(self, *of_an_error: object) -> None:
        self.cluster.__exit__(*of_an_error)

    def machine(self, cores: int | None = None) -> Node:
        """Start one more."""
        return self.cluster.worker(cpus=cores or self.cores, env=self.extra or None)
