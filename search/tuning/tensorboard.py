"""TensorBoard's event files of a run."""

from __future__ import annotations

import math
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from facesiam import cli
from facesiam.config import Value
from facesiam.errors import reason


class TensorBoard:
    """Writes event files, a folder a trial; tags are the metrics' names, settings the hparams.

    Records are appended, as to the journal. tensorboardX's SummaryWriter, with two threads a trial
    and an fsync an epoch, took a fifth of the driver's time.

    Args:
        folder: folder of the files.
        say: shows a line where they cannot be written.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = cli.say) -> None:
        self.folder, self.say = folder, say
        # A file a session: TensorBoard reads nothing behind a record that a kill left torn.
        self.file = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}"
        self.open: set[str] = set()
        self.off = False
        """Whether a file could not be written, so that none is any more; the search goes on."""

    def epoch(self, name: str, metrics: Mapping[str, float]) -> None:
        """Write the metrics of one epoch."""
        self._open(name)
        shown = [
            summary.scalar(key, value)
            for key, value in metrics.items()
            if key not in ("epoch", "val_pairs") and not math.isnan(value)
        ]
        step, now = int(metrics["epoch"]), time.time()
        self._append(name, [Event(wall_time=now, step=step, summary=each) for each in shown])

    def ended(
        self, name: str, settings: Mapping[str, Value], value: float | None, metric: str
    ) -> None:
        """Write settings beside the best value, for the tab HPARAMS.

        Args:
            name: the trial.
            settings: those that can differ between trials: a column each.
            value: the best one; None: there is none.
            metric: its name.
        """
        if name in self.open and value is not None:
            key, now = f"best_{metric}", time.time()
            parts = [*summary.hparams(dict(settings), {key: value}), summary.scalar(key, value)]
            self._append(name, [Event(wall_time=now, summary=part) for part in parts])
        self.open.discard(name)

    def tested(self, figures: Sequence[Mapping[str, Any]]) -> None:
        """Write the figures of tests, the seed as the step.

        Args:
            figures: of each test, as in test.json; intervals are left out.
        """
        for test in figures:
            name, now = str(test["trial"]), time.time()
            self._open(name)
            parts = [
                summary.scalar(f"test_{test['protocol']}/{key}", float(figure["value"]))
                for key, figure in test.items()
                if isinstance(figure, Mapping) and "value" in figure
            ]
            step = int(test["seed"] or 0)
            self._append(name, [Event(wall_time=now, step=step, summary=part) for part in parts])

    def _open(self, name: str) -> None:
        """Begin a file, where that is not done."""
        if name not in self.open:
            self.open.add(name)
            self._append(name, [Event(wall_time=time.time(), file_version="brain.Event:2")])

    def _append(self, name: str, events: Iterable[Any]) -> None:
        if self.off:
            return
        try:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            with (self.folder / name / self.file).open("ab") as file:
                file.write(b"".join(record(event.SerializeToString()) for event in events))
        except OSError as error:
            self.off = True
            self.say(
                f"nothing more is written for TensorBoard: {error.filename or self.folder}: "
                f"{reason(error)}"
            )


def record(data: bytes) -> bytes:
    """Return data as a record of the TFRecord format: length and data, a checksum behind each."""
    length = struct.pack("<Q", len(data))
    parts = (length, masked_crc32c(length)), (data, masked_crc32c(data))
    return b"".join(part + struct.pack("<I", checksum) for part, checksum in parts)
