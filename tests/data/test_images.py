"""Image files of every kind → the pixels that a viewer shows, worked out by hand."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facesiam.data import geometry, images


def decode(content: bytes) -> Image.Image:
    """Decode a file as for packing at 224 pixels."""
    return geometry.decode(content, 224)


def encoded(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **how)
    return stream.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, **chunks: bytes) -> bytes:
    """A PNG written by hand: `rows` as they are packed, each begins with its filter, 0."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    between = b"".join(chunk(name.encode(), body) for name, body in chunks.items())
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + between
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def pixels(content: bytes) -> list[list[int]]:
    """The first row's pixels."""
    return [list(map(int, pixel)) for pixel in np.asarray(decode(content))[0]]


def grey(*values: int) -> list[list[int]]:
    return [[value] * 3 for value in values]


GREY16 = struct.pack(">B5H", 0, 0, 257, 32768, 65278, 65535)
KINDS: dict[str, tuple[bytes, list[list[int]]]] = {
    "BMP": (encoded(Image.new("RGB", (2, 2), (10, 20, 30)), "BMP"), [[10, 20, 30]] * 2),
    "BMP of two colours": (encoded(Image.new("1", (2, 2), 1), "BMP"), grey(255, 255)),
    # value / 65535 × 255: 32768 → 127.502, 65278 → 254.0
    "16-bit grey": (png(5, 1, 16, 0, GREY16), grey(0, 1, 128, 254, 255)),
    "16-bit grey, a value transparent": (
        png(5, 1, 16, 0, GREY16, tRNS=struct.pack(">H", 257)),
        grey(0, 255, 128, 254, 255),
    ),
    "16-bit colour": (
        png(1, 1, 16, 2, struct.pack(">B3H", 0, 65535, 257 * 100, 0)),
        [[255, 100, 0]],
    ),
    "16-bit grey with alpha": (
        png(2, 1, 16, 4, struct.pack(">B4H", 0, 257 * 40, 65535, 257 * 40, 0)),
        grey(40, 255),
    ),
    "4-bit grey, a value transparent": (  # 3 of 15 → 51, but it is on white; 2 → 34
        png(2, 1, 4, 0, bytes([0, 0x32]), tRNS=struct.pack(">H", 3)),
        grey(255, 34),
    ),
    "1 bit": (png(8, 1, 1, 0, bytes([0, 0b10100000])), grey(255, 0, 255, 0, 0, 0, 0, 0)),
    "1 bit, black transparent": (
        png(8, 1, 1, 0, bytes([0, 0b10100000]), tRNS=b"\0\0"),
        grey(*[255] * 8),
    ),
    "palette": (
        png(2, 1, 8, 3, bytes([0, 1, 0]), PLTE=bytes([9, 8, 7, 200, 100, 50])),
        [[200, 100, 50], [9, 8, 7]],
    ),
    "palette, transparent": (  # 102 / 255 of (200, 100, 50) on white: 0.4 c + 0.6 · 255
        png(2, 1, 8, 3, bytes([0, 1, 0]), PLTE=bytes([9, 8, 7, 200, 100, 50]), tRNS=b"\0\x66"),
        [[233, 193, 173], [255, 255, 255]],
    ),
    "colour, one transparent": (
        png(2, 1, 8, 2, bytes([0, 5, 6, 7, 5, 6, 8]), tRNS=struct.pack(">3H", 5, 6, 7)),
        [[255, 255, 255], [5, 6, 8]],
    ),
    "grey with alpha": (  # 51 / 255 of 0 on white: 0.8 · 255
        png(3, 1, 8, 4, bytes([0, 90, 255, 90, 0, 0, 51])),
        grey(90, 255, 204),
    ),
    "colour with alpha": (
        png(2, 1, 8, 6, bytes([0, 10, 20, 30, 255, 0, 0, 0, 0])),
        [[10, 20, 30], [255, 255, 255]],
    ),
    "WebP with alpha": (
        encoded(Image.new("RGBA", (1, 1), (200, 100, 50, 102)), "WEBP", lossless=True, exact=True),
        [[233, 193, 173]],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_out_as_a_viewer_shows_it(kind: str) -> None:
    content, expected = KINDS[kind]
    assert pixels(content) == expected


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"quality": 100, "subsampling": 0}])
def test_cmyk_jpegs_as_adobe_writes_them(how: dict[str, Any]) -> None:
    """Ink of 40 % cyan and 20 % black: (255 - 102)(255 - 51) / 255 of red."""
    content = encoded(Image.new("CMYK", (16, 16), (102, 0, 0, 51)), "JPEG", **how)
    assert np.abs(np.array(pixels(content)) - (122, 204, 204)).max() <= 2


def test_an_mpo_is_its_first_picture() -> None:
    first, second = (Image.new("RGB", (16, 16), (value, 60, 60)) for value in (200, 20))
    content = encoded(first, "MPO", save_all=True, append_images=[second])
    assert np.abs(np.array(pixels(content)) - (200, 60, 60)).max() <= 2


FIRST, *OTHERS = (Image.new("RGB", (4, 4), (value, 0, 0)) for value in (10, 200, 90))
GREY_CLEAR = png(1, 1, 8, 0, bytes(2), tRNS=bytes(2))
TWO_HEADERS = GREY_CLEAR[:8] + png(1, 1, 0, 0, bytes(2))[8:33] + GREY_CLEAR[8:]
ANIMATED: dict[str, Any] = {"save_all": True, "append_images": OTHERS}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (encoded(FIRST, "PNG", **ANIMATED), "an animation of 3 pictures; give one of them"),
        (encoded(FIRST, "WEBP", **ANIMATED), "an animation of 3 pictures; give one of them"),
        (encoded(FIRST, "GIF", **ANIMATED), "BMP, but a GIF$"),
        (encoded(FIRST, "BMP")[:50], "Truncated File Read"),
        (encoded(FIRST, "BMP")[:-9], "truncated"),
        (encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "BMP, but a TIFF$"),
        (encoded(Image.new("LAB", (4, 4)), "TIFF"), "BMP, but a TIFF$"),
        (encoded(Image.new("I;16B", (4, 4)), "TIFF"), "BMP, but a TIFF$"),
        (b"", "neither JPEG nor PNG nor WebP nor BMP, but an empty file$"),
        (bytes(500), "but nothing but zeros$"),
        (b"\r\n<!DOCTYPE html><html>403", "but a page of HTML or XML$"),
        (b"version https://git-lfs.github.com/spec/v1\n", "but a pointer of Git LFS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "but a HEIC or AVIF$"),
        (encoded(FIRST, "JPEG")[:40], "."),
        (TWO_HEADERS, "a PNG with a damaged header$"),
        (png(1, 1, 8, 3, bytes(2)), "palette colours without its palette"),
        (png(1, 1, 16, 2, bytes(7), tRNS=bytes(6)), "16 bits a colour, one of which is trans"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode(content)


def corners(size: tuple[int, int] = (24, 16)) -> Image.Image:
    """Red above left, green above right, blue below left, white below right; 24×16."""
    image = Image.new("RGB", size)
    right, low = size[0] // 2, size[1] // 2
    for at, colour in (
        ((0, 0), (250, 0, 0)),
        ((right, 0), (0, 250, 0)),
        ((0, low), (0, 0, 250)),
        ((right, low), (250, 250, 250)),
    ):
        image.paste(colour, (*at, at[0] + right, at[1] + low))
    return image


STORED = {  # from EXIF 2.32: where the picture's top and left are in the stored rows and columns
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}
"""How a picture is stored that its EXIF orientation shall bring upright."""


def stored(orientation: int, kind: str, image: Image.Image | None = None) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    array = np.ascontiguousarray(STORED[orientation](np.asarray(image or corners())))
    how = {
        "PNG": {},
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 95, "subsampling": 0},
        "MPO": {"quality": 95, "subsampling": 0},
    }[kind]
    more = {"save_all": True, "append_images": [FIRST]} if kind == "MPO" else {}
    return encoded(Image.fromarray(array), kind, exif=exif, **how, **more)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "MPO"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_upright(kind: str, orientation: int) -> None:
    content = stored(orientation, kind)
    seen = decode(content)
    assert seen.size == (24, 16)
    assert np.abs(np.asarray(seen).astype(int) - np.asarray(corners())).max() <= 12
    assert images.read(content, 448).orientation == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_landmarks_turn_with_the_image(orientation: int) -> None:
    """A point in the file's rows and columns, found again where the picture has it."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[5, 50] = 255  # x 50.5 and y 5.5 of the upright picture
    content = stored(orientation, "PNG", Image.fromarray(picture))
    with Image.open(io.BytesIO(content)) as image:
        y, x = np.argwhere(np.asarray(image)[..., 0])[0] + 0.5
    found = images.upright(np.array([[x, y]]), content, (60, 40))
    assert found == pytest.approx(np.array([[50.5, 5.5]]))
    assert images.upright(np.array([[x, y]]), content, (30, 20)) == pytest.approx(found / 2)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_there_is_not_is_none(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert decode(encoded(corners(), "PNG", exif=exif)).size == (24, 16)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_exif_that_cannot_be_read_is_no_reason_to_refuse_an_image() -> None:
    for said in (b"garbage", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x09"):
        garbage = b"Exif\0\0" + said
        content = encoded(corners(), "JPEG")
        segment = b"\xff\xe1" + struct.pack(">H", len(garbage) + 2) + garbage
        assert decode(content[:2] + segment + content[2:]).size == (24, 16)


def test_a_large_jpeg_that_lies_on_its_side_is_still_decoded_small() -> None:
    content = stored(6, "JPEG", corners((3000, 2000)))
    assert decode(content).size == (750, 500)


JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "progressive with restarts": {"progressive": True, "restart_marker_blocks": 3},
    "no subsampling": {"subsampling": 0},
}


def noise(mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(5)
    small = Image.fromarray(rng.integers(0, 255, (9, 7, 3), dtype=np.uint8))
    return small.resize((59, 83), Image.Resampling.BICUBIC).convert(mode)


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_cut_short_and_closed_is_named_wherever_it_was_cut(kind: str, mode: str) -> None:
    content = encoded(noise(mode), "JPEG", **JPEGS[kind])
    whole = decode(content).tobytes()
    start = content.index(b"\xff\xda") + 14
    for cut in range(start, len(content) - 10, 97):
        if content[cut - 1] == 0xFF:  # half a marker
            cut += 1
        damaged = content[:cut] + b"\xff\xd9"
        with pytest.raises(ValueError, match="a damaged JPEG|truncated|broken"):
            decode(damaged)
    try:  # without its last byte of codes, which may be nothing but padding
        assert decode(content[:-3] + b"\xff\xd9").tobytes() == whole
    except ValueError as error:
        assert "a damaged JPEG" in str(error)
    assert decode(content + b"trailing" * 99).tobytes() == whole  # such as a phone's own data


def test_a_png_or_webp_cut_short_and_closed_is_refused() -> None:
    content = encoded(noise())
    at = content.index(b"IDAT")
    size = (len(content) - at) // 2
    body = content[at : at + size]
    check = struct.pack(">I", zlib.crc32(body))
    cut = content[: at - 4] + struct.pack(">I", size - 4) + body + check
    webp = encoded(noise(), "WEBP")
    for damaged in (cut + content[-12:], content[: at + size], webp[: len(webp) // 2]):
        with pytest.raises(ValueError, match="."):
            decode(damaged)


@pytest.mark.filterwarnings("ignore")
def test_nothing_but_a_sentence_comes_of_any_damage() -> None:
    """Bytes overwritten and files cut at random, seed 0."""
    rng = np.random.default_rng(0)
    files = [
        encoded(noise(), "JPEG", progressive=True),
        encoded(noise("L")),
        stored(6, "PNG"),
        encoded(noise(), "WEBP"),
        stored(5, "MPO"),
        KINDS["palette, transparent"][0],
    ]
    refused = 0
    for turn in range(600):
        content = bytearray(files[turn % len(files)])
        for at in rng.integers(len(content), size=rng.integers(1, 6)):
            content[at] = rng.integers(256)
        damaged = bytes(content[: rng.integers(1, len(content))] if turn % 3 == 0 else content)
        try:
            image = decode(damaged)
            assert image.mode == "RGB" and image.width * image.height <= images.MAX_PIXELS
            images.upright(np.ones((1, 2)), damaged, image.size)
        except ValueError as error:
            assert str(error)
            refused += 1
    assert refused > 200


def test_the_side_is_twice_that_of_a_packed_image() -> None:
    content = encoded(corners((3000, 2000)), "JPEG")
    assert images.read(content, 2 * 224).image.size == decode(content).size == (750, 500)
