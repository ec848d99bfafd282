"""Memory that is free, but not given back: the C library keeps what it may need again."""

from __future__ import annotations

import ctypes
import gc


def give_back() -> None:
    """Collect garbage, and return free memory to the system; with glibc, elsewhere only the former.

    To be called when something large was let go, such as what loading a version needed. Takes some milliseconds.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # malloc_trim(3)
    if trim is not None:
        trim(0)
