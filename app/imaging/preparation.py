"""Preprocessing of a grey picture to an input of the encoder, as NIST's scans were preprocessed for MNIST.

decode --> prepare: polarity -> paper subtracted -> digit cut out -> 20 x 20 box -> centre of mass at the centre

LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition" (1998), section III.A:
digits were scaled into a 20 x 20 box with their aspect kept, and placed in the 28 x 28 field by centre of mass.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.errors import InvalidImage
from app.imaging.types import ByteArray, FloatArray

BoolArray = npt.NDArray[np.bool_]
Invert = Literal["auto", "true", "false"]
Fit = Literal["auto", "none"]

MNIST_BOX = 20  # pixels of the longer side of a digit in MNIST
BOX_SHARE = MNIST_BOX / 28  # the digit's box in the field
INK_THRESHOLD = 0.2  # share of full ink from which on a pixel belongs to the digit
FAINT_THRESHOLD = 0.06  # ... and this close to the digit, to its box: MNIST's boxes reach to the last grey pixel
SPECK_SHARE = 0.04  # blobs with less ink than this share of the largest one are dirt
NOISE_ALLOWANCE = 1.5  # ... plus this many standard deviations of the paper's noise
BLUR_SHRINK = 0.35  # pixels of the field that the box of a fully blurred digit is too wide on each side
BLUR_GAIN = 0.5  # how much steeper the edge of a fully blurred digit is made
MIN_CONTRAST = 0.06  # of white: below it there is only paper and noise


class Preparation(NamedTuple):
    """How pictures are prepared.

    Attributes:
        invert: "auto" inverts a dark-on-light picture, as judged by its border; "true" always; "false" never.
        fit: "auto" crops and centres the digit unless the picture has the model's size; "none" only scales it.
    """

    invert: Invert = "auto"
    fit: Fit = "auto"


AUTO = Preparation()


def prepare(grey: FloatArray, shape: tuple[int, int], how: Preparation = AUTO) -> FloatArray:
    """Preprocess a grey picture to an input of the encoder.

    Args:
        grey: float32 (h, w) in [0, 1], any size, dark on light or light on dark.
        shape: the encoder's image shape, for instance (28, 28).
        how: whether to invert it, and to cut the digit out.

    Returns:
        float32 of `shape` in [0, 1], light strokes on dark. A light-on-dark picture of `shape` is unchanged.

    Raises:
        InvalidImage: no digit was found: the picture is one even tone.
    """
    if how.invert == "true" or (how.invert == "auto" and _is_dark_on_light(grey)):
        grey = 1 - grey
    if grey.shape == shape:
        return grey
    if how.fit == "none":
        return _letterbox(grey, shape)
    return _centred(_scaled(_cut_out(*_ink(grey)), shape), shape)


def is_inverted(levels: ByteArray, invert: Invert) -> bool:
    """Return whether `prepare` would invert a picture of the model's size, uint8 (h, w)."""
    if invert != "auto":
        return invert == "true"
    border = levels[_border_places(levels.shape)]
    if 2 * np.count_nonzero(border) < len(border):
        return False  # black paper, as MNIST's: nothing can be darker
    return _is_dark_on_light(np.divide(levels, np.float32(255), dtype=np.float32))


def _border(grey: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return rows, columns and values of the pixels in the border, about a fiftieth of the shorter side wide."""
    rows, columns = _border_places(grey.shape)
    return rows.astype(np.float32), columns.astype(np.float32), grey[rows, columns]


@lru_cache(4)  # pictures of the model's size come again and again
def _border_places(shape: tuple[int, int]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    depth = max(1, min(shape) // 50)
    inside = np.zeros(shape, bool)
    inside[depth:-depth, depth:-depth] = True
    rows, columns = np.nonzero(~inside)
    return rows, columns


def _is_dark_on_light(grey: FloatArray) -> bool:
    """Return whether the picture departs from its border more towards black than towards white."""
    values = np.sort(grey[_border_places(grey.shape)])
    paper = float(values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2  # the median
    smooth = _scaled_to(grey, 64) if min(grey.shape) > 128 else grey  # noise must not decide
    darker, lighter = paper - float(smooth.min()), float(smooth.max()) - paper
    if abs(darker - lighter) < 0.02:
        return paper > 0.5
    return darker > lighter


def _ink(grey: FloatArray) -> tuple[FloatArray, float]:
    """Subtract the paper, which may be lit unevenly; return the share of ink, float32 (h, w) in [0, 1], and its noise.

    Raises:
        InvalidImage: the picture is one even tone.
    """
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
    if full < max(MIN_CONTRAST, 2 * floor):
        raise InvalidImage(
            "No digit was found: the picture is one even tone. Send a digit that stands out from its background."
        )
    share: FloatArray = np.clip((rest - floor) / (full - floor), 0, 1).astype(np.float32)
    return share, noise / (full - floor)


@dataclass(frozen=True)
class _Crop:
    """A digit without its surroundings, and its bounding box."""

    ink: FloatArray  # float32 (h, w), 0 away from the digit
    box: tuple[float, float, float, float]  # top, left, bottom, right, in pixels of `ink`

    @property
    def pixel(self) -> float:
        """Pixels of this crop per pixel of MNIST."""
        top, left, bottom, right = self.box
        return max(bottom - top, right - left) / MNIST_BOX

    def shrunk(self, by: float) -> Self:
        top, left, bottom, right = self.box
        by = min(by, (bottom - top) / 3, (right - left) / 3)
        return replace(self, box=(top + by, left + by, bottom - by, right - by))


def _cut_out(ink: FloatArray, noise: float) -> _Crop:
    """Cut out the digit without specks of dirt. Its box is that of a sharp original."""
    from scipy import ndimage

    digit = _without_specks(ink)
    reach = max(1, round(max(_spans(digit)[2:]) / MNIST_BOX))
    near = ndimage.maximum_filter(digit, 2 * reach + 1)  # soft edges stay, dirt between goes
    ink = np.where(near, ink, 0).astype(np.float32)
    top, left, height, width = _spans(ink > FAINT_THRESHOLD + NOISE_ALLOWANCE * noise)
    cutting = _Crop(ink, (top, left, top + height, left + width))
    blur = _blur(ink, cutting.pixel)
    ink = np.clip((ink - 0.5) * (1 + BLUR_GAIN * blur) + 0.5, 0, 1) * near
    return replace(cutting, ink=ink.astype(np.float32)).shrunk(BLUR_SHRINK * blur * cutting.pixel)


def _without_specks(ink: FloatArray) -> BoolArray:
    from scipy import ndimage

    marks, count = ndimage.label(ink > INK_THRESHOLD, structure=np.ones((3, 3)))
    amounts = ndimage.sum_labels(ink, marks, np.arange(1, count + 1))
    kept = 1 + np.flatnonzero(amounts >= SPECK_SHARE * amounts.max())
    digit: BoolArray = np.isin(marks, kept)
    return digit


def _spans(mask: BoolArray) -> tuple[int, int, int, int]:
    """Return top, left, height and width of the bounding box of the marked pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1


def _blur(ink: FloatArray, pixel: float) -> float:
    """Estimate the blur of the digit's edges, 0 .. 1; at 1 an edge spans a pixel of MNIST or more."""
    if min(ink.shape) < 2:
        return 0.0
    down, right = np.gradient(ink)
    slopes = np.hypot(down, right)[(ink > 0.3) & (ink < 0.7)]
    if not slopes.size:
        return 0.0
    return float(min(1 / max(np.quantile(slopes, 0.75), 1e-3) / pixel, 1))


def _scaled(digit: _Crop, shape: tuple[int, int]) -> FloatArray:
    """Scale the digit so that its longer side is 20/28 of the field's shorter side, as in MNIST."""
    top, left, bottom, right = digit.box
    factor = round(min(shape) * BOX_SHARE) / max(bottom - top, right - left)
    height, width = (max(1, round(side * factor)) for side in (bottom - top, right - left))
    return _resized(digit.ink, height, width, (left, top, right, bottom))


def _resized(
    grey: FloatArray, height: int, width: int, box: tuple[float, float, float, float] | None = None
) -> FloatArray:
    scaled = Image.fromarray(grey).resize((width, height), Image.Resampling.HAMMING, box)
    return np.clip(np.asarray(scaled, np.float32), 0, 1)


def _scaled_to(grey: FloatArray, side: int) -> FloatArray:
    factor = side / max(grey.shape)
    return _resized(grey, max(1, round(grey.shape[0] * factor)), max(1, round(grey.shape[1] * factor)))


def _centred(digit: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Place the digit in an empty field, with its centre of mass as near to the field's centre as it fits."""
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
    """Scale the whole picture into the field, keeping its aspect ratio; the rest stays black."""
    factor = min(shape[0] / grey.shape[0], shape[1] / grey.shape[1])
    height = min(shape[0], max(1, round(grey.shape[0] * factor)))
    width = min(shape[1], max(1, round(grey.shape[1] * factor)))
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    field = np.zeros(shape, np.float32)
    field[top : top + height, left : left + width] = _resized(grey, height, width)
    return field
