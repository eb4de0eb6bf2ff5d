"""Pictures of a run in optuna-dashboard, MLflow and TensorBoard, to look at.

    python scripts/tracker_pictures.py RUN --out FOLDER

Each tool is served on loopback with a copy of the run, and Chromium draws its pages. MLflow's
server is the command that SIAMSEARCH_MLFLOW names (`make test-slow` installs one); without it
there is no picture of MLflow.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import browser

from search.results import main as results

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from ports import answer, served

SETTLE, MOST = 6, 90
"""Seconds without a change after which a page is done, as the tools do not say; and at most."""

MLFLOW_BUTTONS = ("assistant.chat_panel.close", "runnamecellrenderer.tsx_46")
"""What closes the panel beside the table, and what shows the trials under their search."""

SHOWN = "^(val_acc|val_loss|train_loss|test_.*accuracy)"
"""Curves of TensorBoard that are shown."""


def main() -> None:
    """Draw what each tool shows of the run."""
    parser = argparse.ArgumentParser(
        description="Draw a run in optuna-dashboard, MLflow, TensorBoard."
    )
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of the pictures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browser.started() as chromium:
        optuna(options.run, Path(folder), options.out, chromium)
        tensorboard(options.run, options.out, chromium)
        if server := os.environ.get("SIAMSEARCH_MLFLOW"):
            mlflow(server, options.run, Path(folder), options.out, chromium)


def optuna(run: Path, folder: Path, out: Path, chromium: browser.Browser) -> None:
    """Draw the study in optuna-dashboard: its charts and its table."""
    url = f"sqlite:///{folder}/study.db"
    results([str(run), "--optuna", url])
    code = "from optuna_dashboard._cli import main; main()"
    with served([sys.executable, "-c", code, "--host", "127.0.0.1", url]) as address:
        wait = answer(f"{address}/api/studies")["study_summaries"][0]["study_id"]
        for page in ("", "/analytics", "/trials"):
            path = out / f"optuna-dashboard{page.replace('/', '-')}.png"
            draw(chromium, f"{address}/dashboard/studies/{wait}{page}", path)


def tensorboard(run: Path, out: Path, chromium: browser.Browser) -> None:
    """Draw TensorBoard: the curves and the table of settings."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run / "tensorboard")]
    with served(command) as address:
        draw(
            chromium,
            f"{address}/?tagFilter={SHOWN}&smoothing=0#timeseries",
            out / "tensorboard.png",
        )
        draw(chromium, f"{address}/#hparams", out / "tensorboard-hparams.png")


def mlflow(server: str, run: Path, folder: Path, out: Path, chromium: browser.Browser) -> None:
    """Draw the experiment in MLflow: the table of its runs."""
    options = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    options += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1"]
    with served(
        [server, "server", *options], MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"
    ) as address:
        os.environ["MLFLOW_TRACKING_URI"] = address
        results([str(run), "--log", "mlflow"])
        draw(chromium, f"{address}/#/experiments/1/runs", out / "mlflow.png", MLFLOW_BUTTONS)


def draw(chromium: browser.Browser, address: str, path: Path, buttons: Sequence[str] = ()) -> None:
    """Write a PNG of a page, after its buttons were pressed that have these component ids."""
    chromium.look(1400, dark=False)
    chromium.send("Page.navigate", url="about:blank")
    chromium.send("Page.navigate", url=address)
    _settle(chromium, path)
    for button in buttons:
        code = f"document.querySelector('button[data-component-id$=\"{button}\"]')?.click()"
        chromium.send("Runtime.evaluate", expression=code)
        _settle(chromium, path)
    print(f"wrote {path}")


def _settle(chromium: browser.Browser, path: Path) -> None:
    """Write a PNG of the page once it no longer changes."""
    end, seen, last = time.monotonic() + MOST, b"", None
    while seen != last and time.monotonic() < end:
        time.sleep(SETTLE)
        chromium.screenshot(path, whole=False)
        last, seen = seen, path.read_bytes()


if __name__ == "__main__":
    main()
