"""Verify faces: are two images, or the pairs of a table, the same person?

A and B are two image files. With --csv, a table with the columns left,right and, where it is
known, same is judged, and a table of scores written. With --pairs, the net as it is is tested on a
dataset that lists pairs, by the ten-fold accuracy of LFW. Images are cropped faces: there is no
face detector.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facesiam import cli, files
from facesiam.cli.terminal import WHOLE, columns, doing, fitted
from facesiam.config.settings import rate
from facesiam.data.formats import FORMATS
from facesiam.data.preparation import prepare
from facesiam.errors import DataError, reason
from facesiam.export.pair_table import Table, read
from facesiam.plugins import loading

if TYPE_CHECKING:
    from facesiam.verifier import Comparison, Verifier

SCORES = ("left", "right", "same_person", "score", "probability", "same")
"""Columns of the table that is written."""
FOLDED = {
    "accuracy": "accuracy",
    "tpr_at_fpr_1e-2": "true accepts at 1 % false accepts",
    "fpr_1e-2": "false accepts there",
    "tpr_at_fpr_1e-3": "true accepts at 0.1 % false accepts",
    "fpr_1e-3": "false accepts there",
}
"""The figures of the ten folds, as they are printed."""
_AT_ONCE = 1024


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 2 wrong input."""
    options = parser().parse_intermixed_args(argv)  # an option may stand before the images
    return cli.run(lambda: _main(options))


def _refuse_wrong(options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    asked = (bool(options.images), options.csv is not None, options.pairs is not None)
    if sum(asked) != 1 or len(options.images) not in (0, 2):
        where = "; the folder of the images of --csv is --folder DIR" if options.csv else ""
        raise DataError(f"give two images, or --csv FILE, or --pairs DATA{where}")
    for name, whose, needed in (
        ("folder", "csv", options.csv),
        ("format", "pairs", options.pairs),
        ("out", "csv", options.csv),
    ):
        if getattr(options, name) and not needed:
            raise DataError(f"--{name} goes with --{whose}")
    if options.pairs and options.far:
        raise DataError("--far: not with --pairs, whose folds have thresholds each")


def _main(options: argparse.Namespace) -> int:
    _refuse_wrong(options)
    loading.load_all(options.plugin)
    doing(f"reading {options.weights}")
    from facesiam.evaluation.fixed_folds import fixed_folds  # torch takes seconds to import
    from facesiam.export import folder
    from facesiam.verifier import Verifier

    stored = folder.load(options.weights)
    if stored.path != Path(options.weights).expanduser():  # of a run folder
        cli.say(f"net: {stored.path}")
    if better := folder.better_kept(options.weights, stored.path):
        cli.say(fitted(better, columns(WHOLE)))
    if options.pairs:
        data = prepare(options.pairs, [stored.config.packing], format=options.format)
        known = stored.info.get("data")
        for note in data.notes:  # such as pairs that are left out
            _show(f"data: {note}")
        for line in folds_told(fixed_folds(stored.net, stored.config, data, known)):
            _show(line)
        return 0
    verifier = Verifier.of(stored)
    verifier.threshold(options.far)  # refused before anything is computed
    if said := verifier.too_few(options.far):
        cli.say(fitted(said, columns(WHOLE)))
    if options.images:
        one, other = options.images
        _show(told(verifier.compare(one, other, options.far), verifier, options.far))
        return 0
    table = read(options.csv)
    root = Path(options.folder).expanduser() if options.folder else options.csv.parent
    out = options.out or Path("scores.csv")
    if files.exists(out) and out.resolve() == options.csv.resolve():
        raise DataError(f"--out {out}: is the table that is judged; give another file")
    judged = judge(verifier, table, root, options.far)
    try:
        files.write_text(out, _scores(table, judged))
    except OSError as error:
        raise DataError(f"--out {out}: cannot be written ({reason(error)})") from None
    for line in rates(verifier, table, judged, options.far):
        _show(line)
    cli.show(f"wrote {out}")
    return 0


def _show(text: str) -> None:
    """Print text that fits the terminal."""
    cli.show(fitted(text, columns(WHOLE)))


def told(found: Comparison, verifier: Verifier, far: float | None) -> str:
    """Return the answer for one pair in a line."""
    answer = "the same person" if found.same else "NOT the same person"
    return (
        f"{answer}: score {found.score:.4f}, probability of the same {found.probability:.4f}, "
        f"{standing(verifier, far)}"
    )


def standing(verifier: Verifier, far: float | None) -> str:
    """Return the threshold that is judged at, with what decides it."""
    if far is not None:
        threshold = verifier.threshold(far)
        return f"threshold {threshold:.4f} (of a false-accept rate of {far:g} on validation pairs)"
    return f"threshold {verifier.own_threshold:.4f} ({verifier.describe_own_threshold()})"


def judge(verifier: Verifier, table: Table, root: Path, far: float | None) -> Comparison:
    """Compare every pair of a table; each image is read once.

    Raises:
        DataError: images are missing, with their number and the first, or one is no image.
    """
    names = sorted({*table.left, *table.right})
    missing = {name for name in names if not files.is_file(root / name)}
    for line, *ends in zip(table.places, table.left, table.right, strict=True):
        for name in (end for end in ends if end in missing):
            more = f", and {len(missing) - 1:,} more of {len(names):,}" if len(missing) > 1 else ""
            hint = "; --folder DIR is where the table's paths begin" if missing == {*names} else ""
            raise DataError(f"{line}: {root / name}: no such file{more}{hint}")
    features = verifier.embed([root / name for name in names])
    place = {name: at for at, name in enumerate(names)}
    left, right = (np.array([place[name] for name in ends]) for ends in (table.left, table.right))
    parts = [
        verifier.compare_embedded(
            features[left[at : at + _AT_ONCE]], features[right[at : at + _AT_ONCE]], far
        )
        for at in range(0, len(left), _AT_ONCE)
    ]
    from facesiam.verifier import Comparison

    return Comparison(
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.probability for part in parts]),
        np.concatenate([part.same for part in parts]),
    )


def rates(verifier: Verifier, table: Table, judged: Comparison, far: float | None) -> list[str]:
    """Return the accuracy and the rates of the pairs of which the truth is known, a line each."""
    from facesiam.evaluation.metrics import wilson
    from facesiam.evaluation.thresholds import Judged, rates_at

    known = [at for at, same in enumerate(table.same) if same is not None]
    if not known:
        return []
    truth = np.array([table.same[at] for at in known])
    said, score = np.asarray(judged.same)[known], np.asarray(judged.score)[known]
    distinct = _distinct(table, known)
    n, right = len(np.unique(distinct)), float((said == truth).mean())
    low, high = wilson(round(right * n), n)
    lines = [
        f"pairs of the table, judged at the {standing(verifier, far)}",
        f"accuracy {_share(right, low, high)}, n {n:,}",
    ]
    threshold = verifier.own_threshold if far is None else verifier.threshold(far)
    assert threshold is not None
    found = rates_at(Judged(score, np.where(truth, 0, 1), distinct), threshold)
    for what, share in zip(("false accepts", "true accepts"), found, strict=True):
        if share["n"]:
            shown = _share(share["value"], share["low"], share["high"])
            lines.append(f"{what} {shown}, n {share['n']:,}")
    if again := len(known) - n:
        lines.append(f"pairs that come again: {again:,}; each counts in the shares, not in n")
    return lines


def folds_told(found: Mapping[str, Any]) -> list[str]:
    """Return what ``fixed_folds`` found, a line each."""
    lines = [
        f"{found['pairs']:,} pairs, mean ± standard deviation over the ten folds",
        "each fold is judged at the threshold where most pairs of the nine others are judged "
        "right, or that keeps their false accepts",
    ]
    for name, title in FOLDED.items():
        mean, std = found[name]["mean"], found[name]["std"]
        lines.append(f"{title} {100 * mean:.2f} ± {100 * std:.2f} %")
    for name, title in (("auc", "AUC"), ("eer", "equal error rate")):
        whole = found[name]
        lines.append(f"{title} of all pairs {_share(whole['value'], whole['low'], whole['high'])}")
    return [*lines, *found["notes"]]


def _distinct(table: Table, rows: Sequence[int]) -> NDArray[np.int64]:
    """Return a number for each pair, the same for the same two paths in any order."""
    numbers: dict[frozenset[str], int] = {}
    ends = (frozenset((table.left[at], table.right[at])) for at in rows)
    return np.array([numbers.setdefault(pair, len(numbers)) for pair in ends])


def _share(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _scores(table: Table, judged: Comparison) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SCORES)
    found = [np.asarray(part).tolist() for part in (judged.score, judged.probability, judged.same)]
    truth = ["" if same is None else int(same) for same in table.same]
    rows = zip(table.left, table.right, truth, found[0], found[1], map(int, found[2]), strict=True)
    writer.writerows(rows)
    return text.getvalue()


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.Parser(prog=cli.program("facesiam.verify"), description=__doc__)
    parser.add_argument(
        "weights",
        metavar="WEIGHTS",
        help="file of weights, run folder, or folder that facesiam.export wrote",
    )
    parser.add_argument("images", nargs="*", default=[], metavar="A B", help="two image files")
    parser.add_argument(
        "--far",
        type=rate,
        metavar="RATE",
        help="use the threshold of this false-accept rate on validation pairs, such as 1e-3; an "
        "export with --data stores those of 1e-1, 1e-2 and 1e-3",
    )
    parser.add_argument(
        "--pairs",
        metavar="DATA",
        help="a dataset that lists pairs (LFW, a CSV of pairs, an insightface .bin, CFP)",
    )
    parser.add_argument("--format", choices=FORMATS, metavar="NAME", help="what it is read as")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="table: left,right[,same]")
    parser.add_argument("--folder", metavar="DIR", help="of its images (the table's own)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="of its scores (scores.csv)")
    loading.add_option(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
