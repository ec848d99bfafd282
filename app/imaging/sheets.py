"""Digits side by side in one picture, and upscaling of it."""

import math

import numpy as np

from app.errors import InvalidParameter
from app.imaging.types import ByteArray, FloatArray


def contact_sheet(digits: ByteArray, columns: int | None = None) -> ByteArray:
    """Arrange digits side by side, row by row, without gaps.

    Args:
        digits: uint8 (n, h, w), n >= 1.
        columns: digits per row, 1 .. n; by default the sheet is as square as n allows.

    Returns:
        uint8 (rows * h, columns * w); the unused places of the last row are black.
    """
    n, height, width = digits.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    sheet = np.zeros((rows * columns, height, width), np.uint8)
    sheet[:n] = digits
    grid = sheet.reshape(rows, columns, height, width).swapaxes(1, 2)  # (rows, h, columns, w)
    return grid.reshape(rows * height, columns * width)


def enlarge(picture: ByteArray, scale: int, max_pixels: int) -> ByteArray:
    """Upscale a picture: repeat each pixel as a square of scale x scale pixels.

    Raises:
        InvalidParameter: the result would have more than `max_pixels`.
    """
    height, width = picture.shape[0] * scale, picture.shape[1] * scale
    if height * width > max_pixels:
        raise InvalidParameter(
            f"The picture would have {width} x {height} pixels; at most {max_pixels:,} are made. "
            "Ask for fewer digits or a smaller scale."
        )
    return picture if scale == 1 else picture.repeat(scale, 0).repeat(scale, 1)


def to_uint8(images: FloatArray) -> ByteArray:
    """Convert images in [0, 1] to grey levels 0 .. 255, rounded to the nearest."""
    return np.rint(images * 255).astype(np.uint8)
