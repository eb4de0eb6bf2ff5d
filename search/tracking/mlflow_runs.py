"""A run in MLflow: a run of MLflow's for the search, and one within it for each trial."""

from __future__ import annotations

import logging
import math
import os
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.tracking import MlflowClient

from facesiam.errors import masked
from search.runs.line_format import OVER, EpochLine
from search.tracking.callback import TrialRecord
from search.tracking.tracker import EXPORT, Tracker, identity

STATUS = {
    "pending": "SCHEDULED",
    "running": "RUNNING",
    "interrupted": "SCHEDULED",
    "failed": "FAILED",
    "done": "FINISHED",
    "stopped": "KILLED",
}
"""MLflow's status by ours; the tags `status` and `reason` say it in our words."""
RUN, TRIAL, NOTED = "siamsearch.run", "siamsearch.trial", "siamsearch.noted"
"""Tags: the identity of the search, the name of a trial, how much of it is there."""
MOST_METRICS, MOST_PARAMS = 1000, 100
"""What MLflow takes at once."""


ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Variables of MLflow's that are set where the user has not: it gives a server up in seconds,
tells nobody of its use, and prints nothing beside the live table."""


@dataclass
class _Copy:
    """What MLflow has of a trial."""

    id: str
    noted: str = ""
    sent: set[int] | None = field(default_factory=set)
    """The epochs that are there; None: not yet asked for."""


class MlflowRuns(Tracker):
    """Keeps the runs of an experiment up to date.

    Args:
        uri: of the tracking server or database; empty: as MLFLOW_TRACKING_URI says.
        experiment: its name; empty: as MLFLOW_EXPERIMENT_NAME says, or the name of the run.
    """

    title, option = "MLflow", "--log mlflow"

    def __init__(self, uri: str = "", experiment: str = "") -> None:
        super().__init__()
        self.uri, self.experiment = uri, experiment
        self.parent = ""
        """Id of the search's own run."""
        self.copies: dict[str, _Copy] = {}
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)

    def open(self) -> None:
        """Find the runs of the search, or make the search's own one."""
        self.client = MlflowClient(self.uri or None)
        asked = self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or self.run.name
        known = self.client.get_experiment_by_name(asked)
        self.place = known.experiment_id if known else self.client.create_experiment(asked)
        self.experiment, key = asked, identity(self.run)
        for run in self._runs(key):
            if name := run.data.tags.get(TRIAL):
                noted = run.data.tags.get(NOTED, "")
                self.copies[name] = _Copy(run.info.run_id, noted, None)
            else:
                self.parent = run.info.run_id
        if not self.parent:
            tags = {RUN: key, "mlflow.source.name": "siamsearch", "folder": str(self.run)}
            starts = [record.began for record in self.trials.values() if record.began]
            began = int(1000 * min(starts, default=time.time()))
            made = self.client.create_run(self.place, began, tags, self.run.name)
            self.parent = made.info.run_id
            fixed = {**self.space.fixed, "algorithm": self.space.algorithm}
            self._send(self.parent, params=[Param(k, str(v)) for k, v in fixed.items()])
        elif not self._is_over():
            self.client.update_run(self.parent, status="RUNNING")

    def update(self, trial: str, record: TrialRecord) -> None:
        """Bring what MLflow lacks of a trial."""
        status = STATUS[record.status]
        noted = f"{len(record.epochs)} {record.status}"
        copy = self.copies.get(trial)
        if copy and copy.noted == noted:
            return
        if copy is None:
            copy = self.copies[trial] = self._begin(trial, record)
        if not copy.noted:  # the same again is no change, where an earlier attempt was cut short
            params = [Param(name, str(value)) for name, value in record.settings.items()]
            self._send(copy.id, params=params)
        if copy.sent is None:
            copy.sent = self._sent(copy.id)
        if record.cost and not copy.sent:
            self._send(copy.id, params=[Param(*map(str, one)) for one in record.cost.items()])
        new = {epoch: row for epoch, row in record.epochs.items() if epoch not in copy.sent}
        tags = {"status": record.status, "reason": record.reason or ""}
        metrics = [metric for row in new.values() for metric in _metrics(row)]
        over = record.status in OVER
        if over and (best := self.best_epoch(record)):
            tags["best epoch"] = str(best["epoch"])
            name = self.space.metric
            metrics.append(Metric(f"best_{name}", float(best[name]), _now(), int(best["epoch"])))
        self._send(copy.id, metrics, tags=[RunTag(*each) for each in tags.items()])
        copy.sent |= new.keys()
        if over:
            ended = int(1000 * (record.ended or time.time()))
            self.client.set_terminated(copy.id, status, ended)
        else:
            self.client.update_run(copy.id, status=status)
        self.client.set_tag(copy.id, NOTED, noted)
        copy.noted = noted

    def finish(self, stop: str | None) -> None:
        """Note the end of the search, and bring the exported net, where there is one."""
        metric, bests = self.space.metric, map(self.best_epoch, self.trials.values())
        scores = [float(best[metric]) for best in bests if best]
        if scores:
            self.client.log_metric(
                self.parent, f"best_{metric}", self.space.objective.best(scores)
            )
        self.client.set_tag(self.parent, "stop", stop or "")
        folder = self.run / EXPORT
        if folder.is_dir():
            self.client.log_artifacts(self.parent, str(folder), EXPORT)
        if stop is None:  # a copy may be made long after the search
            ends = [record.ended for record in self.trials.values() if record.ended]
            ended = int(1000 * max(ends, default=time.time()))
            self.client.set_terminated(self.parent, "FINISHED", ended)
        else:
            self.client.update_run(self.parent, status="SCHEDULED")

    def summary(self) -> str:
        """Return where the runs are."""
        place = masked(str(self.client.tracking_uri))
        said = f"experiment {self.experiment} of MLflow, {place}, has {self.many} of this run"
        if place.startswith("sqlite:"):  # a server's address is looked at as it is
            said += f"; look at them with\n  mlflow ui --backend-store-uri {shlex.quote(place)}"
        return said

    def _begin(self, trial: str, record: TrialRecord) -> _Copy:
        """Make the run of a trial."""
        tags = {
            RUN: identity(self.run),
            TRIAL: trial,
            "mlflow.parentRunId": self.parent,
            "mlflow.source.name": "siamsearch",
        }
        began = int(1000 * (record.began or time.time()))
        made = self.client.create_run(self.place, began, tags, f"{self.run.name} {trial}")
        return _Copy(made.info.run_id)

    def _sent(self, run: str) -> set[int]:
        """Return the epochs that a run of MLflow's has; older ones lack the metric `epoch`."""
        known = (self.client.get_metric_history(run, name) for name in ("epoch", "seconds"))
        return {int(metric.step) for history in known for metric in history}

    def _runs(self, key: str) -> Iterator[Run]:
        """Yield MLflow's runs of a search."""
        token = None
        while True:
            found = self.client.search_runs(
                [self.place], f"tags.`{RUN}` = '{key}'", max_results=1000, page_token=token
            )
            yield from found
            if not (token := found.token):
                return

    def _send(
        self,
        run: str,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
    ) -> None:
        """Send metrics, settings and tags, as many at once as MLflow takes."""
        for some in _parts(params, MOST_PARAMS):
            self.client.log_batch(run, params=some)
        for some in _parts(metrics, MOST_METRICS):
            self.client.log_batch(run, metrics=some)
        self.client.log_batch(run, tags=tags)

    def _is_over(self) -> bool:
        return all(record.status in OVER for record in self.trials.values())


def _parts(items: Sequence[Any], size: int) -> Iterable[list[Any]]:
    return (list(items[start : start + size]) for start in range(0, len(items), size))


def _metrics(row: EpochLine) -> Iterator[Metric]:
    """Yield what an epoch measured, without what is no number."""
    for name, value in row.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and not math.isnan(value):
            yield Metric(name, float(value), _now(), int(row["epoch"]))


def _now() -> int:
    return int(1000 * time.time())
