"""A file in memory that may be read only so many times.

Picture files are lists of pieces, and their parsers spend microseconds of Python on each however small it is: sixteen
megabytes of empty pieces would keep a thread, and the interpreter's lock, for many seconds. A count of reads bounds
pieces of every kind, in every format.
"""

from __future__ import annotations

import io


class TooManyPieces(Exception):
    """The file was read more often than it may be."""

    def __str__(self) -> str:
        return "it is in far more pieces than a picture needs"


class MeteredFile(io.BytesIO):
    """`data`, to be read at most `reads` times.

    Raises:
        TooManyPieces: by `read`, when they are used up.
    """

    def __init__(self, data: bytes, reads: int) -> None:
        super().__init__(data)
        self.left = reads

    def read(self, size: int | None = -1, /) -> bytes:
        """As io.BytesIO has it."""
        self.left -= 1
        if self.left < 0:
            raise TooManyPieces
        return super().read(size)
