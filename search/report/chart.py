"""What a section of the report page is made of: charts, tables and pictures, as plain data.

A figure is plotly's JSON, a dict of ``data`` (traces) and ``layout``, which the page draws with
plotly.js. It names no background, font or grid colour, as the page sets these for a dark and a
light screen; a trace takes its colour from ``search.report.style`` or leaves it to the page. Texts
are plain: the page escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facesiam.errors import shown


@dataclass(frozen=True)
class Chart:
    """An interactive chart."""

    id: str
    """Unique in the page; letters, digits and hyphens."""
    title: str
    """The heading above it, which also says what is drawn to those who cannot see it."""
    figure: Mapping[str, Any]
    """``{"data": […], "layout": {…}}`` of plotly.js; arrays of numpy may stand for lists, and NaN
    becomes null. ``layout.height`` in pixels is kept, the width is the page's."""
    note: str = ""
    """A sentence or two below the heading: what is drawn, with n; "" for none."""
    half: bool = False
    """Whether two such charts stand side by side where the screen is wide."""


@dataclass(frozen=True)
class Table:
    """A table whose columns sort."""

    id: str
    """As a chart's."""
    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str | float | int | None]]
    """Numbers are shown as they are given (``f"{value:g}"``) and set right; None is an empty
    cell. A text with a number in front, such as ``81.2 [79.0, 83.1]``, sorts by that number."""
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture with its caption."""

    png: bytes
    """A whole file, PNG or JPEG."""
    caption: str


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side, such as the worst judged pairs; left out by ``--no-images``."""

    id: str
    title: str
    pictures: Sequence[Picture]
    note: str = ""


Part = Chart | Table | Pictures
"""What a section may hold, in the order given."""


def text(value: object) -> str:
    """Return text of a run for a figure: plotly would take ``<b>`` in it for markup."""
    return shown(str(value)).replace("&", "&amp;").replace("<", "&lt;")
