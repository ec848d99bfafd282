"""From what callers send to what the encoder takes: picture files and arrays to batches.

service -> SourceReader -> images (files to pixels), preparation (pictures to digits). What takes more than a moment is
done in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from app.errors import ImageTooLarge, InvalidImage
from app.imaging.decode import decode, decode_grey, open_picture
from app.imaging.png import is_minimal_png
from app.imaging.preparation import Fit, Invert, must_turn, prepare
from app.imaging.types import ByteArray, FloatArray
from app.inference.executor import SideWork
from app.models.engine import Engine
from app.settings import Settings

# A picture file, or images (n, h, w) that are pixels already.
Source = bytes | FloatArray

QUICK_BYTES = 65536  # of picture files, whose headers are read in some milliseconds whatever is in them
QUICK_FILES = 4


class SourceReader:
    """Reads the sources of a request, within the bounds that the settings set."""

    def __init__(self, settings: Settings, side_work: SideWork) -> None:
        self._settings = settings
        self._side_work = side_work

    def levels(self, engine: Engine, source: Source, invert: Invert) -> ByteArray | None:
        """A picture that needs no preparation but perhaps a turn, as grey levels (1, h, w); None for any other.

        Raises:
            InvalidImage, ImageTooLarge: it is none, or none that is read.
        """
        if not isinstance(source, bytes) or len(source) > QUICK_BYTES:
            return None
        levels = engine.read_png(source) if is_minimal_png(source, engine.image_shape) else None
        if levels is None:
            picture = open_picture(source, self._settings.max_image_pixels)
            fits = (picture.height, picture.width) == engine.image_shape
            levels = decode_grey(picture) if fits else None
        if levels is None:
            return None
        turned = 255 - levels if must_turn(levels, invert) else levels
        return turned[np.newaxis]

    async def batch(self, shape: tuple[int, int], sources: Sequence[Source], invert: Invert, fit: Fit) -> FloatArray:
        """All sources as one batch (n, h, w) of images of this shape (h, w), in [0, 1].

        Raises:
            InvalidImage, ImageTooLarge: of the first source that cannot be used, or of all together.
            Overloaded: see SideWork.run.
        """

        def finish(opened: list[Image.Image | FloatArray]) -> FloatArray:
            parts = [
                part if isinstance(part, np.ndarray) else prepare(decode(part), shape, invert, fit)[np.newaxis]
                for part in opened
            ]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)

        if len(sources) > QUICK_FILES or sum(len(each) for each in sources if isinstance(each, bytes)) > QUICK_BYTES:
            batch = await self._side_work.run(lambda: finish(self._opened(shape, sources, invert)))
        else:
            opened = self._opened(shape, sources, invert)
            quick = all(isinstance(part, np.ndarray) or (part.height, part.width) == shape for part in opened)
            batch = finish(opened) if quick else await self._side_work.run(lambda: finish(opened))
        if len(batch) > self._settings.max_rows:
            raise InvalidImage(f"There are {len(batch)} images; at most {self._settings.max_rows} are taken.")
        return batch

    def _opened(
        self, shape: tuple[int, int], sources: Sequence[Source], invert: Invert
    ) -> list[Image.Image | FloatArray]:
        """Picture files with their headers read, and arrays as they are."""
        left = self._settings.max_request_pixels
        opened: list[Image.Image | FloatArray] = []
        for source in sources:
            if not isinstance(source, bytes):
                opened.append(_pixels(shape, source, invert))
                continue
            picture = open_picture(source, self._settings.max_image_pixels)
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
