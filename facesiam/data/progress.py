"""One progress bar on stderr for slow steps; a single line where stderr is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from facesiam.cli import say

BAR = 36
"""Columns of a bar with its percentage and the time left."""


@contextmanager
def bar(
    title: str, total: int, *, done: int = 0, show: bool = True
) -> Iterator[Callable[[int], None]]:
    """Yield a function that moves the bar by so many steps; it may be called from any thread.

    Args:
        title: what is being done; printed alone where there is no terminal to draw on.
        total: number of steps; 0 where it is not known.
        done: steps that were done before, as in a resumed download.
        show: False draws and prints nothing.
    """
    if not show or not (sys.stderr and sys.stderr.isatty()):
        if show:
            say(f"{title} …")
        yield lambda steps: None
        return
    from rich.console import Console  # only here: costs 0.1 s that a plain start need not pay
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    console = Console(stderr=True)
    # A path in the title may be longer than the terminal is wide: the bar comes first.
    fits = Column(max_width=max(20, console.width - BAR), no_wrap=True, overflow="ellipsis")
    title_column = TextColumn("{task.description}", table_column=fits, markup=False)
    columns = title_column, BarColumn(20), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=total or None, completed=done)
        yield lambda steps: progress.advance(task, steps)
