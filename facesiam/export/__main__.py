"""Export a trained net for use in an application.

DIR gets the net as ONNX (embedder.onnx: images to features; verdict.onnx: two images' features to
score and probability) and as safetensors, what an image has to go through (preprocess.json),
thresholds for false-accept rates (thresholds.json), and a model card (README.md). Without --onnx
and --safetensors it gets both. The net takes cropped faces: there is no face detector in it.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facesiam import cli, files
from facesiam.cli.terminal import doing
from facesiam.config import TrialConfig
from facesiam.data.formats import FORMATS
from facesiam.data.preparation import prepare_known
from facesiam.errors import DataError, reason
from facesiam.plugins import loading, registry

if TYPE_CHECKING:
    from facesiam.data.dataset import FaceData
    from facesiam.export.folder import Stored
    from facesiam.export.measured import Measured

COMPARED = 64
"""Validation images on which the ONNX files are compared with torch."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 2 wrong input."""
    options = parser().parse_args(argv)
    return cli.run(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    out = Path(options.out).expanduser()
    chosen = {name for name in ("onnx", "safetensors") if getattr(options, name)}
    chosen = chosen or {"onnx", "safetensors"}
    if options.format and not options.data:
        raise DataError("--format goes with --data")
    doing(f"reading {options.weights}")
    from facesiam.export import folder, onnx_files  # torch takes seconds to import
    from facesiam.export.measured import measure

    for name in sorted(chosen):
        onnx_files.check_installed(f"--{name}")
    if not out.name:
        raise DataError(f"--out {out}: give the name of a folder")
    if files.exists(out) and not (files.is_dir(out) and not any(out.iterdir())):
        raise DataError(f"--out {out}: is there already; remove it, or give another folder")
    loading.load_all(options.plugin)
    stored = folder.load(options.weights)
    cli.show(f"net: {stored.path}")
    if better := folder.better_kept(options.weights, stored.path):
        cli.say(better)
    data = None
    if options.data:
        data = prepare_known(
            options.data,
            [stored.config.packing],
            stored.info.get("data"),
            f"{stored.path} was trained on",
            options.format,
        )
    figures = measure(stored.net, stored.config, data) if data else None
    partial = out.with_name(f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        _make(partial, out)
        _write(stored, partial, chosen, data, figures, out.name)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    cli.show(f"wrote {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    return 0


def _make(partial: Path, out: Path) -> None:
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise DataError(f"--out {out}: cannot be written ({reason(error)})") from None


def _write(
    stored: Stored,
    place: Path,
    chosen: set[str],
    data: FaceData | None,
    figures: Measured | None,
    name: str,
) -> None:
    """Write every file of an export into a folder that is there."""
    from facesiam.export import card, folder, onnx_files

    net, config = stored.net.to("cpu"), stored.config
    if "onnx" in chosen:
        onnx_files.write(net, config, place)
        images, which = _images(config, data)
        differences = onnx_files.largest_difference(net, config, place, images)
        cli.show(f"{onnx_files.describe(differences)}, on {len(images)} {which}")
    if "safetensors" in chosen:
        from safetensors.torch import save

        state = {key: value.contiguous() for key, value in net.state_dict().items()}
        files.write_bytes(place / folder.MODEL, save(state))
    known = {key: stored.info[key] for key in ("epoch", "val_acc", "data") if key in stored.info}
    if used := registry.used_by((config.net, config.loss)):
        known["plugins"] = used
    _json(place / folder.SETTINGS, {"config": config.to_dict(), **known})
    _json(place / folder.PREPROCESS, preprocessing(stored))
    people = len(net.cohort) if config.cohort else 0
    if figures:
        score = card.score_of(config, people)
        about = {"score": score, "protocol": config.protocol, "data": figures.key}
        _json(place / folder.THRESHOLDS, {**about, "rows": figures.thresholds})
    there = sorted(path.name for path in place.iterdir())
    own = float(net.threshold) if net.calibrated else 0.0
    text = card.write(name, config, stored.info, figures, there, own, people)
    files.write_text(place / folder.CARD, text)
    for path in place.iterdir():
        files.sync(path)


def preprocessing(stored: Stored) -> dict[str, Any]:
    """Return what an image goes through: before the net, and as the first step within it."""
    net, config = stored.net, stored.config
    geometry, side = config.packing
    how = {
        "squeeze": "resized to side × side whatever its aspect ratio",
        "letterbox": "its long side resized to side, centred on black",
        "aligned": "turned, scaled and moved by 30 landmarks as facesiam.data.alignment does",
    }
    return {
        "input": {
            "content": "a cropped face; there is no face detector",
            "orientation": "upright, by its EXIF orientation; transparent pixels on white",
            "geometry": geometry,
            "geometry_means": how[geometry],
            "resampling": "Pillow's BILINEAR, which averages where it shrinks",
            "side": side,
            "colour_order": "RGB",
            "range": [0.0, 1.0],
            "layout": ["batch", 3, side, side],
            "type": "float32",
        },
        "within_the_net": {
            "averaged_down_to": config.image_size,
            "mean": net.mean.flatten().tolist() if net.scaled else [0.0, 0.0, 0.0],
            "deviation": net.deviation.flatten().tolist() if net.scaled else [1.0, 1.0, 1.0],
            "flip_average": config.flip_average,
            "scale_average": config.scale_average,
        },
    }


def _images(config: TrialConfig, data: FaceData | None) -> tuple[NDArray[np.uint8], str]:
    """Return packed images to compare on, and what they are."""
    if data is not None:
        pairs = data.pairs_of(config, "val")
        used = data.images_of(pairs, "protocol")[:COMPARED]
        return data.pixels(config.packing)[used], "validation images"
    shape = (8, config.packed_size, config.packed_size, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return noise, "images of noise, as no --data was given"


def _json(path: Path, content: dict[str, Any]) -> None:
    files.write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.Parser(prog=cli.program("facesiam.export"), description=__doc__)
    parser.add_argument(
        "weights",
        metavar="WEIGHTS",
        help="file of weights, or a run folder: of the nets in its retrain/, else weights/, the "
        "best one by the metric that ranked the run",
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="folder to write; a new one")
    parser.add_argument("--onnx", action="store_true", help="embedder.onnx and verdict.onnx")
    parser.add_argument("--safetensors", action="store_true", help="model.safetensors")
    parser.add_argument(
        "--data",
        help="the data that the net was trained on, for the thresholds (of its validation pairs) "
        "and figures of the model card; without it there are none",
    )
    parser.add_argument(
        "--format", choices=FORMATS, metavar="NAME", help=f"of the data, {', '.join(FORMATS)}"
    )
    loading.add_option(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
