"""Files that the package ships: the 2019 study's recorded runs, and the space files by name.

In a checkout, and where it was installed from one to be edited, the spaces stand beside the
package; a wheel has them within it (pyproject.toml).
"""

from __future__ import annotations

from pathlib import Path

import search
from facesiam import cli
from facesiam.cli.terminal import WHOLE, columns, fitted
from facesiam.config.settings import did_you_mean
from facesiam.errors import UserError
from facesiam.files import exists, is_dir, is_file

PACKAGE = Path(str(search.__file__)).parent
RECORDINGS = PACKAGE / "pruning" / "recordings"
"""The study's own runs, an epoch a line."""
PLACES = (PACKAGE / "spaces", PACKAGE.parent / "spaces")
"""Where the space files may be: in a wheel, in a checkout."""
SPACES = next((place for place in PLACES if is_dir(place)), PLACES[0])


def whole() -> Path:
    """Return the folder of the recorded runs.

    Raises:
        UserError: they are missing. What rests on them would silently not act.
    """
    if not is_file(RECORDINGS / "index.csv"):
        raise UserError(
            f"{RECORDINGS}: the recorded runs that the package brings along are "
            "missing, so its installation is not whole: install it again"
        )
    return RECORDINGS


def names() -> list[str]:
    """Return the names of the space files that the package brings along."""
    return sorted(path.stem for path in SPACES.glob("*.yaml"))


def space_file(given: str | Path) -> Path:
    """Return the file that is meant by a path, or by the name of one of the package's spaces.

    `code2`, `code2.yaml` and `spaces/code2.yaml` stand for the package's own where there is no
    such file, and that it is taken is said.
    """
    path = Path(given)
    if exists(path) or not _may_name(path):
        return path
    own = SPACES / f"{path.stem}.yaml"
    if not is_file(own):
        return path
    said = f"{given}: not here, so the package's own is taken: {own}"
    cli.say(fitted(said, columns(WHOLE)))
    return own


def near(path: Path) -> str:
    """Return which of the package's spaces may have been meant, as the end of a sentence."""
    if not _is_among(path):
        return ""
    all_of_them = f"; the package brings {', '.join(names())}" * _may_name(path)
    return did_you_mean(path.stem, names()) or all_of_them


def _may_name(path: Path) -> bool:
    return _is_among(path) and path.suffix in ("", ".yaml", ".yml")


def _is_among(path: Path) -> bool:
    return str(path.parent) in (".", "spaces")
