"""Conversion of a request's picture files and arrays to batches for the encoder.

service -> ImageLoader -> decode (files to pixels), preparation (pictures to digits). Work of more than a few
milliseconds runs in a thread.
"""

import threading
from collections.abc import Sequence

import numpy as np
from PIL import Image

from app.errors import CallerLeft, ImageTooLarge, InvalidImage
from app.imaging.decode import decode, decode_grey, open_picture
from app.imaging.png import is_minimal_png
from app.imaging.preparation import Invert, Preparation, is_inverted, prepare
from app.imaging.types import ByteArray, FloatArray
from app.inference.executor import BoundedExecutor
from app.models.engine import Engine
from app.settings import Settings

# A picture file, or images (n, h, w) that are pixels already.
ImageInput = bytes | FloatArray

QUICK_BYTES = 65536  # of a bare PNG, which is decoded at once
QUICK_ARRAYS = 4
LARGE_PIXELS = 4_000_000  # of the files of a request; beyond it they have a thread of their own, one request at a time


class ImageLoader:
    """Loads the images of a request, within the limits of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._executor = BoundedExecutor()
        self._large = BoundedExecutor(threads=1)  # its memory has a bound, and small pictures do not wait behind it

    def levels(self, engine: Engine, image: ImageInput, invert: Invert) -> ByteArray | None:
        """Return the grey levels, uint8 (1, h, w), of a minimal PNG of the model's size; None for any other input.

        Whatever else a file holds is looked at in a thread.

        Raises:
            InvalidImage: the picture is damaged.
        """
        if not isinstance(image, bytes) or len(image) > QUICK_BYTES or not is_minimal_png(image, engine.image_shape):
            return None
        levels = engine.decode_png(image)
        if levels is None:
            levels = decode_grey(open_picture(image, self._settings.max_image_pixels))
        if levels is None:
            return None
        turned = 255 - levels if is_inverted(levels, invert) else levels
        return turned[np.newaxis]

    def close(self) -> None:
        """Drop what waits; see BoundedExecutor.close."""
        self._executor.close()
        self._large.close()

    async def batch(self, shape: tuple[int, int], inputs: Sequence[ImageInput], how: Preparation) -> FloatArray:
        """Convert all inputs to one batch of images, float32 (n, h, w) in [0, 1], where `shape` is (h, w).

        Raises:
            InvalidImage: an input is not an image, has another shape or shows no digit, or there are too many images.
            ImageTooLarge: a picture has too many pixels, or all pictures together have.
            Overloaded: see BoundedExecutor.run.
        """
        abandoned = threading.Event()

        def finish(opened: list[Image.Image | FloatArray]) -> FloatArray:
            parts = [
                part if isinstance(part, np.ndarray) else _prepared(part, shape, how, abandoned)[np.newaxis]
                for part in opened
            ]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)

        def begin() -> FloatArray | list[Image.Image | FloatArray]:
            opened = self._opened(shape, inputs, how.invert)
            pixels = sum(part.width * part.height for part in opened if isinstance(part, Image.Image))
            return opened if pixels > LARGE_PIXELS else finish(opened)

        if len(inputs) <= QUICK_ARRAYS and not any(isinstance(each, bytes) for each in inputs):
            batch = finish(self._opened(shape, inputs, how.invert))
        else:
            begun = await self._executor.run(begin, abandoned)
            batch = begun if isinstance(begun, np.ndarray) else await self._large.run(lambda: finish(begun), abandoned)
        if len(batch) > self._settings.max_rows:
            raise InvalidImage(f"There are {len(batch)} images; at most {self._settings.max_rows} are taken.")
        return batch

    def _opened(
        self, shape: tuple[int, int], inputs: Sequence[ImageInput], invert: Invert
    ) -> list[Image.Image | FloatArray]:
        """Open picture files, parsing their headers only; check arrays, and invert them if `invert` is "true"."""
        left = self._settings.max_request_pixels
        opened: list[Image.Image | FloatArray] = []
        for image in inputs:
            if not isinstance(image, bytes):
                opened.append(_pixels(shape, image, invert))
                continue
            picture = open_picture(image, self._settings.max_image_pixels)
            left -= picture.width * picture.height
            if left < 0:
                most = self._settings.max_request_pixels
                raise ImageTooLarge(f"The pictures have more than {most:,} pixels together. Send fewer in a request.")
            opened.append(picture)
        return opened


def _prepared(picture: Image.Image, shape: tuple[int, int], how: Preparation, abandoned: threading.Event) -> FloatArray:
    """Decode and prepare one picture, unless nobody waits for it any more."""
    _check_wanted(abandoned)
    grey = decode(picture)
    _check_wanted(abandoned)
    return prepare(grey, shape, how)


def _check_wanted(abandoned: threading.Event) -> None:
    if abandoned.is_set():
        raise CallerLeft("Nobody waits for the picture any more.")


def _pixels(shape: tuple[int, int], array: FloatArray, invert: Invert) -> FloatArray:
    if array.shape[1:] != shape or not len(array):
        raise InvalidImage(f"Images of pixels must have the shape (n, {shape[0]}, {shape[1]}), n at least 1.")
    return 1 - array if invert == "true" else array
