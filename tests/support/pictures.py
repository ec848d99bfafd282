"""Picture files made on the spot."""

import functools
import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from app.imaging.decode import decode, open_picture


def file_of(picture: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(out, kind, **options)
    return out.getvalue()


def pixels(png: bytes) -> np.ndarray:
    """The grey levels of a picture file, as the service reads them."""
    return np.rint(decode(open_picture(png, 10**7)) * 255).astype(np.uint8)


def on_paper(digit: np.ndarray, side: int = 190, corner: tuple[int, int] = (80, 40)) -> Image.Image:
    """The digit as ink on a white sheet of 300 x 400, off centre."""
    sheet = Image.new("L", (300, 400), 255)
    sheet.paste(Image.fromarray(255 - digit).resize((side, side), Image.Resampling.BICUBIC), corner)
    return sheet


@functools.cache
def bomb(side: int = 20_000) -> bytes:
    """A PNG of side x side black pixels in a few kilobytes; made once, since the large one takes a moment."""
    rows = bytes((1 + (side + 7) // 8) * side)  # of one bit a pixel, each behind its filter
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(rows, 9), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )
