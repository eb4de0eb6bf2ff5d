"""The report page of one or more runs: its sections and their pictures in one Markdown file.

The page is about the first run and lies in its folder; the others fill in rows of the tables, the
overfit results and the effects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from facesiam.files import own_folder, write_text
from search.analysis import published
from search.analysis.formatting import plain
from search.report import curves, evaluation, sections, setting_effects, study_2019
from search.report.report_data import read, row_trials, settings_frame

OWN = re.compile(r"(curves-|roc-).+\.png|overview\.png|settings\.png")
"""The names of a report's pictures."""


def report(runs: Sequence[str | Path]) -> Path:
    """Write ``report/report.md`` and its pictures into the first run.

    Args:
        runs: folders or URLs.

    Returns:
        The path of the page.

    Raises:
        RunError, SpaceError: a run cannot be read, or has nothing to report yet.
    """
    given = [read(run) for run in runs]
    first = given[0]
    rows = published.rows(*(run.searched for run in given))
    ran = row_trials(given)
    page = own_folder(first.folder, "report") / "report.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    for old in page.parent.glob("*.png"):
        if OWN.fullmatch(old.name):  # an earlier report's
            old.unlink()
    measured = {name: one.run.curve(one.name) for name, one in ran.items() if one.has_epochs}
    # The study's rows say nothing about a search that has none of them.
    about = rows if any(run.searched.rows for run in given) else {}
    everything = pd.concat([settings_frame(run) for run in given], ignore_index=True)
    parts = {
        "What ran": sections.what_ran(given),
        "Tables of the 2019 study": study_2019.tables(about, ran),
        "Curves": curves.section(first, rows, ran, page.parent),
        "Overfit": study_2019.overfit(about, measured),
        "What each setting is worth": setting_effects.section(given, bool(about)),
        "Overfit by net": study_2019.overfit_by_net(about, measured),
        "Training time": sections.training_time(everything, bool(about)),
        "Early stopping": sections.early_stopping(given),
        "Ranked trials": sections.ranked(given),
        "Test": evaluation.section(given, page.parent),
    }
    text = [f"# {plain(first.manifest.get('name', first.folder.name))}"]
    text += [f"## {title}\n\n{body}" for title, body in parts.items() if body]
    write_text(page, "\n\n".join(text) + "\n")
    return page
