"""The nets of a run that were tested, with the scores of their test pairs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from facesiam.evaluation.thresholds import Judged
from facesiam.files import exists
from search.analysis import scores
from search.analysis.kept_tests import ENSEMBLE, SOUP, retrain_command
from search.report.report_data import Evaluation, Run

ALONE = f"{ENSEMBLE}1"
"""The best trial's net as the search left it. The trial trained again is often the same net."""


@dataclass(frozen=True)
class TestedNet:
    """A trial's or an ensemble's net, tested on the pairs of one protocol."""

    __test__ = False  # pytest takes its name for that of a test

    trial: str
    """Id of the trial, or ``ensemble-N``."""
    name: str
    """What the page calls it."""
    test: Evaluation
    pairs: pd.DataFrame
    """What ``scores.read`` returns: a row for each test pair, as often as it is listed."""

    @cached_property
    def judged(self) -> Judged:
        """The pairs as ``thresholds`` takes them, told apart by their two paths."""
        distinct = self.pairs.groupby(scores.ends(self.pairs)).ngroup()
        return Judged(
            self.pairs["log_odds"].to_numpy(dtype=np.float64),
            1 - self.pairs["same_person"].to_numpy(dtype=np.int64),
            distinct.to_numpy().astype(np.int64),
        )


def tested_nets(run: Run) -> tuple[list[TestedNet], list[str]]:
    """Return the tested nets, in the order of the ranked trials and then the ensembles.

    Of several seeds the first with scores is taken; the trial's own protocol comes before others.
    An ensemble of one whose scores are those of its own trial is left out.

    Args:
        run: whose folder holds what ``search.retrain`` left.

    Returns:
        The nets, and a sentence on each test whose scores cannot be drawn, or on how to test
        where nothing was.

    Raises:
        RunError: a scores file is damaged.
    """
    tests = [
        (trial, test)
        for trial, of_trial in run.tests.items()
        for test in sorted(of_trial, key=lambda test: not test.own)  # stable: by protocol and seed
    ]
    several = len({test.protocol for _, test in tests}) > 1
    nets: dict[tuple[str, str], TestedNet] = {}
    said = []
    for trial, test in tests:
        if (trial, test.protocol) not in nets:
            alone = not trial.startswith(ENSEMBLE) and trial != SOUP
            name = f"trial {trial}" if alone else trial
            name += f", {test.protocol}" if several else ""
            pairs, why = _pairs(run, trial, test)
            if pairs is not None and trial == ALONE and _is_among(pairs, nets.values()):
                continue
            if pairs is not None:
                nets[trial, test.protocol] = TestedNet(trial, name, test, pairs)
            else:
                said.append(f"No ROC curve of {name}: {why}.")
    if not tests:
        command = retrain_command(run.folder, ALONE)
        said.append(
            f"No net of this run has been tested. `{command}` tests the best one as the search "
            "left it."
        )
    return list(nets.values()), said


def _is_among(pairs: pd.DataFrame, nets: Iterable[TestedNet]) -> bool:
    """Return whether a net has exactly these scores of these pairs."""
    return any(net.pairs.equals(pairs) for net in nets)


def _pairs(run: Run, trial: str, test: Evaluation) -> tuple[pd.DataFrame | None, str]:
    """Return the scores of a test; None where they cannot be drawn, and why."""
    if not exists(test.scores):
        command = retrain_command(run.folder, trial)
        return None, f"{test.scores} is missing; `{command}` writes it anew"
    try:
        pairs = scores.read(test.scores)
    except scores.OlderScores as error:
        return None, str(error)
    if pairs["log_odds"].isna().any():
        return None, "a score of its test pairs is not a number"
    if pairs["same_person"].nunique() < 2:
        return None, "its test pairs are all of one kind"
    return pairs, ""
