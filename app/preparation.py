"""A grey picture of a digit to the digit the encoder knows: what was done to NIST's scans to make MNIST.

decode --> prepare: polarity -> paper subtracted -> digit cut out -> 20 x 20 box -> centre of mass at the centre

LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition" (1998), section III.A:
digits were scaled into a 20 x 20 box with their aspect kept, and placed in the 28 x 28 field by centre of mass.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from app.errors import InvalidImage
from app.images import FloatArray

Invert = Literal["auto", "true", "false"]
Fit = Literal["auto", "none"]

BOX_SHARE = 20 / 28  # the digit's box in the field
INK_THRESHOLD = 0.2  # share of full ink from which on a pixel belongs to the digit's box
SPECK_SHARE = 0.04  # blobs with less ink than this share of the largest one are dirt
LEAST_CONTRAST = 0.06  # of white: below it there is only paper and noise


def prepare(grey: FloatArray, shape: tuple[int, int], invert: Invert = "auto", fit: Fit = "auto") -> FloatArray:
    """Make a digit for the encoder out of any grey picture.

    Args:
        grey: float32 (h, w) in [0, 1], any size, dark on light or light on dark.
        shape: the encoder's image shape, for instance (28, 28).
        invert: "auto" turns dark-on-light round, judged against the border; "true" always; "false" never.
        fit: "auto" cuts out the digit and centres it unless `grey` has `shape` already; "none" only scales.

    Returns:
        float32 of `shape` in [0, 1], light strokes on dark. A light-on-dark picture of `shape` is unchanged.

    Raises:
        InvalidImage: there is nothing to cut out: the picture is one even tone.
    """
    if invert == "true" or (invert == "auto" and _is_dark_on_light(grey)):
        grey = 1 - grey
    if grey.shape == shape:
        return grey
    if fit == "none":
        return _letterbox(grey, shape)
    ink = _ink(grey)
    return _centred(_scaled(_cut_out(ink), shape), shape)


def _border(grey: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Rows, columns and values of the pixels along the edge, about a fiftieth of the side deep."""
    depth = max(1, min(grey.shape) // 50)
    inside = np.zeros(grey.shape, bool)
    inside[depth:-depth, depth:-depth] = True
    rows, columns = np.nonzero(~inside)
    return rows.astype(np.float32), columns.astype(np.float32), grey[rows, columns]


def _is_dark_on_light(grey: FloatArray) -> bool:
    """Whether the picture departs from its border more towards black than towards white."""
    paper = float(np.median(_border(grey)[2]))
    smooth = _scaled_to(grey, 64) if min(grey.shape) > 128 else grey  # noise must not decide
    darker, lighter = paper - float(smooth.min()), float(smooth.max()) - paper
    if abs(darker - lighter) < 0.02:
        return paper > 0.5
    return darker > lighter


def _ink(grey: FloatArray) -> FloatArray:
    """Share of ink, float32 (h, w) in [0, 1]: the paper, which may be lit unevenly, is subtracted."""
    rows, columns, values = _border(grey)
    plane = np.stack([np.ones_like(rows), rows, columns], 1)  # (border, 3)
    # The digit may touch the border: the plane is fitted twice, the second time without what stands out.
    keep = np.abs(values - np.median(values)) <= 3 * max(float(values.std()), 1e-3)
    coefficients = np.linalg.lstsq(plane[keep], values[keep], rcond=None)[0]
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]].astype(np.float32)
    paper = coefficients[0] + coefficients[1] * y + coefficients[2] * x
    noise = float(np.std(values[keep] - plane[keep] @ coefficients))
    rest = grey - paper.astype(np.float32)
    full = float(np.quantile(rest[rest > rest.max() / 2], 0.5)) if rest.max() > 0 else 0.0
    floor = 2.0 * noise
    if full < max(LEAST_CONTRAST, 2 * floor):
        raise InvalidImage(
            "No digit was found: the picture is one even tone. Send a digit that stands out from its background."
        )
    share: FloatArray = np.clip((rest - floor) / (full - floor), 0, 1).astype(np.float32)
    return share


def _cut_out(ink: FloatArray) -> FloatArray:
    """The digit's bounding box, without specks of dirt; float32 (h, w)."""
    from scipy import ndimage

    marks, count = ndimage.label(ink > INK_THRESHOLD, structure=np.ones((3, 3)))
    amounts = ndimage.sum_labels(ink, marks, np.arange(1, count + 1))
    kept = 1 + np.flatnonzero(amounts >= SPECK_SHARE * amounts.max())
    digit = np.isin(marks, kept)
    rows, columns = np.flatnonzero(digit.any(1)), np.flatnonzero(digit.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    near = ndimage.binary_dilation(digit[box], structure=np.ones((3, 3)))  # soft edges stay, dirt between goes
    return np.where(near, ink[box], 0).astype(np.float32)


def _scaled(digit: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """The digit with its longer side as long as MNIST's box in this field."""
    box = round(min(shape) * BOX_SHARE)
    factor = box / max(digit.shape)
    height, width = (max(1, round(side * factor)) for side in digit.shape)
    return _resized(digit, height, width)


def _resized(grey: FloatArray, height: int, width: int) -> FloatArray:
    scaled = Image.fromarray(grey).resize((width, height), Image.Resampling.LANCZOS)
    return np.clip(np.asarray(scaled, np.float32), 0, 1)


def _scaled_to(grey: FloatArray, side: int) -> FloatArray:
    factor = side / max(grey.shape)
    return _resized(grey, max(1, round(grey.shape[0] * factor)), max(1, round(grey.shape[1] * factor)))


def _centred(digit: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """The digit in an empty field, its centre of mass on the field's centre, as far as it fits."""
    mass = digit.sum()
    centre_y = float((digit.sum(1) * np.arange(digit.shape[0])).sum() / mass)
    centre_x = float((digit.sum(0) * np.arange(digit.shape[1])).sum() / mass)
    top = _place(centre_y, digit.shape[0], shape[0])
    left = _place(centre_x, digit.shape[1], shape[1])
    field = np.zeros(shape, np.float32)
    field[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return field


def _place(centre: float, length: int, field: int) -> int:
    # In MNIST the centre of mass lies within half a pixel of index 14 of 28.
    return min(max(round(field / 2 - centre), 0), field - length)


def _letterbox(grey: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """The whole picture scaled into the field, its aspect kept, the rest dark."""
    factor = min(shape[0] / grey.shape[0], shape[1] / grey.shape[1])
    height = min(shape[0], max(1, round(grey.shape[0] * factor)))
    width = min(shape[1], max(1, round(grey.shape[1] * factor)))
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    field = np.zeros(shape, np.float32)
    field[top : top + height, left : left + width] = _resized(grey, height, width)
    return field
