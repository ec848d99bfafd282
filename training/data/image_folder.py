"""Load a folder of pictures of any size as a data set: each picture is prepared, and stored in a file to read from.

Neither the pictures nor their pixels need to fit into memory: the prepared pixels are in one memory-mapped npy file,
from which training reads each batch when it uses it.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from app.errors import RequestError
from app.imaging.decode import decode, open_picture
from app.imaging.preparation import prepare
from app.imaging.sheets import to_uint8
from app.imaging.types import ByteArray
from training.data.dataset import DataSet, held_out
from training.errors import DataError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
MAX_PIXELS = 100_000_000
GROUP = 64  # pictures prepared at a time


@dataclass(frozen=True)
class Preparing:
    """Options for preparing a folder of pictures."""

    size: int = 28  # pixels of a side
    cache: Path = Path("runs")  # where the prepared pixels are kept, so that the next run need not prepare them
    on_progress: Callable[[int, int], None] = lambda done, of: None


class Picture(NamedTuple):
    """One picture file, and its class if it has one."""

    path: Path
    label: int | None


def load_folder(folder: Path, preparing: Preparing) -> DataSet:
    """Load a folder with a sub-folder of pictures for each class, or with pictures and no classes.

    Each picture is prepared as the service does it. A fixed fifth of the pictures is held out for testing.

    Raises:
        DataError: there are no pictures, a picture cannot be read, or the prepared pixels cannot be stored.
    """
    found = _listed(folder)
    test, train = held_out(folder.name, len(found))
    ordered = [found[i] for i in (*test, *train)]
    pixels = _prepared(folder, ordered, preparing)
    labels = None if found[0].label is None else np.array([each.label for each in ordered], np.uint8)
    k = len(test)
    y_test, y_train = (None, None) if labels is None else (labels[:k], labels[k:])
    return DataSet(folder.name, pixels[k:], y_train, pixels[:k], y_test)


def _listed(folder: Path) -> list[Picture]:
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(classes) > 256:
        raise DataError(f"{folder} has {len(classes)} sub-folders; at most 256 classes are told apart.")
    if classes:
        found = [Picture(path, label) for label, sub in enumerate(classes) for path in _files(sub)]
    else:
        found = [Picture(path, None) for path in _files(folder)]
    if not found:
        raise DataError(f"{folder} holds no PNG, JPEG, WebP or BMP pictures, nor do its sub-folders.")
    return found


def _files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _prepared(folder: Path, found: list[Picture], preparing: Preparing) -> ByteArray:
    """Return the prepared pixels of all pictures, uint8 (n, size, size), memory-mapped from their cache file."""
    identity = hashlib.sha256(str(preparing.size).encode())
    for each in found:
        stat = each.path.stat()
        identity.update(f"{each.path.relative_to(folder)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    kept = preparing.cache / f"prepared-{identity.hexdigest()[:16]}.npy"
    try:
        if not kept.exists():
            _prepare_all(found, kept, preparing)
        mapped: ByteArray = np.load(kept, mmap_mode="r")
    except (OSError, ValueError) as exc:
        raise DataError(f"The prepared pictures cannot be kept in {preparing.cache}: {exc}.") from exc
    return mapped


def _prepare_all(found: list[Picture], kept: Path, preparing: Preparing) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    waiting = kept.with_suffix(".tmp")
    shape = (len(found), preparing.size, preparing.size)
    pixels = np.lib.format.open_memmap(waiting, "w+", np.uint8, shape)
    preparing.on_progress(0, len(found))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(found), GROUP):
            group = found[start : start + GROUP]
            made = pool.map(lambda each: _read(each.path, preparing.size), group)
            pixels[start : start + len(group)] = np.stack(list(made))
            preparing.on_progress(start + len(group), len(found))
    pixels.flush()
    os.replace(waiting, kept)


def _read(path: Path, size: int) -> ByteArray:
    try:
        opened = open_picture(path.read_bytes(), MAX_PIXELS)
        return to_uint8(prepare(decode(opened), (size, size)))
    except RequestError as exc:
        raise DataError(f"{path}: {exc.detail}") from exc
    except OSError as exc:
        raise DataError(f"{path} cannot be read: {exc.strerror}.") from exc
