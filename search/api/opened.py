"""Run: a search that runs or has run, read from its folder; and ``load``, which opens one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesiam.errors import masked
from search.api import notebook
from search.api.trial import Trial, read_trial, trial_id
from search.runs import layout
from search.runs.json_files import Manifest
from search.runs.layout import RunError
from search.runs.remote import open_run
from search.space import SearchSpace
from search.tuning.preparation import short

if TYPE_CHECKING:
    import pandas as pd

    from facesiam import Verifier
    from search.analysis.race_result import RaceResult


class Run:
    """A search that runs or has run; every access reads its folder as it is now.

    Args:
        folder: of the run.
        url: where it lies, where that is not its folder.
    """

    def __init__(self, folder: str | Path, url: str | None = None) -> None:
        self.folder, self.url = Path(folder).absolute(), url

    @property
    def place(self) -> str:
        """Its URL, without secrets, or its folder as short as it can be typed here."""
        return masked(self.url) if self.url else short(self.folder)

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.folder.name

    @property
    def trials(self) -> pd.DataFrame:
        """The trials, a row each, best first; docs/run-folder.md has the columns.

        Raises:
            RunError: no trial has started, or a file is damaged.
        """
        return self._frames()[0]

    @property
    def epochs(self) -> pd.DataFrame:
        """The epochs, a row per trial and epoch, the trials in order of start."""
        return self._frames()[1]

    @property
    def best(self) -> Trial:
        """The trial that ranks first.

        Raises:
            RunError: no epoch has ended.
        """
        return read_trial(self.folder, None)

    @property
    def space(self) -> SearchSpace:
        """What is searched."""
        return layout.space(self.folder)

    @property
    def manifest(self) -> Manifest:
        """What was noted about the run: versions, machine, data, seed, each session's call.

        It is there before the first trial has started, too.

        Raises:
            RunError: it is missing or damaged.
        """
        return layout.manifest(self.folder)

    @property
    def finished(self) -> bool:
        """Whether the search has come to its end."""
        return bool(self.manifest.get("finished"))

    def trial(self, name: str) -> Trial:
        """Return a trial by its id.

        Raises:
            RunError: there is none.
            OptionError: it is no id.
        """
        return read_trial(self.folder, trial_id(name))

    def why(self, trial: str | Trial) -> notebook.Text:
        """Return the story of a trial: what it scored, why it ended, what that saved.

        Args:
            trial: its id, or itself.

        Raises:
            RunError: there is none.
            OptionError: it is neither an id nor a trial.
        """
        from search.analysis.trial_story import story

        return notebook.Text(story(self.folder, trial_id(trial)))

    def resume(self, **changes: Any) -> Run:
        """Go on with the search, on the data and machines of its last session.

        Args:
            changes: options of ``run`` that differ from then, such as ``trials=40``. The space is
                that of the run; ``space=`` gives an edited one.

        Returns:
            This run.

        Raises:
            RunRefused: the run's last session noted a secret that is needed again, or as ``run``.
            UserError, SearchFailed, SearchInterrupted: as ``run``.
        """
        from search.api import resume

        return resume(self, changes)

    def retrain(  # noqa: PLR0913 - every option of the command, by its name
        self,
        trial: str | Trial | None = None,
        *,
        rank: int = 1,
        ensemble: int | None = None,
        soup: bool = False,
        seeds: int = 1,
        seed: int | None = None,
        epochs: int | None = None,
        threads: int | None = None,
        protocol: str | Sequence[str] = (),
        far: float | Sequence[float] = (),
        folds: Sequence[int] = (),
        data: str | os.PathLike[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
        plugin: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    ) -> pd.DataFrame:
        """Train a trial again and test each net on people that no search has seen.

        Args:
            trial: its id, or itself; None: the one at `rank`.
            rank: place in the ranked trials, from 1.
            ensemble: test the mean score of so many best trials, with the weights that the run
                kept, instead of training; 1: the best net as the search left it.
            soup: test one net of the mean weights of those that the run kept, instead of training.
            seeds: how many, from the trial's own; those that are done are not trained again.
            seed: the first of them, instead of the trial's own.
            epochs: instead of the trial's own.
            threads: of torch, instead of those that the trial ran with, which gives another net.
            protocol: pairs to test on, instead of the trial's own.
            far: false-accept rates to test at, besides the `fpr` of a trial with `fpr_pairs`.
            folds: numbers of CFP's ten folds, for ``protocol="cfp-10fold"``.
            data: path of the run's data, where that has moved.
            weights: file or folder of pretrained weights.
            plugin: files of the plugins that the run was made with.

        Returns:
            A row per test: trial, protocol, seed, epoch, and of each figure the value with the
            ends of its 95 % interval, shares in [0, 1], over ``n`` pairs. Of ``cfp-10fold`` a
            row per ``fold`` and kind of ``pairs`` (FF, FP), also of folds that were done before.

        Raises:
            UserError: an option is wrong, or data, weights or a plugin are missing.
        """
        given = dict(locals())
        del given["self"]
        from search.api.retraining import retrain

        given["trial"] = None if trial is None else trial_id(trial)
        return retrain(self.folder, self.url or str(self.folder), given)

    def race(
        self,
        *,
        top: int | None = None,
        seeds: int | None = None,
        level: float | None = None,
        within: float | None = None,
        **options: Any,
    ) -> RaceResult | None:
        """Train the best trials again with further seeds until one wins, or go on with that.

        Args:
            top: how many of them; None, here and below: as the space says at `finalists:`.
            seeds: most further seeds of each.
            level: greatest chance that what is said of the best of them is wrong.
            within: difference of the metric that does not matter.
            options: of ``run`` that differ from those of the search, such as ``address``.

        Returns:
            What it came to; its ``winner`` is None where the minutes were over before. None of a
            dry run.

        Raises:
            UserError, SearchFailed, SearchInterrupted: as ``run``.
        """
        from search.api import race

        own = {"top": top, "seeds": seeds, "level": level, "within": within}
        return race(self, {**own, **options})

    def pareto(self, *costs: str) -> pd.DataFrame:
        """Return the trials that no other one beats in the metric and in every cost, best first.

        A trial that learned nothing is never one of them.

        Args:
            costs: of params, macs and latency_ms; none: those of the space, or all known ones.

        Returns:
            Rows of ``trials``, with gives_up, params_share and so on; see ``analysis.pareto``.

        Raises:
            RunError, OptionError: no trial has such a cost, or there is none.
        """
        from search.api.front import front

        return front(self.folder, costs)

    def report(self, *others: str | Path | Run) -> Path:
        """Write the run's report page, into its folder.

        Args:
            others: runs that fill in rows of the tables.

        Returns:
            The path of the page.

        Raises:
            RunError: the run has nothing to report yet.
        """
        from search.report.page import report

        given = [one.folder if isinstance(one, Run) else one for one in others]
        return report([self.url or self.folder, *given])  # its race lies beside it

    def verifier(
        self, trial: str | Trial | None = None, plugins: Sequence[str | Path] = ()
    ) -> Verifier:
        """Return a net of the run that compares faces.

        Args:
            trial: the trial, by id or itself, whose weights the search kept; None: the net with
                the highest validation accuracy, of those trained again if there are any.
            plugins: files of plugins whose parts the net has.

        Raises:
            RunError: there is no such trial.
            WeightsError: the run has kept no such weights.
            StorageError: the run's URL cannot be reached.
            OptionError: `trial` is neither an id nor a trial.
        """
        from facesiam import Verifier
        from search.api.kept_weights import place_of

        name = None if trial is None else trial_id(trial)
        return Verifier.load(place_of(self.folder, self.url, name), plugins)

    def __repr__(self) -> str:
        try:
            return f"<Run {self.place}: {notebook.state(self.trials)}>"
        except RunError as error:
            return f"<Run {error}>"

    def _repr_html_(self) -> str:
        return notebook.of_run(self.place, self.folder)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def _frames(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        from search.analysis.ranked_trials import load

        return load(self.folder)


def load(run: str | os.PathLike[str] | Run) -> Run:
    """Open a run that runs or has run.

    Args:
        run: its folder or URL; what lies behind a URL is fetched, as it is now.

    Raises:
        RunError: there is no run, or it is damaged; the text has the nearest name.
    """
    given = os.fspath(run.url or run.folder if isinstance(run, Run) else run)
    return Run(open_run(given), given if "://" in given else None)
