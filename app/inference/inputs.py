"""From what callers send to what the encoder takes: picture files and arrays to batches.

service -> ImageLoader -> images (files to pixels), preparation (pictures to digits). What takes more than a moment is
done in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from app.errors import ImageTooLarge, InvalidImage
from app.imaging.decode import decode, decode_grey, open_picture
from app.imaging.png import is_minimal_png
from app.imaging.preparation import Fit, Invert, is_inverted, prepare
from app.imaging.types import ByteArray, FloatArray
from app.inference.executor import BoundedExecutor
from app.models.engine import Engine
from app.settings import Settings

# A picture file, or images (n, h, w) that are pixels already.
ImageInput = bytes | FloatArray

QUICK_BYTES = 65536  # of picture files, whose headers are read in some milliseconds whatever is in them
QUICK_FILES = 4


class ImageLoader:
    """Reads the inputs of a request, within the bounds that the settings set."""

    def __init__(self, settings: Settings, executor: BoundedExecutor) -> None:
        self._settings = settings
        self._executor = executor

    def levels(self, engine: Engine, image: ImageInput, invert: Invert) -> ByteArray | None:
        """Return a picture that needs no preparation but inversion as grey levels (1, h, w); None for any other.

        Raises:
            InvalidImage, ImageTooLarge: it is none, or none that is read.
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

    async def batch(self, shape: tuple[int, int], inputs: Sequence[ImageInput], invert: Invert, fit: Fit) -> FloatArray:
        """All inputs as one batch (n, h, w) of images of this shape (h, w), in [0, 1].

        Raises:
            InvalidImage, ImageTooLarge: of the first image that cannot be used, or of all together.
            Overloaded: see BoundedExecutor.run.
        """

        def finish(opened: list[Image.Image | FloatArray]) -> FloatArray:
            parts = [
                part if isinstance(part, np.ndarray) else prepare(decode(part), shape, invert, fit)[np.newaxis]
                for part in opened
            ]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)

        if len(inputs) > QUICK_FILES or sum(len(each) for each in inputs if isinstance(each, bytes)) > QUICK_BYTES:
            batch = await self._executor.run(lambda: finish(self._opened(shape, inputs, invert)))
        else:
            opened = self._opened(shape, inputs, invert)
            quick = all(isinstance(part, np.ndarray) or (part.height, part.width) == shape for part in opened)
            batch = finish(opened) if quick else await self._executor.run(lambda: finish(opened))
        if len(batch) > self._settings.max_rows:
            raise InvalidImage(f"There are {len(batch)} images; at most {self._settings.max_rows} are taken.")
        return batch

    def _opened(
        self, shape: tuple[int, int], inputs: Sequence[ImageInput], invert: Invert
    ) -> list[Image.Image | FloatArray]:
        """Picture files with their headers read, and arrays as they are."""
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
