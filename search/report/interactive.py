"""What the HTML page of a run holds: its sections in order, and the curves of its trials."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from facesiam.errors import counted, inflected
from facesiam.files import write_text
from search.analysis import trial_table
from search.analysis.ranked_by import ranking
from search.report import (
    costs,
    html_page,
    measures,
    periods,
    progress,
    setting_charts,
    trial_rows,
    verdict,
)
from search.report.html_page import Page, Section, from_markdown
from search.report.report_data import Run, settings_frame
from search.report.setting_worth import Worth
from search.report.verification import verification_section

NAME = "report.html"
WORTH = "What each setting is worth"
LAST = (
    "Training time",
    "Tables of the 2019 study",
    "Overfit",
    "Overfit by net",
    "What ran",
)
"""Sections of the Markdown report that end the page."""
MOST_POINTS = 60_000
"""Points of all curves together; of longer curves every so many epochs are drawn."""


def write(
    path: Path, worth: Worth, markdown: Mapping[str, str], images: bool, reload: int = 0
) -> None:
    """Write the page of a run.

    Args:
        path: of the HTML file.
        worth: of the runs; the page is about the first of them.
        markdown: the sections of the Markdown report by title; those that the page has as charts
            are left out of it.
        images: whether it has pictures of test pairs.
        reload: seconds after which the page loads itself again; 0: never.
    """
    run = worth.given[0]
    frame = settings_frame(run)
    drawn = measures.of_epochs(run)
    page = Page(
        title=str(run.manifest.get("name", run.folder.name)),
        verdict=verdict.sentences(run, trial_rows.differing(frame)),
        state=verdict.state(run),
        sections=_sections(worth, frame, drawn, markdown, images),
        data={"metrics": [one._asdict() for one in drawn], "curves": _curves(run, drawn)},
        written=time.strftime("%Y-%m-%d %H:%M:%S"),
        reload=reload,
    )
    write_text(path, html_page.render(page))


def _sections(
    worth: Worth,
    frame: pd.DataFrame,
    drawn: Sequence[measures.Measure],
    markdown: Mapping[str, str],
    images: bool,
) -> list[Section]:
    run = worth.given[0]
    ran = periods.periods(run.folder)
    tests, said = verification_section(run, images=images)
    said = [text for text in said if text not in markdown.get("Test", "")]
    timeline = progress.timeline(run, ran)
    stopping = markdown.get("Early stopping", "")
    several = len(run.trials) > 1 and bool(trial_rows.differing(frame))
    return [
        Section("trials", "Trials", html=_trials(run, frame)),
        Section("best", "Best so far", progress.best_so_far(run, drawn[0], ran) if drawn else ()),
        Section("curves", "Curves", html=_curves_html(run, drawn) if drawn else ""),
        Section("parallel", "Settings and scores", html=_parallel_html() if several else ""),
        Section(
            "worth",
            WORTH,
            setting_charts.charts(worth),
            after=from_markdown(markdown.get(WORTH, "")),
        ),
        Section("cost", costs.TITLE, costs.charts(run)),
        Section(
            "time",
            "Workers and stops",
            [timeline] if timeline else [],
            from_markdown(stopping) if stopping else "",
        ),
        Section("test", "Test", tests, said=said, after=from_markdown(markdown.get("Test", ""))),
        *(
            Section(title.lower().replace(" ", "-"), title, html=from_markdown(markdown[title]))
            for title in LAST
            if markdown.get(title)
        ),
    ]


TRIALS = """<p class="note" id="filter-help">A trial links to its curve. The filter takes words,
and conditions on a column such as <code>status=done</code>, <code>val_acc&gt;=80</code>,
<code>loss=two|single</code>; a row must fulfil all. It holds for the curves and the
settings below, too; in the charts of single settings it fades the other trials, and means stay
those of all.</p>
<div class="controls"><label class="grow">Filter <input type="search" id="filter"
aria-describedby="filter-help" autocomplete="off" spellcheck="false"></label>
<button type="button" id="all">Show all</button><span id="shown" role="status"></span></div>
"""
INTERVALS = "the interval of val_acc is Wilson's of 95 %"
CURVES = """<p class="note">The thick line is the best trial, or the one that was chosen in the
table. A cross is where a rule stopped a trial."""
SETTINGS = """<p class="note">A line is a trial, coloured by its fifth of the ranking. A box drawn
over an axis filters the trials to that part of it.</p>"""


def _trials(run: Run, frame: pd.DataFrame) -> str:
    same = trial_rows.same(frame)
    words = "; ".join(f"{escape(name)} {escape(value)}" for name, value in same.items())
    are = f"{counted(len(same), 'setting')} {inflected(len(same), 'is', 'are')}"
    kept = f"<summary>{are} the same in every trial</summary><p>{words}</p>"
    table = f"{html_page.SCROLL}{trial_rows.html(run, frame)}</div>"
    told = trial_table.legend(run.trials, {}, ranking(run.folder))
    lines = "".join(f'<p class="note">{escape(line)}.</p>' for line in [*told, INTERVALS])
    return f"{TRIALS}{table}\n{lines}<details>{kept}</details>"


def _curves_html(run: Run, drawn: Sequence[measures.Measure]) -> str:
    options = "".join(
        f'<option value="{escape(one.name, quote=True)}">{escape(one.label)}</option>'
        for one in drawn
    )
    choice = f'<label>Metric <select id="metric">{options}</select></label>'
    step = _step(run)
    thinned = f" One epoch in {step} is drawn, and each trial's last." if step > 1 else ""
    place = html_page.plot("curves", "a metric of every trial against its epochs")
    return f'<div class="controls">{choice}</div>{CURVES}{thinned}</p>{place}'


def _parallel_html() -> str:
    return SETTINGS + html_page.plot("parallel", "every setting and the score, a line a trial")


def _step(run: Run) -> int:
    return max(1, -(-len(run.epochs) // MOST_POINTS))


def _curves(run: Run, drawn: Sequence[measures.Measure]) -> dict[str, Any]:
    """Return the epochs and metrics of each trial, thinned where they are many."""
    step, found = _step(run), {}
    for trial, epochs in run.epochs.groupby("trial", sort=False):
        places = sorted({*range(0, len(epochs), step), len(epochs) - 1})
        kept = epochs.iloc[places]
        curve: dict[str, Any] = {"epoch": kept["epoch"].tolist()}
        for one in drawn:
            values = (100 if one.percent else 1) * kept[one.name].astype(float)
            curve[one.name] = [float(f"{value:.4g}") for value in values]
        found[str(trial)] = curve
    return found
