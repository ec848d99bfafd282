"""A data set of training and test images, with a standard name if its content is known."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from app.imaging.types import ByteArray
from app.models.manifest import DataRecord
from training.errors import DataError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")

# SHA-256 of each array's bytes in C order, in the order of ARRAYS.
KNOWN: dict[tuple[str, ...], str] = {
    (
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    ): "mnist",
}

HELD_OUT = 0.2  # share of a data set without a split of its own that becomes its test set
SPLIT_SEED = 20  # the same digits are held out whatever the training seed


@dataclass(frozen=True)
class DataSet:
    """Training and test images, uint8 (n, h, w), light strokes on dark, with classes, uint8 (n,) or None.

    The images may be memory-mapped from a file.
    """

    name: str
    x_train: ByteArray
    y_train: ByteArray | None
    x_test: ByteArray
    y_test: ByteArray | None

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.x_train.shape[1:]
        return height, width

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each array's bytes in C order, in the order of ARRAYS; of no bytes if there are no classes."""
        return tuple(_digest(getattr(self, name)) for name in ARRAYS)

    @property
    def record(self) -> DataRecord:
        """The manifest's record of the data set: the whole set, before any limit."""
        return DataRecord(
            name=self.name,
            sha256=hashlib.sha256("".join(self.digests).encode()).hexdigest(),
            arrays=dict(zip(ARRAYS, self.digests, strict=True)),
            train_images=len(self.x_train),
            test_images=len(self.x_test),
        )

    def recognised(self) -> Self:
        """Return the same data set, under its standard name if its content is known."""
        return replace(self, name=KNOWN.get(self.digests, self.name))


def held_out(name: str, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the indices of the test images, a fixed random fifth, and those of the training images.

    Raises:
        DataError: there are fewer than 10 images.
    """
    if n < 10:
        raise DataError(f"{name} has {n} images; at least 10 are needed to hold some out.")
    order = np.random.default_rng(SPLIT_SEED).permutation(n)
    test, train = np.split(order, [round(n * HELD_OUT)])
    return test, train


def _digest(array: npt.NDArray[np.generic] | None, chunk: int = 10_000) -> str:
    found = hashlib.sha256()
    for start in range(0, 0 if array is None else len(array), chunk):
        assert array is not None
        found.update(array[start : start + chunk].tobytes())
    return found.hexdigest()
