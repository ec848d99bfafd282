"""One loaded version, and the number of requests that use it.

loader.py creates it. A request uses one version from its beginning to its end (`with model:`), so that its response is
computed by a single version, even if another one is loaded meanwhile. All of this happens on the event loop: counting
needs no lock.
"""

import asyncio
from collections.abc import Callable
from typing import Self

from cachetools import LRUCache

from app.models.engine import Engine
from app.models.manifest import Manifest

MANIFOLD_CACHE_BYTES = 32 * 2**20


class LoadedModel:
    """A version in memory, with a cache of the manifolds drawn from it.

    Args:
        manifest: the version's manifest.
        engine: runs the model.
        latent_picture: the report's latent.png, if it has one.
        latent_points: the report's latent points as JSON, from latent_points.load.
    """

    def __init__(
        self, manifest: Manifest, engine: Engine, latent_picture: bytes | None = None, latent_points: bytes = b""
    ) -> None:
        self.manifest = manifest
        self.version = manifest.version
        self.fingerprint = " ".join([str(manifest.version), *(file.sha256 for file in manifest.files)])
        self.engine = engine
        self.latent_picture = latent_picture
        self.latent_points = latent_points
        self.manifolds: LRUCache[tuple[object, ...], bytes] = LRUCache(MANIFOLD_CACHE_BYTES, len)
        self.drawing: dict[tuple[object, ...], asyncio.Task[bytes]] = {}  # manifolds that are being drawn
        self.users = 0  # requests that use this model; who counts them calls `free_if_unused` once it is retired
        self.is_retired = False
        self._when_unused: Callable[[], object] | None = None

    def __enter__(self) -> Self:
        """Count a use of this model."""
        self.users += 1
        return self

    def __exit__(self, *failure: object) -> None:
        """Count the end of a use of this model."""
        self.users -= 1
        self.free_if_unused()

    def retire(self, when_unused: Callable[[], object]) -> None:
        """Call `when_unused` after the last in-flight request releases this model; no further request may begin."""
        self.is_retired = True
        self._when_unused = when_unused
        self.free_if_unused()

    def free_if_unused(self) -> None:
        """Call what `retire` was given, once, if nothing uses this model any more."""
        if not self.users and self._when_unused is not None:
            then, self._when_unused = self._when_unused, None
            then()
