"""The model store on disk: which versions there are, and whether one is what its manifest says.

encoder/<version>/ and generator/<version>/ are SavedModels in TensorFlow Serving's layout, manifests/<version>.json
is written last by training. Nothing here writes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from app.errors import CorruptVersion, NoSuchVersion, StoreError
from app.manifest import Manifest, StoredFile

PARTS = ("encoder", "generator")


@dataclass(frozen=True)
class StoredVersion:
    """One published version and where it lies."""

    root: Path
    manifest: Manifest

    @property
    def version(self) -> int:
        """Its number."""
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
        """Folder of pictures and tables; what is in it is not part of the promise."""
        return self.root / "reports" / str(self.version)

    def verify(self) -> None:
        """Compare every file with the manifest.

        Raises:
            CorruptVersion: a file is missing, surplus, a link, or of another content.
        """
        for record in self.manifest.files:
            _verify_file(self.root, record)
        listed = {record.path for record in self.manifest.files}
        for folder in (self.encoder, self.generator):
            for path in folder.rglob("*"):
                name = path.relative_to(self.root).as_posix()
                if path.is_symlink() or (path.is_file() and name not in listed):
                    raise CorruptVersion(f"Version {self.version}: {name} is not in the manifest, or is a link.")


class ModelStore:
    """A folder of published versions."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def versions(self) -> list[int]:
        """The numbers of all published versions, ascending; empty if there is no store yet."""
        names = (path.stem for path in (self.root / "manifests").glob("*.json"))
        return sorted(int(name) for name in names if name.isascii() and name.isdigit() and name[0] != "0")

    def open(self, version: int | None = None) -> StoredVersion:
        """One version, the newest by default; its files are not looked at yet.

        Raises:
            NoSuchVersion: the store does not hold it.
            StoreError: its manifest cannot be read.
        """
        known = self.versions()
        if not known:
            raise NoSuchVersion(f"No version is published in {self.root}. Train one: python -m training")
        chosen = known[-1] if version is None else version
        if chosen not in known:
            raise NoSuchVersion(f"Version {chosen} is not in {self.root}; there are {_listed(known)}.")
        return StoredVersion(self.root, self._manifest(chosen))

    def _manifest(self, version: int) -> Manifest:
        path = self.root / "manifests" / f"{version}.json"
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
    """SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify_file(root: Path, record: StoredFile) -> None:
    path = root / record.path
    if path.is_symlink() or not path.is_file():
        raise CorruptVersion(f"{record.path} is missing or not a plain file.")
    if path.stat().st_size != record.size or digest(path) != record.sha256:
        raise CorruptVersion(f"{record.path} differs from its manifest: the version was damaged or altered.")


def _listed(versions: list[int]) -> str:
    return ", ".join(map(str, versions))
