"""A folder of images for each person, in which an image cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tiny_cfp
import tiny_datasets
from PIL import Image

from .cases import Cases

PICTURES = Cases("pictures", tiny_datasets.folders)
"""Ten people of three images."""


def _noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))


@PICTURES.flawed(
    "p00/2.png is not a readable image (neither JPEG nor PNG nor WebP nor BMP, but an empty file)",
    packing=True,
)
def an_empty_image(root: Path) -> None:
    (root / "p00/2.png").write_bytes(b"")


@PICTURES.flawed(
    "p00/2.png is not a readable image (image file is truncated)",
    packing=True,
)
def a_truncated_png(root: Path) -> None:
    image = root / "p00/2.png"
    _noise().save(image)
    image.write_bytes(image.read_bytes()[:-900])


@PICTURES.flawed(
    "p00/2.jpg is not a readable image (image file is truncated (30 bytes not processed))",
    packing=True,
)
def a_truncated_jpeg(root: Path) -> None:
    image = root / "p00/2.jpg"
    _noise().save(image)
    image.write_bytes(image.read_bytes()[:-900])


@PICTURES.flawed(
    "p00/2.jpg is not a readable image (neither JPEG nor PNG nor WebP nor BMP, but a HEIC or "
    "AVIF)",
    packing=True,
)
def a_heic_called_jpg(root: Path) -> None:
    (root / "p00/2.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))


@PICTURES.flawed(
    "p00/2.jpg is not a readable image (neither JPEG nor PNG nor WebP nor BMP, but a page of "
    "HTML or XML)",
    packing=True,
)
def a_web_page_called_jpg(root: Path) -> None:
    tiny_cfp.text(root / "p00/2.jpg", ["<!DOCTYPE html>", "<title>404 Not Found</title>"])


@PICTURES.flawed(
    "p00/2.jpg is not a readable image (neither JPEG nor PNG nor WebP nor BMP)",
    packing=True,
)
def a_text_called_jpg(root: Path) -> None:
    tiny_cfp.text(root / "p00/2.jpg", ["a photograph of Ann"])


@PICTURES.flawed(
    "p00/1.png is not a readable image (neither JPEG nor PNG nor WebP nor BMP, but a pointer of "
    "Git LFS, fetch the file itself)",
    "p00/2.png is not a readable image (neither JPEG nor PNG nor WebP nor BMP, but a pointer of "
    "Git LFS, fetch the file itself)",
    "p00/3.png is not a readable image (neither JPEG nor PNG nor WebP nor BMP, but a pointer of "
    "Git LFS, fetch the file itself)",
    packing=True,
)
def pointers_of_git_lfs(root: Path) -> None:
    for image in root.glob("p00/*.png"):
        tiny_cfp.text(image, ["version https://git-lfs.github.com/spec/v1", f"size {image.stem}"])


@PICTURES.flawed(
    "p00/2.png is not a readable image (an animation of 2 pictures; give one of them)",
    packing=True,
)
def an_animation(root: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (n, 0, 0)) for n in (1, 200)]
    frames[0].save(root / "p00/2.png", save_all=True, append_images=frames[1:])
