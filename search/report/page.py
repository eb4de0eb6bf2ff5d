"""The report page of one or more runs: its sections and their pictures in one Markdown file.

The page is about the first run and lies in its folder; the others fill in rows of the tables, the
overfit results and the effects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from facesiam.files import own_folder, write_text
from search.analysis import published
from search.analysis.formatting import plain
from search.report import (
    costs,
    curves,
    evaluation,
    interactive,
    sections,
    setting_effects,
    study_2019,
    verdict,
)
from search.report.report_data import Run, read, row_trials
from search.report.setting_worth import Worth, worth

OWN = re.compile(r"(curves-|roc-).+\.png|overview\.png|settings\.png")
"""The names of a report's pictures."""


def report(runs: Sequence[str | Path], *, images: bool = True) -> Path:
    """Write the report into the first run's folder ``report``, as HTML and as Markdown with PNG.

    Args:
        runs: folders or URLs.
        images: whether the HTML page has pictures of test pairs, where there are any.

    Returns:
        The path of the HTML page.

    Raises:
        RunError, SpaceError: a run cannot be read, or has nothing to report yet.
    """
    given = [read(run) for run in runs]
    first, folder = given[0], _folder(given)
    for old in folder.glob("*.png"):
        if OWN.fullmatch(old.name):  # an earlier report's
            old.unlink()
    found = worth(given)
    parts = _markdown(found, folder, pictures=True)
    text = [f"# {plain(first.manifest.get('name', first.folder.name))}"]
    text += [f"## {title}\n\n{body}" for title, body in parts.items() if body]
    write_text(folder / "report.md", "\n\n".join(text) + "\n")
    interactive.write(folder / interactive.NAME, found, parts, images)
    return folder / interactive.NAME


def report_there(run: Path, url: str | None) -> Path:
    """Write the report of a run where the run lies, behind a URL as well.

    Args:
        run: its folder; of a run behind a URL, the copy of it here.
        url: where it lies; None: in the folder.

    Returns:
        The path of the HTML page here.

    Raises:
        RunError, SpaceError: as ``report``.
        StorageError: the URL cannot be reached.
    """
    page = report([url or run])  # its race lies beside it, behind the URL too
    if url:
        from search.runs.mirror import upload  # which imports torch

        upload(url, page.parent.name)
    return page


def refresh(runs: Sequence[str | Path], seconds: int, *, images: bool = True) -> tuple[Path, bool]:
    """Write the HTML page alone, as a search goes on.

    Args:
        runs: as for ``report``.
        seconds: after which the page loads itself again, unless the search is over.
        images: as for ``report``.

    Returns:
        The path of the page, and whether the search is over.

    Raises:
        RunError, SpaceError: as ``report``.
    """
    given = [read(run) for run in runs]
    folder, over = _folder(given), not verdict.goes_on(given[0])
    found = worth(given)
    parts = _markdown(found, folder, pictures=False)
    reload = 0 if over else seconds
    interactive.write(folder / interactive.NAME, found, parts, images, reload)
    return folder / interactive.NAME, over


def _folder(given: Sequence[Run]) -> Path:
    folder = own_folder(given[0].folder, "report")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _markdown(found: Worth, folder: Path, pictures: bool) -> dict[str, str]:
    """Return the sections by title; "" of one that says nothing of these runs."""
    given = found.given
    spaces = [run.searched for run in given]
    # The study's rows say nothing about a search that has none of them, nor of rows that have no
    # published figures: an ablation's, or a list of one's own.
    rows = published.rows(*spaces) if any(map(published.has_published, spaces)) else {}
    ran = row_trials(given)
    measured = {name: one.run.curve(one.name) for name, one in ran.items() if one.has_epochs}
    return {
        "What ran": sections.what_ran(given),
        "Tables of the 2019 study": study_2019.tables(rows, ran),
        "Curves": curves.section(given[0], rows, ran, folder) if pictures else "",
        "Overfit": study_2019.overfit(rows, measured),
        "What each setting is worth": setting_effects.section(found, bool(rows)),
        costs.TITLE: costs.markdown(given[0]),
        "Overfit by net": study_2019.overfit_by_net(rows, measured),
        "Training time": sections.training_time(found.trials, bool(rows)),
        "Early stopping": sections.early_stopping(given),
        "Ranked trials": sections.ranked(given),
        "Test": evaluation.section(given, folder if pictures else None),
        "Test at false-accept rates": evaluation.at_thresholds(given),
    }
