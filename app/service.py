"""Orders the steps of encoding, generating, reconstructing and the manifold.

routes -> Service -> images and preparation (pictures), batching (the model) -> results for routes to represent.
Knows the engine's interface, not the engine, and nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from cachetools import LRUCache

from app import images, manifold
from app.batching import Batcher, Gone, Observer
from app.engine import Engine, Posterior
from app.errors import InvalidImage, InvalidLatent, InvalidParameter, Overloaded
from app.images import ByteArray, FloatArray
from app.manifest import Manifest
from app.preparation import Fit, Invert, must_turn, prepare
from app.settings import Settings

T = TypeVar("T")

# A picture file, or images (n, h, w) that are pixels already.
Source = bytes | FloatArray

MANIFOLD_CACHE_BYTES = 32 * 2**20
QUICK_NUMBERS = 2**14  # are written as JSON in some three milliseconds
MOST_PICTURES = 128  # that wait for a thread: at ten milliseconds each, the last one waits less than a second


@dataclass(frozen=True)
class ServedModel:
    """One loaded version."""

    manifest: Manifest
    engine: Engine
    latent_picture: bytes | None  # the report's latent.png
    latent_points: bytes  # the report's latents.npz, as points.py tells it

    @property
    def version(self) -> int:
        """Its number in the store."""
        return self.manifest.version


@dataclass(frozen=True)
class Reconstruction:
    """What the model makes of images, and what that costs in nats per image."""

    images: FloatArray  # (n, h, w), as the encoder saw them
    reconstruction: FloatArray  # (n, h, w), generated at z_mean
    posterior: Posterior
    xent: FloatArray  # (n,)
    kl: FloatArray  # (n,)


class Service:
    """One model and the ways to use it. Every method may be called by many requests at once.

    Args:
        model: what is served.
        settings: what may be asked of it.
        observer: is told of queue and batches.
        new_batcher: is called as Batcher.
    """

    def __init__(
        self,
        model: ServedModel,
        settings: Settings,
        observer: Observer | None = None,
        new_batcher: Callable[[int, int, int, Observer | None], Batcher] = Batcher,
    ) -> None:
        self.model = model
        self.settings = settings
        self.draining = False  # told to stop: still answers, but wants no new callers
        self._batcher = new_batcher(
            settings.max_batch,
            settings.max_queue,
            min(model.engine.quick_rows, settings.max_inline_rows),
            observer,
        )
        # Answers for /manifold.png by query string, headers and all: nothing but the version changes them.
        self.answers: LRUCache[bytes, tuple[list[tuple[bytes, bytes]], bytes]] = LRUCache(
            MANIFOLD_CACHE_BYTES, lambda answer: len(answer[1])
        )
        self._drawing = 0  # under way or waiting in the pool
        self._pictures = ThreadPoolExecutor(2, thread_name_prefix="pictures")
        self._manifolds: LRUCache[tuple[object, ...], bytes] = LRUCache(MANIFOLD_CACHE_BYTES, len)

    async def encode(self, sources: Sequence[Source], invert: Invert, fit: Fit, gone: Gone | None = None) -> Posterior:
        """The posterior of every image, in order.

        Args:
            sources: picture files, or images (n, h, w).
            invert: see preparation.prepare.
            fit: the same.
            gone: tells whether the caller has hung up; see Batcher.submit.

        Raises:
            InvalidImage, ImageTooLarge: of the first source that cannot be used.
            Unavailable, EngineError: see Batcher.submit.
        """
        if len(sources) == 1 and (levels := self._levels(sources[0], invert)) is not None:
            return Posterior(*await self._batcher.submit(self.model.engine.encode_levels, levels, gone))
        return await self._posterior(await self._prepare(sources, invert, fit), gone)

    async def generate(self, z: FloatArray, gone: Gone | None = None) -> ByteArray:
        """Grey levels (n, h, w) for latent vectors (n, d)."""
        (levels,) = await self._batcher.submit(self.model.engine.render, self._checked(z), gone)
        return levels

    async def generate_unrounded(self, z: FloatArray, gone: Gone | None = None) -> FloatArray:
        """Images (n, h, w) in [0, 1] for latent vectors (n, d): what `generate` rounds to grey levels."""
        (generated,) = await self._batcher.submit(self.model.engine.generate, self._checked(z), gone)
        return generated

    async def reconstruct(
        self, sources: Sequence[Source], invert: Invert, fit: Fit, gone: Gone | None = None
    ) -> Reconstruction:
        """Every image through encoder and generator, and its loss at z_mean."""
        seen = await self._prepare(sources, invert, fit)
        posterior = await self._posterior(seen, gone)
        (again,) = await self._batcher.submit(self.model.engine.generate, posterior.z_mean, gone)
        return Reconstruction(seen, again, posterior, _xent(seen, again), _kl(posterior))

    async def manifold(self, n: int, scale: int, low: float, high: float, dims: tuple[int, int]) -> bytes:
        """The notebook's figure as a PNG of n * h * scale pixels a side; equal requests share one picture."""
        self._check_manifold(n, scale, dims)
        key = (self.model.version, n, scale, low, high, dims)
        if (ready := self._manifolds.get(key)) is not None:
            return ready
        z = manifold.latents(manifold.grid(n, low, high), self.model.engine.latent_dim, dims)
        digits = await self.generate(z)
        png = await self._off_loop(lambda: self.picture(digits, n, scale))
        if len(png) <= MANIFOLD_CACHE_BYTES // 8:
            self._manifolds[key] = png
        return png

    def picture(self, digits: ByteArray, columns: int | None, scale: int) -> bytes:
        """A contact sheet of digits (n, h, w) as a PNG."""
        if scale > self.settings.max_scale:
            raise InvalidParameter(f"scale is {scale}; at most {self.settings.max_scale} is drawn.")
        if columns is not None and columns > len(digits):
            raise InvalidParameter(f"columns is {columns}, but there are {len(digits)} digits.")
        if len(digits) == 1 and scale == 1:
            return images.encode_png(digits[0])
        sheet = images.contact_sheet(digits, columns)
        return images.encode_png(images.enlarge(sheet, scale, self.settings.max_picture_pixels))

    async def picture_off_loop(self, digits: ByteArray, columns: int | None, scale: int) -> bytes:
        """As `picture`, in a thread once it is more than a moment's work."""
        if len(digits) * scale * scale <= 4:
            return self.picture(digits, columns, scale)
        return await self._off_loop(lambda: self.picture(digits, columns, scale))

    async def written(self, write: Callable[[], T], *arrays: FloatArray) -> T:
        """What `write` makes of arrays, in a thread once that is more than a moment's work.

        Raises:
            Overloaded: too much is drawn or written already.
        """
        if sum(array.size for array in arrays) <= QUICK_NUMBERS:
            return write()
        return await self._off_loop(write)

    async def close(self) -> None:
        """Answer what waits, then free the model."""
        await self._batcher.close()
        self._pictures.shutdown()
        self.model.engine.close()

    async def _off_loop(self, work: Callable[[], T]) -> T:
        if self._drawing >= MOST_PICTURES:
            raise Overloaded("Too many pictures wait to be read or drawn. Try again in a second.")
        self._drawing += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pictures, work)
        finally:
            self._drawing -= 1

    async def _posterior(self, batch: FloatArray, gone: Gone | None) -> Posterior:
        return Posterior(*await self._batcher.submit(self.model.engine.encode, batch, gone))

    def _levels(self, source: Source, invert: Invert) -> ByteArray | None:
        """A picture that needs no preparation but perhaps a turn, as grey levels (1, h, w); None for any other."""
        if not isinstance(source, bytes):
            return None
        engine = self.model.engine
        levels = engine.read_png(source) if images.is_bare_png(source, engine.image_shape) else None
        if levels is None:
            picture = images.open_picture(source, self.settings.max_image_pixels)
            fits = (picture.height, picture.width) == engine.image_shape
            levels = images.decode_plain(picture) if fits else None
        if levels is None:
            return None
        turned = 255 - levels if must_turn(levels, invert) else levels
        return turned[np.newaxis]

    async def _prepare(self, sources: Sequence[Source], invert: Invert, fit: Fit) -> FloatArray:
        """All sources as one batch (n, h, w)."""
        shape = self.model.engine.image_shape
        read = [
            images.open_picture(source, self.settings.max_image_pixels)
            if isinstance(source, bytes)
            else self._pixels(source, invert)
            for source in sources
        ]

        def finish() -> FloatArray:
            parts = [
                part if isinstance(part, np.ndarray) else prepare(images.decode(part), shape, invert, fit)[np.newaxis]
                for part in read
            ]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)

        quick = len(read) <= 4 and all(
            isinstance(part, np.ndarray) or (part.height, part.width) == shape for part in read
        )
        batch = finish() if quick else await self._off_loop(finish)
        if len(batch) > self.settings.max_rows:
            raise InvalidImage(f"There are {len(batch)} images; at most {self.settings.max_rows} are taken.")
        return batch

    def _pixels(self, array: FloatArray, invert: Invert) -> FloatArray:
        shape = self.model.engine.image_shape
        if array.shape[1:] != shape or not len(array):
            raise InvalidImage(f"Images of pixels must have the shape (n, {shape[0]}, {shape[1]}), n at least 1.")
        return 1 - array if invert == "true" else array

    def _checked(self, z: FloatArray) -> FloatArray:
        d = self.model.engine.latent_dim
        if z.ndim != 2 or z.shape[1] != d or not len(z):
            raise InvalidLatent(f"A latent vector of this model is {d} numbers; got the shape {z.shape}.")
        if len(z) > max(self.settings.max_rows, self.settings.max_manifold_n**2):
            raise InvalidLatent(f"There are {len(z)} latent vectors; at most {self.settings.max_rows} are taken.")
        return z

    def _check_manifold(self, n: int, scale: int, dims: tuple[int, int]) -> None:
        if n > self.settings.max_manifold_n:
            raise InvalidParameter(f"n is {n}; at most {self.settings.max_manifold_n} digits a side are drawn.")
        if scale > self.settings.max_scale:
            raise InvalidParameter(f"scale is {scale}; at most {self.settings.max_scale} is drawn.")
        d = self.model.engine.latent_dim
        if max(dims) >= d or dims[0] == dims[1]:
            raise InvalidParameter(f"dims must be two different coordinates of 0 .. {d - 1}.")


def _xent(images: FloatArray, reconstruction: FloatArray) -> FloatArray:
    """Cross-entropy in nats, summed over the pixels; (n, h, w) twice to (n,)."""
    p = np.clip(reconstruction.astype(np.float64), 1e-7, 1 - 1e-7)
    nats = -(images * np.log(p) + (1 - images) * np.log1p(-p))
    return np.asarray(nats.sum((1, 2)), np.float32)


def _kl(posterior: Posterior) -> FloatArray:
    """KL(q(z | image) || N(0, I)) in nats; (n,). Kingma and Welling (2013), appendix B."""
    z_mean, z_log_var = (array.astype(np.float64) for array in posterior)
    nats = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).sum(1)
    return np.asarray(nats, np.float32)
