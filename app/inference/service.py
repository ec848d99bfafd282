"""Orchestrates encoding, generation, reconstruction and the manifold.

routes -> Service -> inputs (images to batches), batcher (the model), imaging (drawing) -> results for routes.
Depends on the engine's interface only, and not on HTTP. The caller passes the version that its request began on.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from app.errors import AnswerTooLarge, EngineError, InvalidLatent, InvalidParameter, ModelFailing, ShuttingDown
from app.imaging import manifold
from app.imaging.png import encode_png
from app.imaging.preparation import Preparation
from app.imaging.sheets import contact_sheet, enlarge
from app.imaging.types import ByteArray, FloatArray
from app.inference.batcher import Batcher, BatchObserver, Failed, IsDisconnected
from app.inference.executor import BoundedExecutor
from app.inference.health import HANGING, Health
from app.inference.inputs import ImageInput, ImageLoader
from app.inference.reconstruction import Reconstruction
from app.models.engine import Engine, Posterior
from app.models.loaded_model import MANIFOLD_CACHE_BYTES, LoadedModel
from app.models.probe import probe
from app.settings import Settings

T = TypeVar("T")
NewBatcher = Callable[[int, int, int, BatchObserver, Failed], Batcher]

QUICK_NUMBERS = 2**16  # are written as JSON in a millisecond
NUMBER_BYTES = 16  # of a float32 in JSON with all its digits, and a comma


class Service:
    """The operations on a model, and the version that new requests get. Its methods may be called concurrently.

    Args:
        model: the version to serve, until `swap_model` replaces it.
        settings: the limits of requests.
        exit_process: ends the process, with the reason as its argument, once the model has failed for too long.
        observer: is notified of queue and batches.
        new_batcher: is called with the arguments of Batcher.
    """

    def __init__(
        self,
        model: LoadedModel,
        settings: Settings,
        exit_process: Callable[[str], object],
        observer: BatchObserver,
        new_batcher: NewBatcher = Batcher,
    ) -> None:
        self.model = model
        self.settings = settings
        self.draining = False  # told to stop: still answers, but wants no new callers
        self.health = Health(self.probe, settings.recovery_s, exit_process)
        self.batcher = new_batcher(
            settings.max_batch, settings.max_queue, self._inline_rows(model), observer, self.health.failed
        )
        self._executor = BoundedExecutor()
        self._loader = ImageLoader(settings)

    def swap_model(self, model: LoadedModel) -> LoadedModel:
        """Use this version for new requests. Return the previous one, which running requests may still use."""
        before, self.model = self.model, model
        self.batcher.inline_rows = self._inline_rows(model)
        return before

    async def wait_idle(self) -> None:
        """Wait until the model call that runs in the batcher's thread has ended; see Batcher.wait_idle."""
        await self.batcher.wait_idle()

    async def encode(
        self,
        model: LoadedModel,
        inputs: Sequence[ImageInput],
        how: Preparation,
        is_disconnected: IsDisconnected | None = None,
    ) -> Posterior:
        """Compute the posterior of every image, in order.

        Args:
            model: the version that the request began on; the same for the methods below.
            inputs: picture files, or images (n, h, w).
            how: see preparation.prepare.
            is_disconnected: tells whether the client has disconnected; see Batcher.submit.

        Raises:
            InvalidImage, ImageTooLarge: see ImageLoader.batch.
            Unavailable, EngineError: see Batcher.submit.
        """
        if len(inputs) == 1 and (levels := self._loader.levels(model.engine, inputs[0], how.invert)) is not None:
            return Posterior(*await self.batcher.submit(model.engine.encode_uint8, levels, is_disconnected))
        batch = await self._loader.batch(model.engine.image_shape, inputs, how)
        return await self._posterior(model, batch, is_disconnected)

    async def generate(
        self, model: LoadedModel, z: FloatArray, is_disconnected: IsDisconnected | None = None
    ) -> ByteArray:
        """Decode latent vectors (n, d) to grey levels, uint8 (n, h, w)."""
        (levels,) = await self.batcher.submit(model.engine.generate_uint8, self._checked(model, z), is_disconnected)
        return levels

    async def generate_unrounded(
        self, model: LoadedModel, z: FloatArray, is_disconnected: IsDisconnected | None = None
    ) -> FloatArray:
        """Decode latent vectors (n, d) to images, float32 (n, h, w) in [0, 1]; `generate` rounds these."""
        (generated,) = await self.batcher.submit(model.engine.generate, self._checked(model, z), is_disconnected)
        return generated

    async def reconstruct(
        self,
        model: LoadedModel,
        inputs: Sequence[ImageInput],
        how: Preparation,
        is_disconnected: IsDisconnected | None = None,
    ) -> Reconstruction:
        """Encode every image and decode its z_mean; return the reconstructions with their loss."""
        seen = await self._loader.batch(model.engine.image_shape, inputs, how)
        posterior = await self._posterior(model, seen, is_disconnected)
        (again,) = await self.batcher.submit(model.engine.generate, posterior.z_mean, is_disconnected)
        result = Reconstruction(seen, again, posterior)
        if not np.isfinite(result.loss).all():
            raise EngineError("The loss of an image is beyond all numbers: its variance is.")
        return result

    async def manifold(
        self, model: LoadedModel, n: int, scale: int, span: tuple[float, float], dims: tuple[int, int]
    ) -> bytes:
        """Draw the notebook's figure between two quantiles, as a PNG of n * h * scale pixels a side.

        Concurrent calls with the same arguments share one drawing, which is cached afterwards.
        """
        self._check_manifold(model, n, dims)
        self._check_scale(scale)
        key = (n, scale, span, dims)
        if (ready := model.manifolds.get(key)) is not None:
            return ready
        drawing = model.drawing.get(key)
        if drawing is None:
            drawing = model.drawing[key] = asyncio.create_task(self._draw(model, n, scale, span, dims))
            drawing.add_done_callback(lambda done: _drawn(model, key, done))
        return await asyncio.shield(drawing)  # who leaves takes nothing from the others

    async def _draw(
        self, model: LoadedModel, n: int, scale: int, span: tuple[float, float], dims: tuple[int, int]
    ) -> bytes:
        with model:  # the requests that want it may all have left before it is there
            z = manifold.latents(manifold.grid(n, *span), model.engine.latent_dim, dims)
            digits = await self.generate(model, z)
            return await self._executor.run(lambda: self.picture(digits, n, scale))

    def picture(self, digits: ByteArray, columns: int | None, scale: int) -> bytes:
        """Draw a contact sheet of digits, uint8 (n, h, w), upscaled, as a PNG.

        Raises:
            InvalidParameter: `columns`, `scale` or the resulting picture is too large.
        """
        self._check_scale(scale)
        if columns is not None and columns > len(digits):
            raise InvalidParameter(f"columns is {columns}, but there are {len(digits)} digits.")
        if len(digits) == 1 and scale == 1:
            return encode_png(digits[0])
        sheet = contact_sheet(digits, columns)
        return encode_png(enlarge(sheet, scale, self.settings.max_picture_pixels))

    async def render_png(self, digits: ByteArray, columns: int | None, scale: int) -> bytes:
        """Draw as `picture` does, in a worker thread unless the picture has the size of at most four digits."""
        if len(digits) * scale * scale <= 4:
            return self.picture(digits, columns, scale)
        return await self._executor.run(lambda: self.picture(digits, columns, scale))

    async def serialize(self, write: Callable[[], T], *arrays: FloatArray) -> T:
        """Serialize arrays with `write`, in a worker thread above QUICK_NUMBERS numbers.

        Raises:
            AnswerTooLarge: the response would be larger than `max_response_bytes`.
            Overloaded: see BoundedExecutor.run.
        """
        size, most = sum(array.size for array in arrays), self.settings.max_response_bytes
        if size * NUMBER_BYTES > most:
            raise AnswerTooLarge(f"The answer is {size:,} numbers: more than {most:,} bytes. Ask for fewer rows.")
        if size <= QUICK_NUMBERS:
            return write()
        return await self._executor.run(write)

    def check_ready(self) -> None:
        """Return if the service can accept new requests.

        Raises:
            ShuttingDown: the service was told to stop.
            ModelFailing: the model fails on every call, or a call does not return.
        """
        if self.draining:
            raise ShuttingDown("The service is stopping; it answers what it has.")
        if self.health.trouble is not None:
            raise ModelFailing(self.health.trouble)

    async def probe(self) -> None:
        """Have the batcher probe the model, as a request among the others.

        Raises:
            EngineError: a call fails, or an output is wrong.
            Unavailable: the queue is full, or the batcher is closed.
        """
        with self.model as model:  # as a request: it is not freed meanwhile
            await self.batcher.submit(functools.partial(_probed, model.engine), np.zeros(1))

    def on_model_hang(self) -> None:
        """Fail the requests that wait for a model call that does not return, and report not ready."""
        self.health.on_model_hang()
        self.batcher.abort(ModelFailing(HANGING))

    async def close(self) -> None:
        """Answer the waiting requests, then free the model."""
        self.health.close()
        await self.batcher.close()
        self._executor.close()
        self._loader.close()
        self.model.engine.close()

    def _inline_rows(self, model: LoadedModel) -> int:
        return min(model.engine.max_inline_batch, self.settings.max_inline_rows)

    async def _posterior(
        self, model: LoadedModel, batch: FloatArray, is_disconnected: IsDisconnected | None
    ) -> Posterior:
        return Posterior(*await self.batcher.submit(model.engine.encode, batch, is_disconnected))

    def _checked(self, model: LoadedModel, z: FloatArray) -> FloatArray:
        d = model.engine.latent_dim
        if z.ndim != 2 or z.shape[1] != d or not len(z):
            raise InvalidLatent(f"A latent vector of this model is {d} numbers; got the shape {z.shape}.")
        if len(z) > max(self.settings.max_rows, self.settings.max_manifold_n**2):
            raise InvalidLatent(f"There are {len(z)} latent vectors; at most {self.settings.max_rows} are taken.")
        return z

    def _check_manifold(self, model: LoadedModel, n: int, dims: tuple[int, int]) -> None:
        if n > self.settings.max_manifold_n:
            raise InvalidParameter(f"n is {n}; at most {self.settings.max_manifold_n} digits a side are drawn.")
        d = model.engine.latent_dim
        if max(dims) >= d or dims[0] == dims[1]:
            raise InvalidParameter(f"dims must be two different coordinates of 0 .. {d - 1}.")

    def _check_scale(self, scale: int) -> None:
        if scale > self.settings.max_scale:
            raise InvalidParameter(f"scale is {scale}; at most {self.settings.max_scale} is drawn.")


def _probed(engine: Engine, rows: FloatArray) -> tuple[FloatArray]:
    probe(engine)
    return (rows,)


def _drawn(model: LoadedModel, key: tuple[object, ...], drawing: asyncio.Task[bytes]) -> None:
    """Cache a drawing, unless it failed, or is larger than an eighth of the cache and would evict too many others."""
    del model.drawing[key]
    if not drawing.cancelled() and drawing.exception() is None and len(drawing.result()) <= MANIFOLD_CACHE_BYTES // 8:
        model.manifolds[key] = drawing.result()
