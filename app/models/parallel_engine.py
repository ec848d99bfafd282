"""Split large batches among threads: an engine around an engine, for a worker with several cores to itself.

loader -> ParallelEngine -> the engine. TensorFlow's own threads could share an operation instead; a call of one row,
which is most calls, would pay for them (docs/decisions/0009).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import numpy as np

from app.imaging.types import ByteArray, FloatArray
from app.models.engine import Engine, Posterior

Outputs = TypeVar("Outputs", bound=tuple[Any, ...])

MIN_ROWS = 256  # for a thread: fewer are computed before it wakes


class ParallelEngine:
    """An Engine that computes the parts of a large batch in several threads.

    Args:
        engine: computes the parts; its calls are thread-safe, as every Engine's.
        threads: the number of threads for one call, including the caller's.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        self._engine = engine
        self._threads = threads
        self._others = ThreadPoolExecutor(threads - 1, thread_name_prefix="batch")
        self.latent_dim = engine.latent_dim
        self.image_shape = engine.image_shape
        self.max_inline_batch = engine.max_inline_batch
        self.decode_png = engine.decode_png
        self.warm_up = engine.warm_up

    def encode(self, images: FloatArray) -> Posterior:
        """See Engine."""
        return Posterior(*self._split(self._engine.encode, images))

    def encode_uint8(self, levels: ByteArray) -> Posterior:
        """See Engine."""
        return Posterior(*self._split(self._engine.encode_uint8, levels))

    def generate(self, z: FloatArray) -> tuple[FloatArray]:
        """See Engine."""
        return self._split(self._engine.generate, z)

    def generate_uint8(self, z: FloatArray) -> tuple[ByteArray]:
        """See Engine."""
        return self._split(self._engine.generate_uint8, z)

    def close(self) -> None:
        """See Engine."""
        self._others.shutdown()
        self._engine.close()

    def _split(self, call: Callable[[Any], Outputs], rows: Any) -> Outputs:
        threads = min(self._threads, len(rows) // MIN_ROWS)
        if threads < 2:
            return call(rows)
        mine, *theirs = np.array_split(rows, threads)
        running = [self._others.submit(call, part) for part in theirs]
        try:
            parts = [call(mine), *(each.result() for each in running)]
        finally:
            for each in running:
                each.cancel()
        return cast(Outputs, tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
