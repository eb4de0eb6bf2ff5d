"""The report's pictures of the pairs that a net judged worst, drawn from the dataset's images."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from scipy.special import expit

from facesiam.config.trial import Packing
from facesiam.data.dataset import cache_root, open_packed
from facesiam.data.formats import open_dataset
from facesiam.data.geometry import decode, letterbox
from facesiam.data.preparation import DRAWN
from facesiam.errors import DataError, UserError
from search.analysis import scores
from search.report.chart import Picture, Pictures
from search.report.report_data import Run
from search.report.tested_nets import TestedNet
from search.runs.layout import data_of

SHOWN = 12
"""Pairs of each kind of error."""
SIDE, GAP = 128, 4
"""Of an image, and between the two of a pair, in pixels."""
QUALITY = 80
"""Of the JPEG: a pair takes 6 to 8 kB, and one of pure noise 23 kB."""

COLUMNS = ["first", "second", "log_odds"]
"""Of ``scores.by_pair``."""

Look = Callable[[str], Image.Image]
"""Returns the image of a path in the dataset."""


def worst_pairs(
    run: Run, net: TestedNet, data: str | None = None
) -> tuple[list[Pictures], list[str]]:
    """Return the pairs that a net was most wrongly sure of, as pictures.

    Args:
        run: that the net is of.
        net: with its test pairs.
        data: where the run's data is now; None: where it was.

    Returns:
        False accepts and false rejects, without a kind of which there are none, and a sentence
        where the images are not on this machine.

    Raises:
        RunError: the scores call a pair both of one person and of two.
    """
    pairs = scores.by_pair(net.pairs, net.name).reset_index()
    same = pairs["same_person"] == 1
    accepted = pairs[~same & (pairs["log_odds"] > 0)].sort_values("log_odds", ascending=False)
    rejected = pairs[same & (pairs["log_odds"] <= 0)].sort_values("log_odds")
    kinds = (
        ("false-accepts", "Different people taken for the same", accepted, int((~same).sum())),
        ("false-rejects", "The same person taken for two", rejected, int(same.sum())),
    )
    if accepted.empty and rejected.empty:
        return [], []
    try:
        look, how = _images(run, net, data)
        found = [
            Pictures(
                name,
                f"{title}: the worst of {net.name}",
                [
                    _picture(left, right, log_odds, look)
                    for left, right, log_odds in wrong[COLUMNS].head(SHOWN).values.tolist()
                ],
                f"The {min(SHOWN, len(wrong))} furthest from the threshold of {len(wrong):,} "
                f"that are wrong, of {count:,} pairs of this kind; {how}.",
            )
            for name, title, wrong, count in kinds
            if len(wrong)
        ]
    except UserError as error:
        return [], [f"The worst judged pairs are not shown: {error}."]
    return found, []


def _images(run: Run, net: TestedNet, data: str | None) -> tuple[Look, str]:
    """Return what finds an image, and a clause on where: packed for a trial, or the files.

    Raises:
        DataError: the data is not on this machine.
    """
    source, key, format = data_of(run.folder)
    config = run.configs.get(net.trial) or run.configs[str(run.trials["trial"].iloc[0])]
    if data is None:
        try:
            return _packed(cache_root() / key, config.packing), "as the net saw them"
        except DataError:
            pass  # packed on another machine, or swept since
    if (data or source) == DRAWN:
        raise DataError("the drawn faces of this run are not in the cache of this machine")
    dataset = open_dataset(Path(data or source).expanduser(), format)

    def look(name: str) -> Image.Image:
        if not dataset.source.has(name):
            raise DataError(f"{data or source}: has no {name}, so it is not the data of this run")
        try:
            return letterbox(decode(dataset.source.read(name), SIDE), SIDE)
        except ValueError as error:
            raise DataError(f"{data or source}: {name} cannot be read ({error})") from None

    return look, f"the images are the files that {data or source} holds now"


def _packed(folder: Path, packing: Packing) -> Look:
    """Return what finds an image among the packed ones.

    Raises:
        DataError: they are not packed so.
    """
    packed = open_packed(folder)
    pixels = packed.pixels(packing)
    number = {name: at for at, name in enumerate(packed.names)}

    def look(name: str) -> Image.Image:
        if name not in number:
            raise DataError(f"{folder}: has no {name}, so it is not the data of this test")
        return Image.fromarray(pixels[number[name]])

    return look


def _picture(left: str, right: str, log_odds: float, look: Look) -> Picture:
    """Return a pair side by side, with its score and the paths of its images."""
    sheet = Image.new("RGB", (2 * SIDE + GAP, SIDE), "white")
    for name, x in ((left, 0), (right, SIDE + GAP)):
        sheet.paste(look(name).resize((SIDE, SIDE), Image.Resampling.BILINEAR), (x, 0))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=QUALITY)
    return Picture(
        file.getvalue(),
        f"“same person” with {100 * expit(log_odds):.1f} %, log-odds {log_odds:+.2f}: "
        f"{left} and {right}",
    )
