"""The dispatcher tells callbacks what happens in a search, each in a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Literal

from facesiam.errors import UserError, counted, named
from search.tracking.callback import Callback

Event = Literal[
    "on_search_start", "on_trial_start", "on_cost", "on_epoch", "on_trial_end", "on_search_end"
]
MOST = 200_000
"""Events that wait for a callback: some hundred megabytes. Later ones are not told."""
PATIENCE, CUT_PATIENCE, SILENCE = 30.0, 5.0, 2.0
"""Seconds that the end of a search waits for its callbacks, that one waits which was cut short,
and how long either does so in silence."""


class Dispatcher:
    """Hands each event to the callbacks, and waits for none of them before the search's end.

    Args:
        callbacks: are told of every event.
        say: shows a line, from any thread.
    """

    def __init__(
        self, callbacks: Sequence[Callback] = (), say: Callable[[str], None] = print
    ) -> None:
        self.say = say
        self.feeds = [_Feed(callback, say) for callback in callbacks]

    def tell(self, event: Event, *given: Any) -> None:
        """Have the callbacks told of an event; return at once.

        Args:
            event: the method of ``Callback`` that is called.
            given: its arguments, which must not change any more.
        """
        for feed in self.feeds:
            feed.tell(event, given)

    def close(self, stop: str | None, patience: float = PATIENCE) -> None:
        """Tell of the search's end, and wait until everything is told.

        Args:
            stop: what cut the search short; None: it came to its end.
            patience: seconds to wait for all callbacks together.
        """
        feeds, self.feeds = self.feeds, []
        for feed in feeds:
            feed.tell("on_search_end", (stop,))
            feed.events.put(None)
        until = time.monotonic() + patience
        try:
            _wait(feeds, min(until, time.monotonic() + SILENCE))
            if late := [feed for feed in feeds if feed.thread.is_alive()]:
                names = " and ".join(feed.callback.label for feed in late)
                self.say(f"waiting for {names}, {patience:g} s at most")
                _wait(late, until)
        except KeyboardInterrupt:  # the search is over; whoever waits does not want to
            pass
        for feed in feeds:
            if feed.thread.is_alive():
                self.say(feed.leftover())
            if lacks := feed.callback.lacks:
                self.say(lacks)


def _wait(feeds: Sequence[_Feed], until: float) -> None:
    """Wait for the feeds to end, until a time of the monotonic clock."""
    for feed in feeds:
        feed.thread.join(max(0.0, until - time.monotonic()))


class _Feed:
    """The events that wait for one callback, and the thread that tells it."""

    def __init__(self, callback: Callback, say: Callable[[str], None]) -> None:
        self.callback, self.say = callback, say
        self.events: queue.SimpleQueue[tuple[Event, tuple[Any, ...]] | None] = queue.SimpleQueue()
        self.failed = self.full = False
        # A daemon: whatever hangs in a callback, the process can end.
        self.thread = threading.Thread(target=self._run, name=callback.label, daemon=True)
        self.thread.start()

    def tell(self, event: Event, given: tuple[Any, ...]) -> None:
        """Append an event, if there is room."""
        if self.events.qsize() < MOST:
            self.events.put((event, given))
        elif not self.full:
            self.full = True
            self.say(f"{self.callback.label} is {MOST:,} events behind: it misses later ones")

    def leftover(self) -> str:
        """Return the sentence on a callback that did not keep up."""
        waiting = max(1, self.events.qsize())  # the one that it is told at the moment
        many = counted(waiting, "event")
        return f"{self.callback.label} did not keep up: {many} of the search may be missing there"

    def _run(self) -> None:
        while said := self.events.get():
            event, given = said
            try:
                getattr(self.callback, event)(*given)
            except BaseException as error:  # also a sys.exit: it is the search that goes on
                if not self.failed:
                    self.failed = True
                    self.say(_failure(self.callback, event, error))


def _failure(callback: Callback, event: Event, error: BaseException) -> str:
    """Return the sentence on a callback that failed."""
    goes_on = "the search goes on, and further failures of it are not shown"
    if isinstance(error, UserError):
        return f"{callback.label}: {error}; {goes_on}"
    frames = traceback.extract_tb(error.__traceback__)[1:2]  # behind the call of the method
    where = f" ({frames[0].filename}, line {frames[0].lineno})" if frames else ""
    return f"{callback.label} failed in {event}{where}: {named(error)}; {goes_on}"
