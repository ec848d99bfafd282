"""Conversion of a request's picture files and arrays to batches for the encoder.

service -> ImageLoader -> decode (files to pixels), preparation (pictures to digits). Work of more than a few
milliseconds runs in a thread.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from app.errors import ImageTooLarge, InvalidImage
from app.imaging.decode import decode, decode_grey, open_picture
from app.imaging.png import is_minimal_png
from app.imaging.preparation import Invert, Preparation, is_inverted, prepare
from app.imaging.types import ByteArray, FloatArray
from app.inference.executor import BoundedExecutor
from app.models.engine import Engine
from app.settings import Settings

# A picture file, or images (n, h, w) that are pixels already.
ImageInput = bytes | FloatArray

QUICK_BYTES = 65536  # of picture files, whose headers are read in some milliseconds whatever is in them
QUICK_FILES = 4


class ImageLoader:
    """Loads the images of a request, within the limits of the settings."""

    def __init__(self, settings: Settings, executor: BoundedExecutor) -> None:
        self._settings = settings
        self._executor = executor

    def levels(self, engine: Engine, image: ImageInput, invert: Invert) -> ByteArray | None:
        """Return the grey levels, uint8 (1, h, w), of a picture that needs at most inversion; None for any other.

        Raises:
            InvalidImage, ImageTooLarge: the picture cannot be read, or is too large.
        """
        if not isinstance(image, bytes) or len(image) > QUICK_BYTES:
            return None
        levels = engine.decode_png(image) if is_minimal_png(image, engine.image_shape) else None
        if levels is None:
            picture = open_picture(image, self._settings.max_image_pixels)
            fits = (picture.height, picture.width) == engine.image_shape
            levels = decode_grey(picture) if fits else None
        if levels is None:
            return None
        turned = 255 - levels if is_inverted(levels, invert) else levels
        return turned[np.newaxis]

    async def batch(self, shape: tuple[int, int], inputs: Sequence[ImageInput], how: Preparation) -> FloatArray:
        """Convert all inputs to one batch of images, float32 (n, h, w) in [0, 1], where `shape` is (h, w).

        Raises:
            InvalidImage: an input is not an image, has another shape or shows no digit, or there are too many images.
            ImageTooLarge: a picture has too many pixels, or all pictures together have.
            Overloaded: see BoundedExecutor.run.
        """

        def finish(opened: list[Image.Image | FloatArray]) -> FloatArray:
            parts = [
                part if isinstance(part, np.ndarray) else prepare(decode(part), shape, how)[np.newaxis]
                for part in opened
            ]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)

        if len(inputs) > QUICK_FILES or sum(len(each) for each in inputs if isinstance(each, bytes)) > QUICK_BYTES:
            batch = await self._executor.run(lambda: finish(self._opened(shape, inputs, how.invert)))
        else:
            opened = self._opened(shape, inputs, how.invert)
            quick = all(isinstance(part, np.ndarray) or (part.height, part.width) == shape for part in opened)
            batch = finish(opened) if quick else await self._executor.run(lambda: finish(opened))
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


def _pixels(shape: tuple[int, int], array: FloatArray, invert: Invert) -> FloatArray:
    if array.shape[1:] != shape or not len(array):
        raise InvalidImage(f"Images of pixels must have the shape (n, {shape[0]}, {shape[1]}), n at least 1.")
    return 1 - array if invert == "true" else array
