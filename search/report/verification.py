"""The page's section on test pairs: ROC curves, scores, thresholds and the worst judged pairs."""

from __future__ import annotations

from search.report.chart import Part
from search.report.far_table import far_table, operating_points
from search.report.report_data import Run
from search.report.style import RANKED
from search.report.tested_nets import tested_nets
from search.report.verification_charts import roc_charts, score_histogram
from search.report.worst_pairs import worst_pairs

HISTOGRAMS = 4
"""Nets whose scores are drawn."""


def verification_section(
    run: Run, data: str | None = None, images: bool = True
) -> tuple[list[Part], list[str]]:
    """Return what a page shows of the tests that ``search.retrain`` left.

    Nothing is tested here: the scores files are read, and no test pair of a net that has none.

    Args:
        run: the run.
        data: where its data is now, for the pictures; None: where it was.
        images: whether the worst judged pairs are shown; they are faces of the dataset.

    Returns:
        Charts, a table and pictures in the order of the page, and sentences to put below them:
        what is missing and why, or the command that tests where nothing was tested.

    Raises:
        RunError: a scores file is damaged.
    """
    nets, said = tested_nets(run)
    if not nets:
        return [], said
    if len(nets) > len(RANKED):
        names = ", ".join(net.name for net in nets[len(RANKED) :])
        said.append(f"Tested, and not drawn here: {names}.")
        nets = nets[: len(RANKED)]
    points = [(net, operating_points(net)) for net in nets]
    parts: list[Part] = [*roc_charts(nets)]
    parts += [
        score_histogram(net, at, number)
        for number, (net, at) in enumerate(points[:HISTOGRAMS], start=1)
    ]
    parts.append(far_table(points, str(run.folder)))
    if images:
        pictures, missing = worst_pairs(run, nets[0], data)
        parts += pictures
        said += missing
    return parts, said
