"""The report's table of thresholds: one for each false-accept rate, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facesiam.evaluation.thresholds import (
    Rate,
    describe_rates,
    far_digits,
    fewest_pairs,
    pairs_named,
    rates_at,
    threshold_at,
    too_few,
)
from search.analysis.formatting import interval
from search.analysis.kept_tests import retrain_command
from search.report.chart import Table
from search.report.tested_nets import TestedNet

ASKED = (1e-1, 1e-2, 1e-3)
"""False-accept rates of a net that was tested at none."""


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold of a net and the rates of its test pairs there."""

    asked: float
    """The false-accept rate that the threshold was chosen for."""
    threshold: float
    """A pair is accepted where its log-odds are above it."""
    far: Rate
    """Of the test pairs: different people accepted."""
    tar: Rate
    """Of the test pairs: same people accepted."""
    validated: bool
    """Whether validation pairs chose the threshold; else the test pairs themselves did."""
    few: str = ""
    """A sentence where too few pairs chose it."""
    which: str = "the protocol's"
    """Pairs, as ``thresholds.pairs_named`` names them."""

    @property
    def chosen_on(self) -> str:
        """The pairs that chose the threshold."""
        return "validation pairs" if self.validated else "test pairs"


def operating_points(net: TestedNet) -> list[OperatingPoint]:
    """Return the thresholds that ``search.retrain`` chose, else those of ASKED.

    The latter are read off the test pairs, as "TPR at FPR" in the literature is.
    """
    if net.test.at_far:
        return [
            OperatingPoint(
                row["asked"],
                row["threshold"],
                row["test_far"],
                row["test_tar"],
                True,
                too_few(row),
                pairs_named(row),
            )
            for row in net.test.at_far
        ]
    judged = net.judged
    different = int((judged.label == 1).sum())
    found = []
    for asked in ASKED:
        threshold = threshold_at(judged.score, judged.label, asked)
        few = ""
        if different < fewest_pairs(asked):
            few = (
                f"FAR {100 * asked:g} % needs {fewest_pairs(asked):,} test pairs of two people, "
                f"and there are {different:,}"
            )
        found.append(OperatingPoint(asked, threshold, *rates_at(judged, threshold), False, few))
    return found


def far_table(points: Sequence[tuple[TestedNet, Sequence[OperatingPoint]]], run: str) -> Table:
    """Return the table of nets and their thresholds.

    Args:
        points: the nets with what ``operating_points`` returns.
        run: folder of the run, for the command in the note.
    """
    headers = [
        "Net",
        "FAR asked, %",
        "Threshold, log-odds",
        "Chosen on",
        "Pairs",
        "FAR of test, %",
    ]
    headers += ["Different pairs", "TAR of test, %", "Same pairs"]
    rows: list[list[str | float | int]] = [
        [
            net.name,
            100 * one.asked,
            f"{one.threshold:.3f}",
            one.chosen_on,
            one.which,
            _shown(one.far, far_digits(one.asked)),
            one.far["n"],
            _shown(one.tar, 1),
            one.tar["n"],
        ]
        for net, ones in points
        for one in ones
    ]
    known: list[Mapping[str, Any]] = []
    for net, _ in points:
        known += net.test.at_far or [{}]  # of the protocol's pairs, read off the test's own
    words = describe_rates(known)
    note = (
        "FAR is the share of different people that is accepted as one, TAR that of the same "
        f"people: {words}. A pair that is listed twice is counted once."
    )
    unvalidated = [net for net, ones in points if not all(one.validated for one in ones)]
    if unvalidated:
        trial, rates = unvalidated[0].trial, ",".join(f"{rate:g}" for rate in ASKED)
        note += (
            " A threshold chosen on the test pairs flatters the rates at it: choose it on "
            f"validation pairs with `{retrain_command(run, trial, '--far', rates)}`."
        )
    few = dict.fromkeys(one.few for _, ones in points for one in ones if one.few)
    note += "".join(f" {sentence}." for sentence in few)
    return Table("thresholds", "Thresholds for a false-accept rate (FAR)", headers, rows, note)


def _shown(rate: Rate, digits: int) -> str:
    return interval(rate["value"], rate["low"], rate["high"], digits)
