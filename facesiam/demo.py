"""Predict whether two faces are one person.

With two images, a picture of both with the prediction is written. Without, a picture of pairs of
the test split is, as in the 2019 study: a row of different people, then a row of the same person,
with the test accuracy above. A net knows such faces as it was trained on: one of drawn faces
cannot tell people on photographs apart.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facesiam import cli, files
from facesiam.cli.terminal import doing
from facesiam.config import TrialConfig
from facesiam.config.settings import positive, random_seed
from facesiam.data import input_images
from facesiam.data.dataset import Pairs
from facesiam.data.preparation import DRAWN, prepare_known
from facesiam.errors import DataError, reason
from facesiam.plugins import loading

if TYPE_CHECKING:
    from facesiam.nets.siamese import SiameseNet

SIDE, GAP, CAPTION, TITLE = 224, 12, 30, 44
SAME, DIFFERENT = "The same person", "NOT the same person"
UNKNOWN = "no prediction: its score is not a number"
GREEN, RED, INK, PAPER = (22, 120, 60), (176, 32, 32), (30, 30, 30), (255, 255, 255)


@dataclass(frozen=True)
class Prediction:
    """A pair as it is drawn."""

    left: Image.Image
    right: Image.Image
    same: float
    """Probability of "same person"."""
    truth: bool | None
    """Whether it is the same person, where that is known."""

    @property
    def caption(self) -> str:
        """The prediction and its probability."""
        if math.isnan(self.same):
            return UNKNOWN
        return f"{SAME if self.same > 0.5 else DIFFERENT} ({max(self.same, 1 - self.same):.0%})"

    @property
    def colour(self) -> tuple[int, int, int]:
        """Green for a right prediction, red for a wrong one, black for unknown truth."""
        if self.truth is None:
            return INK
        if math.isnan(self.same):  # no prediction counts as wrong
            return RED
        return GREEN if (self.same > 0.5) == self.truth else RED


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 2 wrong input."""
    options = parser().parse_intermixed_args(argv)  # an option may stand before the images
    return cli.run(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    if len(options.images) not in (0, 2):
        raise DataError(f"give two images or none, got {len(options.images)}")
    out, kind = Path(options.out), _picture_kind(options.out)
    loading.load_all(options.plugin)
    doing(f"reading {options.weights}")
    from facesiam.evaluation.thresholds import describe_threshold, own_threshold
    from facesiam.nets.checkpoint import load_model  # torch takes seconds to import
    from facesiam.nets.weight_files import check_finite

    net, config, info = load_model(options.weights)
    check_finite(options.weights, net.state_dict())
    if options.images:
        pair = predict_files(net, config, *map(Path, options.images))
        title, rows = "", [[pair]]
        cli.show(pair.caption)
    else:
        title, rows = predict_test_pairs(net, config, options, info.get("data"))
        cli.show(title)
        own = own_threshold(config.to_dict())
        cli.show(f"threshold: {describe_threshold(own, config.protocol)}")
    sheet = draw(title, rows)
    try:
        with files.atomic(out) as partial:
            sheet.save(partial, kind)
    except (OSError, ValueError) as error:
        raise DataError(f"--out {out}: cannot be written ({reason(error)})") from None
    cli.show(out)
    return 0


def _picture_kind(out: str) -> str:
    """Return Pillow's name of the kind of picture that a file's suffix means."""
    kind = Image.registered_extensions().get(Path(out).suffix.lower())
    if kind not in Image.SAVE:
        raise DataError(f"--out {out}: must end as a picture does, in .png or .jpg")
    return kind


def predict_files(net: SiameseNet, config: TrialConfig, first: Path, second: Path) -> Prediction:
    """Predict for two image files, brought to the form that the net was trained with.

    Raises:
        DataError: a file is missing or is no image.
    """
    from facesiam.evaluation.predict import predict

    left, right = (input_images.of_file(path, config.packing) for path in (first, second))
    one, other, unknown = (np.array([n]) for n in (0, 1, 0))
    pair = Pairs(one, other, unknown, None)
    same = predict(net, config, np.stack([np.asarray(left), np.asarray(right)]), pair)
    return Prediction(left, right, float(same[0]), truth=None)


def predict_test_pairs(
    net: SiameseNet, config: TrialConfig, options: argparse.Namespace, trained_on: str | None
) -> tuple[str, list[list[Prediction]]]:
    """Predict for every test pair; return a title with the accuracy, and the rows to draw.

    Raises:
        DataError: no data, or other data than the net was trained on, whose test people it may
            have seen.
    """
    from scipy.special import expit

    from facesiam.evaluation.metrics import accuracy, wilson
    from facesiam.evaluation.predict import log_odds

    whose = f"{options.weights} was trained on"
    given, format = (options.data, None) if options.data else data_of_run(Path(options.weights))
    data = prepare_known(given, [config.packing], trained_on, whose, format)
    pairs = data.pairs_of(config, "test")
    pixels = data.pixels(config.packing)
    odds = log_odds(net, config, pixels, pairs)
    right, same = accuracy(odds, pairs.label), expit(odds)
    count = len(np.unique(data.distinct(pairs)))
    low, high = wilson(round(right * count), count)
    title = (
        f"Test accuracy {100 * right:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {len(odds)} "
        "pairs" + (f", {count} of them distinct" if count < len(odds) else "")
    )
    rng = np.random.default_rng(options.seed)
    rows = []
    for label in (1, 0):
        of_kind = np.flatnonzero(pairs.label == label)
        chosen = rng.choice(of_kind, min(options.pairs, len(of_kind)), replace=False)
        rows.append(
            [
                Prediction(
                    Image.fromarray(pixels[pairs.left[n]]),
                    Image.fromarray(pixels[pairs.right[n]]),
                    float(same[n]),
                    label == 0,
                )
                for n in chosen
            ]
        )
    return title, rows


def data_of_run(weights: Path) -> tuple[str | None, str | None]:
    """Return the data of the run in whose folder weights lie, and what the run read them as.

    None and None of weights that lie in none, or of data that were moved since.
    """
    # Of RUN/weights/0001.pt or RUN/retrain/0001/seed-1/weights.pt; [0] holds weights alone.
    above = list(weights.absolute().parents)
    for folder in above[1:4]:
        data = files.read_object(folder / "manifest.json").get("data")
        if isinstance(data, dict) and isinstance(source := data.get("source"), str):
            there = source == DRAWN or files.exists(Path(source))
            # Runs of before there was another format do not name it.
            return (source, data.get("format", "cfp")) if there else (None, None)
    return None, None


def draw(title: str, rows: list[list[Prediction]]) -> Image.Image:
    """Draw rows of pairs, each above its prediction, under a title."""
    top = TITLE if title else GAP
    cell_wide, cell_high = 2 * SIDE + 2 * GAP, SIDE + CAPTION + GAP
    size = (GAP + cell_wide * max(map(len, rows)), top + cell_high * len(rows))
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, GAP), title, INK, ImageFont.load_default(20))
    for down, row in enumerate(rows):
        for across, pair in enumerate(row):
            x, y = GAP + across * cell_wide, top + down * cell_high
            sheet.paste(_shown(pair.left), (x, y))
            sheet.paste(_shown(pair.right), (x + SIDE, y))
            pen.text(
                (x + SIDE, y + SIDE + 4),
                pair.caption,
                pair.colour,
                ImageFont.load_default(18),
                anchor="ma",
            )
    return sheet


def _shown(image: Image.Image) -> Image.Image:
    """Return a packed image in the size in which it is drawn."""
    return image if image.width == SIDE else image.resize((SIDE, SIDE))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.Parser(prog=cli.program("facesiam.demo"), description=__doc__)
    parser.add_argument(
        "weights",
        metavar="WEIGHTS",
        help="file of weights: weights/TRIAL.pt in a run folder, or the weights.pt that "
        "search.retrain wrote",
    )
    parser.add_argument(
        "images", nargs="*", default=[], metavar="IMAGE", help="two images to compare"
    )
    parser.add_argument(
        "--data", help="CFP zip, its folder, or the word drawn, for test pairs (those of the run)"
    )
    parser.add_argument("--pairs", type=positive, default=4, help="pairs a row (4)")
    parser.add_argument("--seed", type=random_seed, default=0, help="chooses the pairs (0)")
    loading.add_option(parser)
    parser.add_argument("--out", default="demo.png", help="picture to write (demo.png)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
