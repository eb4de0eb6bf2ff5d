"""The folder of a run: chosen, checked to be new or resumable, locked against other searches."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facesiam.config.settings import nearest
from facesiam.files import exists, is_dir, unwritable
from search.runs import layout
from search.runs.reuse import RunRefused, as_begun, refuse_changes
from search.space import SearchSpace
from search.space.run_options import RunOptions


def choose(options: RunOptions, space: SearchSpace) -> tuple[SearchSpace, Path, str | None]:
    """Return the space, the absolute folder of the run, and its URL where `--out` is one.

    The folder is checked to be free or, with --resume, to exist, and the space then to be that of
    the run; what the file leaves open is as the run began.

    Raises:
        RunRefused: the name is taken, is no name, or the folder cannot be written.
        StorageError: the URL cannot be reached.
    """
    name = options.name or space.name
    if not re.fullmatch(r"[\w][\w.\-]*", name):
        raise RunRefused(f"--name {name}: letters, digits, '-', '_' and '.' only")
    if ":/" in options.out:
        run, url = _behind_url(options, name)
    else:
        run, url = Path(options.out).absolute() / name, None
        if not options.resume and not options.dry_run and _is_taken(run):
            raise RunRefused(f"{run} exists; go on with --resume, or give another --name")
    if options.resume:
        _refuse_no_run(run, url)
        space = as_begun(run, space)
        refuse_changes(run, space)
    nearest = next(p for p in (run, *run.parents) if exists(p))
    if why := unwritable(nearest):
        raise RunRefused(f"--out {options.out}: {why}")
    return space, run, url


@contextmanager
def claimed(
    options: RunOptions, space: SearchSpace, run: Path, url: str | None, data: tuple[str, str]
) -> Iterator[None]:
    """Within this the folder, which is locked, is this run's; one that never began leaves none.

    The folder is checked once more: while this start packed the data or waited for Ray, another
    one may have begun a run of the same name, ended it, or gone on with it under an edited space.

    Args:
        options: of the command.
        space: what is searched.
        run: the folder.
        url: of the run, where it lies behind one.
        data: where the data are from, and the key of their content.

    Raises:
        RunRefused: as ``choose``.
    """
    if options.resume:
        _refuse_no_run(run, url)
        refuse_changes(run, space)
        refuse_other_data(run, *data)
    elif _is_taken(run):
        raise RunRefused(
            f"{url or run} exists, begun by another command since this one was started; go on "
            "with --resume, or give another --name"
        )
    try:
        yield
    finally:
        if not options.resume and not (run / layout.MANIFEST).exists():
            shutil.rmtree(run, ignore_errors=True)  # nothing but what this start made


def refuse_other_data(run: Path, source: str, key: str) -> None:
    """Refuse to go on with a run, or race its trials, on other data than it began with.

    Args:
        run: its folder.
        source: where the data are from.
        key: of their content.

    Raises:
        RunRefused: names both data.
    """
    first_source, first_key, _ = layout.data_of(run)
    if first_key != key:
        raise RunRefused(
            f"{run} was started on other data ({first_source}, content {first_key[:12]}; {source} "
            f"has {key[:12]})"
        )


def _refuse_no_run(run: Path, url: str | None) -> None:
    """Refuse to go on with a run that is not there."""
    if not exists(run / layout.MANIFEST):
        near = "" if url else _near(run.name, run.parent)
        raise RunRefused(f"--resume: there is no run at {url or run}{near}")


def _is_taken(run: Path) -> bool:
    """Say whether a folder has anything but the lock of a start that failed."""
    return exists(run) and (not is_dir(run) or any(f.name != ".lock" for f in run.iterdir()))


def _behind_url(options: RunOptions, name: str) -> tuple[Path, str]:
    """Return the folder here and the URL of a run behind a URL, as ``choose``."""
    from facesiam.storage.bucket import join
    from search.runs.mirror import Mirror, fetched, folder_for

    if not re.match(r"\w[\w+.-]*://[^/?]|file:///", options.out):
        raise RunRefused(f"--out {options.out}: no URL; such as s3://bucket/runs or file:///path")
    url = join(options.out, name)
    run = folder_for(url)
    if options.resume:
        fetched(url)
    elif not options.dry_run:
        mirror = Mirror(url, print)
        mirror.bucket.patience = ()  # somebody waits for an answer
        if mirror.exists():
            raise RunRefused(f"{url} exists; go on with --resume, or give another --name")
        if exists(run / layout.MANIFEST):
            raise RunRefused(
                f"{run} has a run of which nothing has reached {url}; go on with --resume, or "
                "give another --name"
            )
    return run, url


def _near(name: str, out: Path) -> str:
    """Return a question that names the run of the most similar name, "" where none is."""
    runs = [p.parent.name for p in out.glob("*/manifest.json")]
    near = nearest(name, runs)
    return f"; did you mean --name {near}?" if near else ""
