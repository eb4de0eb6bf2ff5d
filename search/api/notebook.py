"""What a search and a run show in a notebook: a table that changes in its place, HTML."""

from __future__ import annotations

import contextvars
import html
import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from facesiam.errors import shown
from search.runs.layout import RunError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, Group

WIDTH = 100
"""Columns of text in a notebook's cell."""
REFRESH_SECONDS = 1.0
SHOWN = 20
"""Trials of a run that are shown."""
MakeView: TypeAlias = "Callable[[Callable[[], Group]], NotebookView]"


class Text(str):
    """Text of several lines that a notebook and an interactive Python show as such."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def in_notebook() -> bool:
    """Say whether this process is a notebook's kernel, and not IPython on a terminal."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def console(progress: bool) -> tuple[Console, MakeView | None]:
    """Return where a search is shown, and what keeps its table in sight where that is a notebook.

    Args:
        progress: whether it is shown at all.
    """
    from rich.console import Console

    if not progress:
        return Console(file=io.StringIO(), quiet=True), None
    if not in_notebook():
        return Console(), None
    # rich would make an HTML block of each line.
    return Console(file=sys.stdout, force_jupyter=False, width=WIDTH), NotebookView


class NotebookView:
    """Keeps what ``render`` returns in sight in the cell that runs.

    Args:
        render: returns what is shown, as it stands.
    """

    def __init__(self, render: Callable[[], Group]) -> None:
        self.render = render
        self.over = threading.Event()
        self.handle: Any = None
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Show it from now on, anew each second."""
        from IPython import display

        show: Any = display.display
        self.handle = show(self._bundle(), raw=True, display_id=True)
        # The cell that output belongs to is a variable of the context.
        context = contextvars.copy_context()
        self.thread = threading.Thread(
            target=context.run, args=(self._refresh,), daemon=True, name="notebook table"
        )
        self.thread.start()

    def stop(self) -> None:
        """Leave it as it is at the end."""
        self.over.set()
        if self.thread:
            self.thread.join()
        self._update()

    def _refresh(self) -> None:
        while not self.over.wait(REFRESH_SECONDS):
            self._update()

    def _update(self) -> None:
        self.handle.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        from rich.console import Console

        page = Console(
            file=io.StringIO(),
            record=True,
            width=WIDTH,
            force_jupyter=False,
            force_terminal=False,
            color_system=None,
        )
        page.print(self.render())
        text = page.export_text()
        return {"text/plain": text, "text/html": _block(html.escape(text))}


def _block(escaped: str) -> str:
    style = "white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace"
    return f'<pre style="{style}">{escaped}</pre>'


def paragraph(text: str) -> str:
    """Return text as a paragraph of HTML."""
    return f"<p>{html.escape(shown(text))}</p>"


def table(frame: pd.DataFrame) -> str:
    """Return a frame of text as a table of HTML, whose texts are escaped."""
    text: str = frame.map(shown).to_html(index=False, border=0, justify="left", na_rep="")
    return text


def of_run(place: str, folder: Path) -> str:
    """Return a run as HTML: how far it is, and its best trials.

    Args:
        place: of the run, as it is shown.
        folder: of the run.
    """
    from search.analysis import ranked_by, ranked_trials, trial_table

    try:
        trials, _ = ranked_trials.load(folder)
    except RunError as error:
        return paragraph(f"Run {error}")
    found = trial_table.as_frame(trials, SHOWN, ranked_by.ranking(folder))
    return paragraph(f"Run {place}: {state(trials)}") + table(found)


def state(trials: pd.DataFrame) -> str:
    """Return how many trials are in which state, and the best."""
    from search.analysis import ranked_trials
    from search.analysis.formatting import interval

    states, best = ranked_trials.states(trials), trials.iloc[0]
    if not best["epochs_run"]:
        return states
    score = interval(best["val_acc"], best["val_acc_low"], best["val_acc_high"])
    return f"{states}; best {best['trial']}, val_acc {score} %"
