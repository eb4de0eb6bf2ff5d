"""Checks of what an option of ``search.run`` needs, before anything is prepared."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from facesiam import nearby
from facesiam.files import exists, is_dir
from search.runs import layout
from search.runs.reuse import RunRefused
from search.space import SearchSpace
from search.space.algorithms import LEARNS_FROM_EARLIER
from search.space.run_options import RunOptions
from search.tuning import warm_start


def check_place(options: RunOptions, space: SearchSpace) -> None:
    """Refuse `data:` that lies beside the space file, and not where the command runs."""
    given = Path(space.data or "drawn")
    beside = Path(options.space).resolve().parent / given
    if options.data or space.data == "drawn" or exists(given) or not exists(beside):
        return
    raise RunRefused(
        f"{options.space}: data: {given}: a relative path begins in the folder where the command "
        f"runs, where there is none; write {beside}"
    )


def check_weights(given: Path) -> None:
    """Refuse ``--weights`` that are not there; whether they fit is told where they are read."""
    if not exists(given):
        near = nearby.did_you_mean(given, _suits, ())
        raise RunRefused(f"--weights {given}: no such file or folder{near}")


def _suits(path: Path) -> bool:
    return nearby.is_weights(path) or is_dir(path)


def check_warm_start(options: RunOptions, space: SearchSpace, run: Path) -> None:
    """Refuse a warm start that cannot be, before anything is prepared."""
    if options.resume and not exists(run / layout.WARM_START):
        raise RunRefused("--warm-start: this run began without one; leave it out, or start anew")
    if space.algorithm not in LEARNS_FROM_EARLIER:
        learn = " and ".join(LEARNS_FROM_EARLIER)
        raise RunRefused(
            f"--warm-start: algorithm {space.algorithm} cannot begin with the scores of another "
            f"run; {learn} can"
        )
    if space.costs:
        raise RunRefused(
            f"--warm-start: the scores of another run come without {' and '.join(space.costs)}, "
            f"which metric: asks for; leave one of them out"
        )
    for earlier in options.warm_start:
        warm_start.check(earlier)


def check_dashboard(options: RunOptions) -> None:
    """Refuse Ray's dashboard where it cannot start."""
    if options.address:
        raise RunRefused(
            "--dashboard: a cluster's dashboard starts with its head, ray start --head"
        )
    if not find_spec("aiohttp_cors"):
        raise RunRefused("--dashboard: its packages are missing; pip install 'ray[default]'")
