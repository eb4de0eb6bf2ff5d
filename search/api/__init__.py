"""The Python API: ``from search import run, load``.

The commands and this package drive the same functions. Here errors are exceptions, nothing ends
the process, and signal handlers and environment are afterwards what they were.
"""

from search.api.opened import Run, load
from search.api.racing import race
from search.api.resuming import resume
from search.api.searching import SearchFailed, SearchInterrupted, run
from search.api.trial import Trial

__all__ = ["Run", "SearchFailed", "SearchInterrupted", "Trial", "load", "race", "resume", "run"]
