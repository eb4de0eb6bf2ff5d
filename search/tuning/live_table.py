"""The live table of a running search on a terminal; elsewhere a line for each trial."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from facesiam.cli import say
from facesiam.errors import shown
from facesiam.objective import Objective
from search.resources.cost import human_seconds

ENDED = ("done", "stopped", "failed")


class LiveTable:
    """Counts the trials that run and that have ended, and shows them.

    Args:
        total: how many trials the search has; None: not known.
        objective: of the search.
        console: where they are shown.
    """

    def __init__(self, total: int | None, objective: Objective, console: Console) -> None:
        self.total, self.objective, self.console = total, objective, console
        self.metric = objective.metric
        self.counts = dict.fromkeys(ENDED, 0)
        self.running: dict[str, dict[str, Any]] = {}
        self.best: tuple[float, str] | None = None
        self.epoch_seconds: list[float] = []
        self.epochs_ended: list[int] = []
        self.began = time.monotonic()
        self.live: Live | None = None
        self.off = False
        """Whether the console could not be written, so that nothing more is shown."""

    def __enter__(self) -> LiveTable:
        self.began = time.monotonic()
        if self.console.is_terminal:
            self.live = Live(
                get_renderable=self.render,
                console=self.console,
                refresh_per_second=2,
                transient=True,
            )
            self._show(self.live.start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            self._show(self.live.stop)

    def started(self, name: str, epochs: int) -> None:
        """Enter a trial that starts."""
        self.running.setdefault(name, {"epochs": epochs, "last": None})

    def epoch(self, name: str, metrics: Mapping[str, float]) -> None:
        """Enter the metrics of an epoch."""
        self.running[name]["last"] = metrics
        self.epoch_seconds.append(metrics["seconds"])
        self._compare(name, metrics[self.metric])

    def ended(
        self,
        name: str,
        status: str,
        value: float | None,
        reason: str | None,
        earlier: bool = False,
    ) -> None:
        """Enter the end of a trial.

        Args:
            name: the trial.
            status: done, stopped or failed.
            value: its best score; None: it has none.
            reason: why it was stopped or failed.
            earlier: it ended in an earlier session, so it is counted and not shown.
        """
        known = self.running.pop(name, None)
        self.counts[status] += 1
        if value is not None:
            self._compare(name, value)
        if earlier:
            return
        last = known["last"] if known else None
        self.epochs_ended.append(int(last["epoch"]) + 1 if last else 0)
        if not self.live:
            best = f"best {self.metric} {_figure(value)}" if value is not None else "no score"
            why = f"  ({reason})" if reason else ""
            self.say(f"trial {name}  {status}  {best}{why}  {self._progress()}")

    def requeued(self, name: str, why: str) -> None:
        """Show that a trial goes back into the queue, and why."""
        self.running.pop(name, None)
        self.say(f"trial {name}  again  ({why})")

    def say(self, text: str) -> None:
        """Show a line beside the table."""
        console = self.live.console if self.live else self.console
        self._show(console.print, Text(shown(text)), soft_wrap=True)

    def render(self) -> Group:
        """Return the table as it stands."""
        table = Table(box=None, pad_edge=False)
        for head in ("trial", "epoch", self.metric, "train_loss", "val_loss", "s/epoch"):
            table.add_column(head, justify="left" if head == "trial" else "right")
        for name, known in sorted(self.running.items()):
            last = known["last"]
            if last is None:
                table.add_row(name, f"0/{known['epochs']}", "–", "–", "–", "–")
                continue
            table.add_row(
                name,
                f"{int(last['epoch']) + 1}/{known['epochs']}",
                *(_figure(last[key]) for key in (self.metric, "train_loss", "val_loss")),
                f"{last['seconds']:.1f}",
            )
        return Group(Text(self._progress()), table)

    def _compare(self, name: str, value: float) -> None:
        if self.objective.better(value, self.best[0] if self.best else None):
            self.best = (value, name)

    def _progress(self) -> str:
        ended = sum(self.counts.values())
        parts = [f"{ended} of {self.total if self.total is not None else '?'} ended"]
        parts += [f"{len(self.running)} running"]
        parts += [f"{count} {name}" for name, count in self.counts.items() if count]
        if self.best:
            parts.append(f"best {self.metric} {_figure(self.best[0])} ({self.best[1]})")
        left = self._seconds_left()
        if left:
            parts.append(f"about {human_seconds(left)} left")
        return " · ".join(parts)

    def _seconds_left(self) -> float | None:
        """Return the time left by the pace so far: epochs a trial needs, and epochs a second."""
        seconds = time.monotonic() - self.began
        if self.total is None or not self.epoch_seconds:
            return None
        remaining = sum(
            known["epochs"] - (int(known["last"]["epoch"]) + 1 if known["last"] else 0)
            for known in self.running.values()
        )
        planned = [known["epochs"] for known in self.running.values()]
        usual = self.epochs_ended or planned
        waiting = max(0, self.total - sum(self.counts.values()) - len(self.running))
        remaining += waiting * sum(usual) / max(1, len(usual))
        return float(remaining * seconds / len(self.epoch_seconds))

    def _show(self, show: Callable[..., None], *given: Any, **more: Any) -> None:
        """Show something; after the first failure show nothing more."""
        if self.off:
            return
        try:
            show(*given, **more)
        except (Exception, SystemExit) as error:  # rich raises the latter for a closed pipe
            self.off = True
            say(f"the search goes on, but can no longer be shown: {error}")


def _figure(value: float) -> str:
    """Return a score or a loss in few characters, so that its column stays narrow."""
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"
