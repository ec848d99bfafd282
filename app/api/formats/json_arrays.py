"""JSON with NumPy arrays in it, which are written as lists of numbers.

A float32 is written with as many digits as it takes to read the same bits back. For the 784 numbers of a digit orjson
takes a quarter of the time that lists of Python's floats take, and half the bytes.
"""

from typing import Any

import numpy as np
import orjson


def dumps(document: Any) -> bytes:
    """Write a document with arrays anywhere in it. What is not finite becomes null: check it before."""
    return orjson.dumps(document, np.ascontiguousarray, orjson.OPT_SERIALIZE_NUMPY)  # other orders it hands back
