"""The nets of a run that were tested, with the scores of their test pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from facesiam.evaluation.thresholds import Judged
from facesiam.files import exists
from search.analysis import scores
from search.analysis.kept_tests import ENSEMBLE, retrain_command
from search.report.report_data import Evaluation, Run


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

    @property
    def judged(self) -> Judged:
        """The pairs as ``thresholds`` takes them, told apart by their two paths."""
        ends = np.sort(self.pairs[["left", "right"]].to_numpy(dtype=str), axis=1)
        _, distinct = np.unique(ends, axis=0, return_inverse=True)
        return Judged(
            self.pairs["log_odds"].to_numpy(dtype=np.float64),
            1 - self.pairs["same_person"].to_numpy(dtype=np.int64),
            distinct.reshape(-1).astype(np.int64),
        )


def tested_nets(run: Run) -> tuple[list[TestedNet], list[str]]:
    """Return the tested nets, in the order of the ranked trials and then the ensembles.

    Of several seeds the first is taken; the trial's own protocol comes before others.

    Args:
        run: whose folder holds what ``search.retrain`` left.

    Returns:
        The nets, and a sentence on each test whose scores cannot be drawn, or on how to test
        where nothing was.

    Raises:
        RunError: a scores file is damaged.
    """
    first: dict[tuple[str, str], Evaluation] = {}
    for trial, tests in run.tests.items():
        for test in sorted(tests, key=lambda test: not test.own):  # stable: by protocol and seed
            first.setdefault((trial, test.protocol), test)
    several = len({protocol for _, protocol in first}) > 1
    nets, said = [], []
    for (trial, protocol), test in first.items():
        name = trial if trial.startswith(ENSEMBLE) else f"trial {trial}"
        name += f", {protocol}" if several else ""
        if not exists(test.scores):
            command = retrain_command(run.folder, trial)
            said.append(f"The scores of {name} are missing; `{command}` writes them anew.")
            continue
        try:
            pairs = scores.read(test.scores)
        except scores.OlderScores as error:
            said.append(f"No ROC curve of {name}: {error}.")
            continue
        if pairs["log_odds"].isna().any():
            said.append(f"No ROC curve of {name}: a score of its test pairs is not a number.")
        elif pairs["same_person"].nunique() < 2:
            said.append(f"No ROC curve of {name}: its test pairs are all of one kind.")
        else:
            nets.append(TestedNet(trial, name, test, pairs))
    if not first:
        said.append(
            "No net of this run has been tested. "
            f"`{retrain_command(run.folder, f'{ENSEMBLE}1')}` tests the best one as the search "
            "left it."
        )
    return nets, said
