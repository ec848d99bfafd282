"""Files that commands read and write; `-` is standard input or output."""

import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.cli.errors import CommandError, UsageError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
NPY_MAGIC = b"\x93NUMPY"
STANDARD = "-"


@dataclass(frozen=True)
class Input:
    """One image to encode.

    Attributes:
        name: its file as given or found; for an image of an npy file followed by its index, as in a.npy[0].
        label: the sub-folder in which it was found; empty otherwise.
        image: a path, the bytes of a file, or an array, for the client.
    """

    name: str
    label: str
    image: Path | bytes | npt.NDArray[Any]


def inputs(names: list[str]) -> list[Input]:
    """List the images of files, folders and standard input, in order; folders sorted.

    Raises:
        CommandError: a file is missing or unreadable, or a folder holds no picture.
    """
    return [each for name in names for each in _inputs(name)]


def _inputs(name: str) -> Iterator[Input]:
    if name == STANDARD:
        data = sys.stdin.buffer.read()
        yield from _arrays(STANDARD, data) if data.startswith(NPY_MAGIC) else [Input(STANDARD, "", data)]
    elif Path(name).is_dir():
        yield from _walked(Path(name))
    elif not Path(name).is_file():
        raise CommandError(f"{name}: no such file.")
    elif Path(name).suffix.lower() == ".npy":
        yield from _arrays(name, read(name))
    else:
        yield Input(name, "", Path(name))


def _walked(root: Path) -> Iterator[Input]:
    """List the pictures below a folder, without hidden ones; a picture's label is its sub-folder."""
    found = 0
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        hidden = any(part.startswith(".") for part in inside.parts)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not hidden:
            found += 1
            label = inside.parent.as_posix()
            yield Input(str(path), "" if label == "." else label, path)
    if not found:
        raise CommandError(f"{root}: no picture lies in this folder ({', '.join(sorted(SUFFIXES))}).")


def _arrays(name: str, data: bytes) -> Iterator[Input]:
    array = loads(name, data)
    if array.ndim == 2:
        array = array[np.newaxis]
    if array.ndim != 3:
        raise CommandError(f"{name}: images have the shape (n, h, w) or (h, w); got {array.shape}.")
    for i, image in enumerate(array):
        yield Input(f"{name}[{i}]", "", image)


def read(name: str) -> bytes:
    """Read a file, or standard input.

    Raises:
        CommandError: the file cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if name == STANDARD else Path(name).read_bytes()
    except OSError as exc:
        raise CommandError(f"{name}: {exc.strerror}.") from exc


def loads(name: str, data: bytes) -> npt.NDArray[Any]:
    """Read the array of an npy file.

    Raises:
        CommandError: `data` is not an npy file of numbers.
    """
    try:
        array: npt.NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as exc:
        raise CommandError(f"{name}: not an npy file of numbers.") from exc
    return array


def npy(array: npt.NDArray[Any]) -> bytes:
    """Serialize an array as an npy file."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def lines(name: str) -> list[str]:
    """Return the lines of a text file; none of standard output, or of a file that does not exist yet.

    Raises:
        CommandError: the file cannot be read.
    """
    if name == STANDARD or not Path(name).exists():
        return []
    return read(name).decode(errors="surrogateescape").splitlines()


def write_lines(name: str, content: list[str]) -> None:
    """Write lines to a file, or to standard output; bytes that were no UTF-8 when read are written as they were."""
    write(name, "".join(f"{line}\n" for line in content).encode(errors="surrogateescape"))


def check_output(name: str, binary: bool) -> None:
    """Check that binary output does not go to a terminal, before any work is done.

    Raises:
        UsageError: standard output is a terminal and the output is binary.
    """
    if binary and name == STANDARD and sys.stdout.isatty():
        raise UsageError("this output is not text: name a file with -o, or pipe it on")


def write(name: str, data: bytes) -> None:
    """Write a file atomically, or write to standard output.

    Raises:
        CommandError: the file cannot be written.
    """
    if name == STANDARD:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        _replace(Path(name), data)
    except OSError as exc:
        raise CommandError(f"{name}: {exc.strerror}.") from exc


def _replace(path: Path, data: bytes) -> None:
    """Replace a file once the new content is complete; write to devices and pipes directly."""
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path = path.resolve()  # a link stays one
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with waiting.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a name that leads to the new content must not come before it
        if path.exists():
            waiting.chmod(path.stat().st_mode & 0o777)
        waiting.replace(path)
    finally:
        waiting.unlink(missing_ok=True)
