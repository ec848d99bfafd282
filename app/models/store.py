"""The model store on disk: lists the published versions, and verifies a version against its manifest.

encoder/<version>/ and generator/<version>/ are SavedModels in TensorFlow Serving's layout. Training writes
manifests/<version>.json last. An optional file `pin` beside them holds the number of the version to serve. This module
writes nothing.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from app.errors import CorruptVersion, NoSuchVersion, StoreError
from app.models.manifest import Manifest, StoredFile

PARTS = ("encoder", "generator")
MANIFESTS, REPORTS, PIN = "manifests", "reports", "pin"

# What the file system tells of a version's files without reading them; it differs once one is written or replaced.
Fingerprint = tuple[tuple[str, int, int, int, int], ...]


@dataclass(frozen=True)
class StoredVersion:
    """One published version and its location."""

    root: Path
    manifest: Manifest

    @property
    def version(self) -> int:
        """The version's number."""
        return self.manifest.version

    @property
    def encoder(self) -> Path:
        """Folder of the encoder's SavedModel."""
        return self.root / "encoder" / str(self.version)

    @property
    def generator(self) -> Path:
        """Folder of the generator's SavedModel."""
        return self.root / "generator" / str(self.version)

    @property
    def report(self) -> Path:
        """Folder of the report's pictures and tables; the manifest does not list them."""
        return self.root / REPORTS / str(self.version)

    def verify(self) -> None:
        """Compare every file with the manifest.

        Raises:
            CorruptVersion: a file is missing, not listed, unreadable, a symbolic link or reached through one, or has
                another content.
        """
        try:
            self._refuse_links()
            for record in self.manifest.files:
                self._verify_file(record)
            self._refuse_surplus()
        except OSError as exc:
            raise CorruptVersion(f"Version {self.version}: a file cannot be read: {exc.strerror}.") from exc

    def _verify_file(self, record: StoredFile) -> None:
        if PurePosixPath(record.path).parts[1:2] != (str(self.version),):
            raise CorruptVersion(f"Version {self.version} lists {record.path}, which is another version's.")
        path = self.root / record.path
        if not path.is_file():
            raise CorruptVersion(f"{record.path} is missing or not a plain file.")
        if path.stat().st_size != record.size or digest(path) != record.sha256:
            raise CorruptVersion(f"{record.path} differs from its manifest: the version was damaged or altered.")

    def _refuse_surplus(self) -> None:
        listed = {record.path for record in self.manifest.files}
        for path in (*self.encoder.rglob("*"), *self.generator.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if path.is_file() and name not in listed:
                raise CorruptVersion(f"Version {self.version}: {name} is not in the manifest.")

    def _refuse_links(self) -> None:
        """Refuse symbolic links inside the store: a link's target may change after the check, or lie anywhere."""
        folders = [self.root / name for name in (*PARTS, MANIFESTS, REPORTS)]
        manifest = self.root / MANIFESTS / f"{self.version}.json"
        inside = (path for folder in (self.encoder, self.generator, self.report) for path in _tree(folder))
        for path in (*folders, manifest, *inside):
            if path.is_symlink():
                raise CorruptVersion(f"Version {self.version}: {path.relative_to(self.root).as_posix()} is a link.")


class ModelStore:
    """A folder of published versions."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def versions(self) -> list[int]:
        """Return the numbers of all published versions, ascending; empty if there is no store yet."""
        names = (path.stem for path in (self.root / MANIFESTS).glob("*.json"))
        return sorted(int(name) for name in names if name.isascii() and name.isdigit() and name[0] != "0")

    def pinned(self) -> int | None:
        """Return the version that the store's file `pin` names; None if there is no such file.

        Raises:
            StoreError: the file cannot be read, is a link, or does not hold a version's number.
        """
        path = self.root / PIN
        try:
            text = path.read_text("ascii").strip() if not path.is_symlink() else ""
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as exc:
            raise StoreError(f"The store's file {PIN} cannot be read.") from exc
        if not (text.isdigit() and text[0] != "0" and len(text) <= 18):
            raise StoreError(f"The store's file {PIN} must hold a version's number and nothing else, and be no link.")
        return int(text)

    def chosen(self, setting: int | None = None) -> int:
        """Return the version to serve: the setting's, else the pinned one, else the newest.

        Raises:
            NoSuchVersion: the store does not hold it.
            StoreError: the pin cannot be read.
        """
        return self._known(self.pinned() if setting is None else setting)

    def fingerprint(self, version: int) -> Fingerprint:
        """Return path, inode, mode, size and modification time of each file; cheap enough to call every few seconds.

        Raises:
            OSError: the store cannot be read.
        """
        paths = (
            self.root / MANIFESTS / f"{version}.json",
            *(path for part in PARTS for path in _tree(self.root / part / str(version))),
        )
        found = [(path, path.lstat()) for path in paths if os.path.lexists(path)]
        return tuple((str(path), at.st_ino, at.st_mode, at.st_size, at.st_mtime_ns) for path, at in found)

    def open(self, version: int | None = None) -> StoredVersion:
        """Return one version, the newest by default, without checking its files.

        Raises:
            NoSuchVersion: the store does not hold it.
            StoreError: its manifest cannot be read.
        """
        return StoredVersion(self.root, self._manifest(self._known(version)))

    def _known(self, version: int | None) -> int:
        known = self.versions()
        if not known:
            raise NoSuchVersion(f"No version is published in {self.root}. Train one: python -m training")
        if version is not None and version not in known:
            raise NoSuchVersion(f"Version {version} is not in {self.root}; there are {', '.join(map(str, known))}.")
        return version or known[-1]

    def _manifest(self, version: int) -> Manifest:
        path = self.root / MANIFESTS / f"{version}.json"
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except OSError as exc:
            raise StoreError(f"The manifest of version {version} cannot be read: {exc.strerror}.") from exc
        except ValidationError as exc:
            first = exc.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise CorruptVersion(f"The manifest of version {version}: {where}: {first['msg']}") from exc
        if manifest.version != version:
            raise CorruptVersion(f"The manifest of version {version} speaks of version {manifest.version}.")
        return manifest


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tree(folder: Path) -> Iterator[Path]:
    """List a folder and everything in it; do not follow links."""
    yield folder
    if folder.is_symlink():
        return
    for inside, folders, files in os.walk(folder):
        yield from (Path(inside, name) for name in sorted((*folders, *files)))
