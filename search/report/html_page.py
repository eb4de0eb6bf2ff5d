"""The report as one HTML file that needs no network: its frame, sections, data and scripts.

The file holds plotly.js once, compressed (the browser unpacks it), so that a page of a large run
stays under 6 MB. A content security policy forbids it to load anything from anywhere.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from importlib.resources import files
from itertools import groupby
from typing import Any

from markdown_it import MarkdownIt

from facesiam.errors import shown
from search.report.chart import Chart, Part, Pictures, Table

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
PICTURE = re.compile(r"^!\[.*\]\(.*\)$", re.MULTILINE)
LONG = re.compile(r"<p>[^<]{500,}</p>")
HIDDEN = r"<details><summary>How to read the table</summary>\g<0></details>"
CODE = re.compile("`([^`]*)`")
NUMBER = re.compile(r"[-+–]?[\d.,]*\d")


@dataclass(frozen=True)
class Section:
    """A section of the page under its heading."""

    id: str
    title: str
    parts: Sequence[Part] = ()
    html: str = ""
    """What stands before the parts."""
    said: Sequence[str] = ()
    """Sentences below the parts, as plain text but for `commands`."""
    after: str = ""
    """HTML below these."""


@dataclass(frozen=True)
class Page:
    """What the page holds."""

    title: str
    verdict: Sequence[str]
    state: str
    sections: Sequence[Section]
    data: Mapping[str, Any]
    """What page.js reads besides the charts: ``curves`` and ``metrics``."""
    written: str
    """The time, as it is shown."""
    reload: int = 0
    """Seconds after which the page loads itself again; 0: never."""


def render(page: Page) -> str:
    """Return the page as HTML."""
    sections = [
        section for section in page.sections if section.parts or section.html or section.after
    ]
    charts = {
        part.id: part.figure
        for section in sections
        for part in section.parts
        if isinstance(part, Chart)
    }
    data = {**page.data, "charts": charts, "reload": page.reload}
    body = _with_units("\n".join(map(_section, sections)))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(shown(page.title))}: a siamsearch report</title>
<style>{_asset("page.css")}</style>
</head>
<body>
{_header(page, sections)}
<main>
{body}
</main>
<script type="application/json" id="report-data">{_json(data)}</script>
<script type="application/octet-stream" id="plotly">{_plotly()}</script>
<script>{_asset("page.js")}</script>
<script>{_asset("charts.js")}</script>
</body>
</html>
"""


def _header(page: Page, sections: Sequence[Section]) -> str:
    """Return what stands above the sections: the state, the verdict, and a link to each."""
    links = "".join(f'<li><a href="#{one.id}">{escape(one.title)}</a></li>' for one in sections)
    reload = (
        f'<label><input type="checkbox" id="reload" checked style="width:auto"> load again every '
        f"{page.reload} s</label>"
        if page.reload
        else ""
    )
    verdict = _with_units("".join(f"<p>{escape(shown(text))}</p>" for text in page.verdict))
    return f"""<header>
<h1>{escape(shown(page.title))}</h1>
<p class="state">{escape(shown(page.state))} Written {escape(page.written)}.</p>
<div class="controls">{reload}</div>
<div class="verdict">{verdict}</div>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<p id="trouble" role="status"></p>
<noscript><p>The charts need JavaScript; report.md has pictures.</p></noscript>
</header>"""


def from_markdown(text: str) -> str:
    """Return one of the Markdown report's sections as HTML, without its pictures."""
    html = LONG.sub(HIDDEN, str(MARKDOWN.render(PICTURE.sub("", text))))
    return html.replace("<table>", f"{SCROLL}<table>").replace("</table>", "</table></div>")


SCROLL = '<div class="scroll" tabindex="0" role="region" aria-label="Table">'


def _section(section: Section) -> str:
    ident = escape(section.id, quote=True)
    inside = [section.html] if section.html else []
    for half, parts in groupby(section.parts, lambda part: isinstance(part, Chart) and part.half):
        alone = len(section.parts) == 1
        made = "\n".join(_part(part, alone) for part in parts)
        inside.append(f'<div class="charts{" half" if half else ""}">{made}</div>')
    inside += map(_note, section.said)
    inside.append(section.after)
    return (
        f'<section id="{ident}" aria-labelledby="{ident}-head">\n'
        f'<h2 id="{ident}-head">{escape(section.title)}</h2>\n'
        + "\n".join(inside)
        + "\n</section>"
    )


def _with_units(html: str) -> str:
    """Return HTML in which no line ends between a number and its %."""
    return re.sub(r"(?<=[\d\]]) %", "\u00a0%", html)


def _note(text: str) -> str:
    """Return a sentence, plain text but for `commands`."""
    html = CODE.sub(r"<code>\1</code>", escape(shown(text)))
    return f'<p class="note">{html}</p>'


def _part(part: Part, alone: bool) -> str:
    head = "" if alone else f"<h3>{escape(part.title)}</h3>"
    note = _note(part.note) if part.note else ""
    if isinstance(part, Table):
        return f"<div>{head}{note}{_table(part)}</div>"
    if isinstance(part, Pictures):
        return f"<div>{head}{note}{_pictures(part)}</div>"
    return f"<figure>{head}{note}{plot(part.id, part.title)}</figure>"


def plot(ident: str, title: str) -> str:
    """Return the place that page.js draws a chart in."""
    name, label = escape(ident, quote=True), escape(title, quote=True)
    reached = f'tabindex="0" role="img" aria-label="Chart: {label}"'
    return f'<div class="plot" data-chart="{name}" {reached}></div>'


def _table(table: Table) -> str:
    rows = [["" if cell is None else _cell(cell) for cell in row] for row in table.rows]
    numeric = [
        all(NUMBER.match(row[at]) or not row[at] for row in rows)
        for at in range(len(table.headers))
    ]
    kind = [' class="number"' if one else "" for one in numeric]
    heads = "".join(
        f'<th scope="col"{kind[at]}>{escape(head)}</th>' for at, head in enumerate(table.headers)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind[at]}>{escape(cell)}</td>" for at, cell in enumerate(row))
        + "</tr>\n"
        for row in rows
    )
    label = escape(f"Table: {table.title}", quote=True)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}" '
        f'id="{escape(table.id, quote=True)}"><table><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(cell: str | float) -> str:
    return shown(cell) if isinstance(cell, str) else f"{cell:g}"


def _pictures(part: Pictures) -> str:
    made = []
    for one in part.pictures:
        kind = "png" if one.png.startswith(b"\x89PNG") else "jpeg"
        source = f"data:image/{kind};base64,{base64.b64encode(one.png).decode()}"
        caption = escape(shown(one.caption))
        alt = escape(one.caption, quote=True)
        made.append(
            f'<figure><img src="{source}" alt="{alt}"><figcaption>{caption}</figcaption></figure>'
        )
    return f'<div class="pictures" id="{escape(part.id, quote=True)}">{"".join(made)}</div>'


def _json(data: Mapping[str, Any]) -> str:
    """Return JSON for a script element: no ``</script>`` can stand in it, NaN becomes null."""
    text = json.dumps(_plain(data), allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    """Return a value of Python's own types, for JSON."""
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return _plain(value.tolist())  # of numpy or pandas


def _asset(name: str) -> str:
    return files("search.report").joinpath(name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _plotly() -> str:
    """Return plotly.js of the installed package, compressed, as base64."""
    script = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(script, mtime=0)).decode()
