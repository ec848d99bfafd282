"""Publish a finished version to the store, completely or not at all. The module handles files and not TensorFlow.

stage (a hidden folder of the store) -> fsync -> rename encoder, generator, report -> rename the manifest

Only the last rename makes the version exist, and rename is atomic (POSIX). A publish that fails removes the folders it
has moved. One that is killed leaves folders without a manifest: readers ignore them, and no later version reuses their
number.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.models.manifest import Manifest, StoredFile
from app.models.store import PARTS, digest
from training.errors import PublishError

STAGING = ".staging-"
REPORT = "reports"


def check_writable(store: Path) -> None:
    """Check that the store can be written, so that a run fails before training and not after it.

    Raises:
        PublishError: nothing can be written to the store.
    """
    try:
        with _locked(store):
            probe = store / f"{STAGING}probe"
            probe.mkdir(exist_ok=True)
            probe.rmdir()
    except OSError as exc:
        raise _unwritable(store, exc) from exc


def publish(store: Path, stage: Callable[[Path], None], describe: Callable[[int, list[StoredFile]], Manifest]) -> int:
    """Publish one version.

    Args:
        store: the model store; created if it does not exist.
        stage: writes `encoder/`, `generator/` and `reports/` into the folder it is given, and checks them.
        describe: returns the manifest for a version number and the files of the pair.

    Returns:
        The new version's number.

    Raises:
        PublishError: the store cannot be written. After any exception, no version has become visible.
    """
    try:
        with _locked(store):
            _sweep(store)
            staging = store / f"{STAGING}{os.getpid()}"
            try:
                staging.mkdir()
                stage(staging)
                return _commit(store, staging, describe)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as exc:
        raise _unwritable(store, exc) from exc


def _commit(store: Path, staging: Path, describe: Callable[[int, list[StoredFile]], Manifest]) -> int:
    version = next_version(store)
    files = [
        StoredFile(
            path=f"{part}/{version}/{path.relative_to(staging / part).as_posix()}",
            size=path.stat().st_size,
            sha256=digest(path),
        )
        for part in PARTS
        for path in sorted((staging / part).rglob("*"))
        if path.is_file()
    ]
    record = staging / "manifest.json"
    record.write_text(describe(version, files).model_dump_json(indent=2) + "\n")
    _sync_tree(staging)
    moved: list[Path] = []
    manifest = store / "manifests" / f"{version}.json"
    try:
        for part in (*PARTS, REPORT):
            target = store / part / str(version)
            target.parent.mkdir(exist_ok=True)
            os.rename(staging / part, target)
            moved.append(target)
            _sync(target.parent)
        (store / "manifests").mkdir(exist_ok=True)
        _sync(store)
        os.rename(record, manifest)
        _sync(manifest.parent)
    except BaseException:
        manifest.unlink(missing_ok=True)
        for target in moved:
            shutil.rmtree(target, ignore_errors=True)
        raise
    return version


def next_version(store: Path) -> int:
    """Return the number of the next version: one more than any in use, including the folders of a killed publish."""
    names = [path.stem for part in (*PARTS, REPORT, "manifests") for path in (store / part).glob("*")]
    return 1 + max((int(name) for name in names if name.isascii() and name.isdigit()), default=0)


def _sweep(store: Path) -> None:
    """Remove the staging folders of killed publishes; the lock ensures that no other publish is running."""
    for left in store.glob(f"{STAGING}*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    """Hold the store's lock during the block, so that one process publishes at a time; create a missing store.

    The kernel releases the lock of a process that dies.
    """
    missing = [folder for folder in (store, *store.parents) if not folder.exists()]
    store.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        _sync(folder.parent)
    with (store / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync_tree(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(store: Path, exc: OSError) -> PublishError:
    return PublishError(f"Nothing was published: {store} cannot be written: {exc.strerror or exc}.")
