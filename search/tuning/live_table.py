"""What a running search shows: a live table on a terminal, elsewhere lines.

The table has the trials that run, the best so far and the last that ended. Where a terminal cannot
redraw lines (TERM=dumb), or is asked for plain text (NO_COLOR), or is none (a pipe, a file), each
trial that ends is a line, and in between, as a trial may take hours, one a minute says how far the
search is, where that has changed. A notebook has a view of its own (search.api.notebook).
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from facesiam.cli import say
from facesiam.cli.terminal import can_redraw
from facesiam.errors import shown
from facesiam.objective import Objective
from search.tuning.progress import NOTHING, SearchProgress

OTHER_LINES = 18
"""Lines of the table besides the trials that run, and of the shell's prompt."""
WIDE = 110
"""Columns of a terminal in which the losses have room beside the settings."""
FIGURES = 40
"""Columns of a narrow table that its figures take."""
LINE_SECONDS = 60.0
"""Least time between two lines without a table, but those of trials that end."""


class View(Protocol):
    """What keeps a table in sight while it changes."""

    def start(self) -> None:
        """Show it from now on."""

    def stop(self) -> None:
        """Show it no more."""


class LiveTable(SearchProgress):
    """Counts the trials that run and that have ended, and shows them.

    Args:
        total: how many trials the search has; None: not known.
        objective: of the search.
        console: where they are shown.
        varied: names of the settings that can differ between trials, which are shown.
        minutes: after which the search halts; 0: never.
        clock: returns the time in seconds.
        view: keeps the table in sight where that is no terminal, as in a notebook; None: there a
            line for each trial is shown.
    """

    def __init__(
        self,
        total: int | None,
        objective: Objective,
        console: Console,
        varied: Sequence[str] = (),
        minutes: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        view: Callable[[Callable[[], Group]], View] | None = None,
    ) -> None:
        super().__init__(total, objective, varied, minutes, clock)
        self.console, self.view = console, view
        self.live: Any = None
        """Keeps the table in sight: rich's Live on a terminal, or a View."""
        self.off = False
        """Whether the console could not be written, so that nothing more is shown."""
        self.news = False
        """Whether a trial has begun, gone on or been queued again since the last line."""
        self.last_line = self.began
        """Time of the last line that said how far the search is."""

    def __enter__(self) -> LiveTable:
        self.began = self.last_line = self.clock()
        if self.view:
            self.live = self.view(self.render)
            self._show(self.live.start)
        elif can_redraw(self.console):
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

    def started(
        self, name: str, epochs: int, settings: Mapping[str, Any] | None = None, done: int = 0
    ) -> None:
        """Enter a trial that starts.

        Args:
            name: the trial.
            epochs: that it would run.
            settings: of the trial.
            done: epochs that it has from an earlier start.
        """
        self.start(name, epochs, settings, done)
        self.news = True

    def epoch(self, name: str, metrics: Mapping[str, float]) -> None:
        """Enter the metrics of an epoch."""
        self.enter_epoch(name, metrics)
        self.news = True

    def ended(self, name: str, status: str, value: float | None, reason: str | None) -> None:
        """Enter the end of a trial.

        Args:
            name: the trial.
            status: done, stopped or failed.
            value: its best score; None: it has none.
            reason: why it was stopped or failed.
        """
        end = self.end(name, status, value, reason)
        self.ends.appendleft(end)
        if not self.live:
            self._say_standing(self.line(end))

    def requeued(self, name: str, why: str) -> None:
        """Show that a trial goes back into the queue, and why."""
        self.requeue(name)
        self.news = True
        self.say(f"trial {name}: again, {why}")

    def look(self) -> None:
        """Say how far the search is where there is no table, it has news, and a line is due.

        It is called all the time: an epoch that came soon after a line is told once one is due,
        not with the next epoch, which may be hours later.
        """
        if self.news and not self.live and self.clock() - self.last_line >= LINE_SECONDS:
            self._say_standing(self.standing())

    def _say_standing(self, text: str) -> None:
        """Show a line that says how far the search is, too."""
        self.news, self.last_line = False, self.clock()
        self.say(text)

    def say(self, text: str) -> None:
        """Show a line beside the table."""
        self._show(self.console.print, Text(shown(text)), soft_wrap=True)

    def render(self) -> Group:
        """Return the table as it stands."""
        losses = ("train_loss", "val_loss") if self.console.width >= WIDE else ()
        accuracy = self.metric + self.objective.unit.replace(" ", ", ")
        room = self.console.width - 3  # a terminal echoes ^C where the last line ends
        table = Table(
            box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", width=room
        )
        table.add_column("running", no_wrap=True)
        for head in ("epoch", accuracy, *losses, "s/epoch"):
            table.add_column(head, justify="right", no_wrap=True)
        table.add_column("settings" if self.varied else "", ratio=1)
        rest = [""] * (len(losses) + 1)
        for row in self._running(losses):
            table.add_row(*row)
        for title, rows in (("best", self._best(rest)), ("ended", self._ended(rest))):
            if rows:
                table.add_row()
                table.add_row(Text(title, "bold"))
            for row in rows:
                table.add_row(*row)
        return Group(*(Text(line) for line in self.lines()), "", table)

    def _running(self, losses: Sequence[str]) -> list[list[Text]]:
        """Return the cells of the trials that run, as many as the terminal has lines for."""
        rows = []
        most = max(2, self.console.height - OTHER_LINES)
        for name, known in sorted(self.running.items())[:most]:
            last = known["last"]
            figures = [NOTHING] * (2 + len(losses))
            if last:
                figures = [self.objective.shown(last[self.metric])]
                figures += [_loss(last[key]) for key in losses]
                figures += [f"{last['seconds']:.1f}"]
            epochs = f"{known['done']}/{known['epochs']}"
            rows.append([*map(Text, (name, epochs, *figures)), _line(self.told(name))])
        if (hidden := len(self.running) - len(rows)) > 0:
            rows.append([Text(f"… {hidden} more")])
        return rows

    def _best(self, rest: Sequence[str]) -> list[list[Text]]:
        return [
            [*map(Text, (name, "", self.objective.shown(value), *rest)), _line(self.told(name))]
            for value, name in self.ranked()
        ]

    def _ended(self, rest: Sequence[str]) -> list[list[Text]]:
        rows = []
        for end in self.ends:
            score = NOTHING if end.value is None else self.objective.shown(end.value)
            figures = FIGURES + 10 * (len(rest) - 1)
            most = 2 * max(20, self.console.width - figures)  # two lines at most
            why = textwrap.shorten(shown(end.why), most, placeholder=" …")
            rows.append([*map(Text, (end.trial, end.epochs, score, *rest, why))])
        return rows

    def _show(self, show: Callable[..., None], *given: Any, **more: Any) -> None:
        """Show something; after the first failure show nothing more."""
        if self.off:
            return
        try:
            show(*given, **more)
        except (Exception, SystemExit) as error:  # rich raises the latter for a closed pipe
            self.off = True
            say(f"the search goes on, but can no longer be shown: {error}")


def _line(text: str) -> Text:
    """Return text that stays on one line, its end left out where there is no room."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _loss(value: float) -> str:
    """Return a loss in few characters, so that its column stays narrow."""
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"
