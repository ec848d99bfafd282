"""The version that the services of a store serve before and after a publish, described in sentences for the user.

Training never contacts a service: the store determines the version that its services serve (app/models/store.py).
"""

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from app.errors import StoreError
from app.models.manifest import Manifest
from app.models.store import ModelStore

DEFAULT = "model_store"  # of services and of `digit-vae models`, unless VAE_MODEL_STORE names another


@dataclass(frozen=True)
class Succession:
    """The served version that a publish into a store may replace."""

    store: Path
    served: Manifest | None  # before the publish
    pinned: bool
    trouble: str = ""  # why no version can be served

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read the present state of the store."""
        store = ModelStore(path)
        if not store.versions():
            return cls(path, None, False)
        try:
            return cls(path, store.open(store.chosen()).manifest, store.pinned() is not None)
        except StoreError as exc:
            return cls(path, None, False, exc.detail)

    def preview(self, version: int) -> list[str]:
        """Describe the effect of publishing this version, before it is published."""
        will = f"version {version} will be published in {self.store}"
        if self.trouble:
            return [will, f"its services cannot choose a version: {self.trouble}"]
        if self.served is None:
            return [will]
        if self.pinned:
            return [will, f"version {self.served.version} is pinned there and stays served"]
        return [will, f"it will be served in place of version {self.served.version}; --store DIR keeps it apart"]

    def summary(self, new: Manifest) -> list[str]:
        """Describe the effect of a publish: the served version, a comparison with the old one, how to go back."""
        if self.trouble:
            return [f"services of this store cannot choose a version: {self.trouble}"]
        if self.served is None:
            return [f"services of this store, running or started next, serve version {new.version}", *self._to_serve()]
        old = self.served
        if self.pinned:
            stay = f"services of this store go on serving version {old.version}, which is pinned;"
            return [*_compared(old, new), stay, "to change over:", f"  {self._command('unpin')}"]
        return [
            f"services of this store, running or started next, serve version {new.version}",
            *_compared(old, new),
            f"to go back to version {old.version}:",
            f"  {self._command(f'pin {old.version} --in-store')}",
        ]

    def _to_serve(self) -> list[str]:
        if self._is_default():
            return []
        return ["to start one:", f"  VAE_MODEL_STORE={shlex.quote(str(self.store))} {_program()} serve"]

    def _command(self, action: str) -> str:
        where = "" if self._is_default() else f" --store {shlex.quote(str(self.store))}"
        return f"{_program()} models {action}{where}"

    def _is_default(self) -> bool:
        return self.store.resolve() == Path(os.environ.get("VAE_MODEL_STORE", DEFAULT)).resolve()


def _compared(old: Manifest, new: Manifest) -> list[str]:
    """Compare the two test losses if they were measured on the same images; warn if the new one is higher."""
    before, after = old.measures.get("test_loss"), new.measures["test_loss"]
    if before is None:
        return []
    if old.data.arrays.get("x_test") != new.data.arrays.get("x_test"):
        return [f"test loss of version {old.version}, on other images ({old.data.name}): {before:.2f}"]
    if before < after:
        return [
            f"warning: version {new.version} is worse than version {old.version}:",
            f"  test loss {after:.2f} against {before:.2f} on the same images",
        ]
    return [f"test loss of version {old.version} on the same images: {before:.2f}"]


def _program() -> str:
    """Return the `digit-vae` command as it can be typed here."""
    beside = Path(sys.executable).with_name("digit-vae")
    if shutil.which("digit-vae") or not beside.exists():
        return "digit-vae"
    return shlex.quote(os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside))
