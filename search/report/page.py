"""Runs → a report page: the documents' tables, figures, verdicts, effects, the ranked table.

    python -m search.report RUN [RUN …]

The page is about the first run and lies in its folder; the others fill in rows of the tables, the
verdicts and the effects.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from facesiam import cli
from facesiam.config.trial import TrialConfig
from facesiam.data.lists import KINDS, TEN_FOLD
from facesiam.files import exists, own_folder, write_text
from facesiam.nets.losses import LOSSES
from search.analysis import frames, published, rule_audit, scores
from search.analysis.formatting import grid, markdown, plain
from search.analysis.published import DocumentRow
from search.report import figures, findings, tables
from search.report.inputs import Measured, Run, log_settings, ran_rows, read, settings_frame
from search.runs.json_files import read_folds

OWN = re.compile(r"(curves-|roc-).+\.png|overview\.png|settings\.png")
"""The names of a report's pictures."""
MEASURES = ("accuracy", "auc", "eer")
"""Of the folds' summaries."""
BEST = 3
"""Trials whose curves are drawn when none of them is a row of the documents."""


def report(runs: Sequence[str | Path]) -> Path:
    """Write ``report/report.md`` and its pictures into the first run; return the page's path.

    Raises:
        RunError, SpaceError: a run cannot be read, or has nothing to report yet.
    """
    given = [read(run) for run in runs]
    first = given[0]
    rows = published.rows(*(run.searched for run in given))
    ran = ran_rows(given)
    page = own_folder(first.folder, "report") / "report.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    for old in page.parent.glob("*.png"):
        if OWN.fullmatch(old.name):  # an earlier report's
            old.unlink()
    curves = {name: one.run.curve(one.name) for name, one in ran.items() if one.has_epochs}
    # The documents' rows say nothing about a search that has none of them.
    about = rows if any(run.searched.rows for run in given) else {}
    everything = pd.concat([settings_frame(run) for run in given], ignore_index=True)
    names = [*TrialConfig.__dataclass_fields__, "data"]
    sections = {
        "What ran": _what_ran(given),
        "The documents' tables": tables.published(about, ran),
        "Curves": _curves(first, rows, ran, page.parent),
        "Overfit": findings.verdicts(about, curves) if about else "",
        "What each setting is worth": findings.conclusions(everything, names, log_settings(given)),
        "Overfit by net": findings.overfit_by_net(about, curves) if about else "",
        "Training time": findings.training_time(everything),
        "Early stopping": findings.early_stopping(_records(given)),
        "Ranked trials": _ranked(given),
        "Test": "\n\n".join(
            filter(
                None,
                [
                    tables.tested(given),
                    _paired(first),
                    _rocs(first, page.parent),
                    _folds(first),
                ],
            )
        ),
    }
    text = [f"# {plain(first.manifest.get('name', first.folder.name))}"]
    text += [f"## {title}\n\n{body}" for title, body in sections.items() if body]
    write_text(page, "\n\n".join(text) + "\n")
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report of a run, print its path, and return the exit code."""
    parser = cli.Parser(
        prog=cli.program("search.report"), description="Write a run's report page."
    )
    which = "run folder; the report goes to the first, the others fill in rows of the tables"
    parser.add_argument("runs", metavar="RUN", nargs="+", help=which)
    options = parser.parse_args(arguments)
    return cli.run(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    cli.show(report(options.runs))
    return 0


def _what_ran(runs: Sequence[Run]) -> str:
    lines = []
    for run in runs:
        noted, data = run.manifest, run.manifest.get("data") or {}
        counts = run.trials["status"].value_counts()
        states = ", ".join(f"{counts[status]} {status}" for status in sorted(counts.index))
        facts = {
            "run": plain(noted.get("name", run.folder.name)),
            "trials": f"{len(run.trials)} ({states})",
            "epochs": str(run.trials["epochs_run"].sum()),
            "command": f"`{_command(noted.get('command'))}`",
            "data": f"{plain(Path(data.get('source', '–')).name)}, key `{data.get('key', '–')}`",
            "best by": f"{run.searched.metric}, {run.searched.mode}",
            "seed": plain(noted.get("seed", "–")),
            "machine": plain(_listed(noted.get("machine"))),
            "versions": plain(_listed(noted.get("versions"))),
            "commit": plain(noted.get("commit") or "–"),
            "started": plain(noted.get("started", "–")),
            "finished": plain(noted.get("finished") or "not yet"),
        }
        lines.append(grid(["", ""], [[name, value] for name, value in facts.items()], [True] * 2))
    return "\n\n".join(lines)


def _curves(
    first: Run, rows: Mapping[str, DocumentRow], ran: Mapping[str, Measured], folder: Path
) -> str:
    shown = {name: one for name, one in ran.items() if one.has_epochs}
    if not shown:
        head = first.trials[first.trials["epochs_run"] > 0].head(BEST)
        shown = {str(trial["trial"]): Measured(first, trial) for _, trial in head.iterrows()}
    order = [name for name in rows if name in shown]
    order += [name for name in shown if name not in rows]
    parts = []
    for name in order:
        one = shown[name]
        best = None if pd.isna(one.trial["best_epoch"]) else int(one.trial["best_epoch"])
        recorded = published.recorded(name) if name in rows and name in ran else None
        path = folder / f"curves-{name}.png"
        title = f"{'Test' if name in rows else 'Trial'} {name}: {_in_short(one)}"
        loss = one.run.configs[one.name].loss
        trained = None if loss in LOSSES else loss
        figures.curves(path, title, one.run.curve(one.name), recorded, best, trained)
        parts.append(f"![Loss and accuracy of {name}]({path.name})")
    parts += _overviews(first, folder)
    return "\n\n".join(parts)


def _overviews(run: Run, folder: Path) -> list[str]:
    measured = run.trials[run.trials["val_acc"].notna()]
    if len(measured) < 2:
        return []
    figures.overview(folder / "overview.png", run.trials, run.epochs)
    parts = ["![Validation accuracy of every trial](overview.png)"]
    frame = settings_frame(run)
    names = [name for name in frames.varied(run.searched, []) if frame[name].nunique() > 1]
    if names:
        figures.scatter(folder / "settings.png", frame, names, log_settings([run]))
        parts.append("![Best validation accuracy against each setting](settings.png)")
    return parts


def _rocs(run: Run, folder: Path) -> str:
    """Draw the first seed's test pairs of every trial that was tested; '' without scores."""
    parts = []
    for trial, tests in run.tests.items():
        tested: dict[str, pd.DataFrame] = {}
        for test in tests:
            if test["protocol"] not in tested and exists(test["scores"]):
                try:
                    judged = scores.read(test["scores"])
                except scores.OlderScores as error:
                    parts.append(f"No ROC curve of trial {trial}: {error}")
                    continue
                if judged["log_odds"].notna().all() and judged["same_person"].nunique() == 2:
                    tested[test["protocol"]] = judged
        if tested:
            path = folder / f"roc-{trial}.png"
            figures.verification(path, f"Test pairs of trial {trial}", tested)
            parts.append(f"![ROC curves and scores of trial {trial}]({path.name})")
    return "\n\n".join(parts)


def _paired(run: Run) -> str:
    """Compare the tests of a protocol with the best of them, pair by pair; '' without two."""
    tested: dict[str, dict[str, pd.DataFrame]] = {}
    for trial, tests in run.tests.items():
        for test in tests:
            if exists(test["scores"]):
                with suppress(scores.OlderScores):  # which ``_rocs`` tells of
                    frame = scores.read(test["scores"])
                    nets = tested.setdefault(test["protocol"], {})
                    nets[f"{trial}, seed {test['seed']}"] = frame
    lines = [line for name, nets in tested.items() for line in scores.compared(name, nets)]
    return "\n".join(f"- {line}" for line in lines)


def _folds(run: Run) -> str:
    """Write the ten-fold tables that search.retrain left; '' without."""
    files = sorted(run.folder.glob(f"retrain/*/{TEN_FOLD}/seed-*/folds.json"))
    found = [tables.folds(read_folds(file, KINDS, MEASURES)) for file in files]
    if not found:
        return ""
    return "\n\n".join(
        [
            "CFP's ten folds, accuracy in percent, mean ± std over the folds; AUC and "
            "EER likewise. Each fold is trained on eight of the others, the ninth "
            "chooses epoch and thresholds.",
            *found,
        ]
    )


def _records(runs: Sequence[Run]) -> dict[str, pd.DataFrame]:
    found = {}
    for run in runs:
        planned = {trial: config.epochs for trial, config in run.configs.items()}
        found[run.folder.name] = rule_audit.record(run.trials, planned)
    return found


def _ranked(runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        return markdown(runs[0].trials)
    return "\n\n".join(f"### {run.folder.name}\n\n{markdown(run.trials)}" for run in runs)


def _in_short(one: Measured) -> str:
    config = one.run.configs[one.name]
    words = [config.net, config.join, config.loss, f"lr {config.lr:g}"]
    words += [name for name in ("pretrained", "freeze", "augment") if getattr(config, name)]
    return ", ".join(words)


def _command(command: object) -> str:
    text = " ".join(map(str, command)) if isinstance(command, list) else str(command or "–")
    return plain(text).replace("`", "'")  # it stands in a code span


def _listed(facts: object) -> str:
    if not isinstance(facts, dict):
        return str(facts or "–")
    written = {
        name: ", ".join(map(str, value)) or "none" if isinstance(value, list) else value
        for name, value in facts.items()
    }
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in written.items())
