"""Orders the steps of encoding, generating, reconstructing and the manifold.

routes -> Service -> inputs (what is sent), batching (the model), images (what is drawn) -> results for routes.
Knows the engine's interface, not the engine, and nothing of HTTP. Which version a request uses is its caller's to
say: the one that the request began on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from app.errors import (
    AnswerTooLarge,
    InvalidLatent,
    InvalidParameter,
    ModelFailing,
    ShuttingDown,
)
from app.imaging import manifold
from app.imaging.png import encode_png
from app.imaging.preparation import Fit, Invert
from app.imaging.sheets import contact_sheet, enlarge
from app.imaging.types import ByteArray, FloatArray
from app.inference.batcher import Batcher, BatchObserver, Failed, IsDisconnected
from app.inference.executor import BoundedExecutor
from app.inference.health import HANGING, Health
from app.inference.inputs import ImageInput, ImageLoader
from app.inference.reconstruction import Reconstruction
from app.models.engine import Posterior
from app.models.loaded_model import MANIFOLD_CACHE_BYTES, LoadedModel
from app.models.probe import check_outputs
from app.settings import Settings

T = TypeVar("T")
NewBatcher = Callable[[int, int, int, BatchObserver | None, Failed], Batcher]

QUICK_NUMBERS = 2**14  # are written as JSON in some three milliseconds
NUMBER_BYTES = 22  # of a float32 in JSON with all its digits


class Service:
    """The ways to use a model, and the version that new requests get. Any method may be called by many at once.

    Args:
        model: what is served until `swap_model` names another.
        settings: what may be asked of it.
        exit_process: ends the process, for the reason it is called with, once the model has failed for too long.
        observer: is told of queue and batches.
        new_batcher: is called as Batcher.
    """

    def __init__(
        self,
        model: LoadedModel,
        settings: Settings,
        exit_process: Callable[[str], object],
        observer: BatchObserver | None = None,
        new_batcher: NewBatcher = Batcher,
    ) -> None:
        self.model = model
        self.settings = settings
        self.draining = False  # told to stop: still answers, but wants no new callers
        self.health = Health(self.probe, settings.recovery_s, exit_process)
        self._batcher = new_batcher(
            settings.max_batch,
            settings.max_queue,
            self._inline_rows(model),
            observer,
            self.health.failed,
        )
        self._executor = BoundedExecutor()
        self._loader = ImageLoader(settings, self._executor)

    def swap_model(self, model: LoadedModel) -> LoadedModel:
        """Give new requests this version from now on; returns the one they got before, which some still use."""
        before, self.model = self.model, model
        self._batcher.inline_rows = self._inline_rows(model)
        return before

    async def wait_idle(self) -> None:
        """Wait until the model call that is under way has ended, if it is one for callers that left."""
        await self._batcher.wait_idle()

    async def encode(
        self,
        model: LoadedModel,
        inputs: Sequence[ImageInput],
        invert: Invert,
        fit: Fit,
        is_disconnected: IsDisconnected | None = None,
    ) -> Posterior:
        """Compute the posterior of every image, in order.

        Args:
            model: the version that the request began on; so below.
            inputs: picture files, or images (n, h, w).
            invert: see preparation.prepare.
            fit: the same.
            is_disconnected: tells whether the caller has hung up; see Batcher.submit.

        Raises:
            InvalidImage, ImageTooLarge: of the first source that cannot be used.
            Unavailable, EngineError: see Batcher.submit.
        """
        if len(inputs) == 1 and (levels := self._loader.levels(model.engine, inputs[0], invert)) is not None:
            return Posterior(*await self._batcher.submit(model.engine.encode_uint8, levels, is_disconnected))
        batch = await self._loader.batch(model.engine.image_shape, inputs, invert, fit)
        return await self._posterior(model, batch, is_disconnected)

    async def generate(
        self, model: LoadedModel, z: FloatArray, is_disconnected: IsDisconnected | None = None
    ) -> ByteArray:
        """Grey levels (n, h, w) for latent vectors (n, d)."""
        (levels,) = await self._batcher.submit(model.engine.generate_uint8, self._checked(model, z), is_disconnected)
        return levels

    async def generate_unrounded(
        self, model: LoadedModel, z: FloatArray, is_disconnected: IsDisconnected | None = None
    ) -> FloatArray:
        """Images (n, h, w) in [0, 1] for latent vectors (n, d): what `generate` rounds to grey levels."""
        (generated,) = await self._batcher.submit(model.engine.generate, self._checked(model, z), is_disconnected)
        return generated

    async def reconstruct(
        self,
        model: LoadedModel,
        inputs: Sequence[ImageInput],
        invert: Invert,
        fit: Fit,
        is_disconnected: IsDisconnected | None = None,
    ) -> Reconstruction:
        """Every image through encoder and generator, and its loss at z_mean."""
        seen = await self._loader.batch(model.engine.image_shape, inputs, invert, fit)
        posterior = await self._posterior(model, seen, is_disconnected)
        (again,) = await self._batcher.submit(model.engine.generate, posterior.z_mean, is_disconnected)
        return Reconstruction(seen, again, posterior)

    async def manifold(
        self, model: LoadedModel, n: int, scale: int, span: tuple[float, float], dims: tuple[int, int]
    ) -> bytes:
        """Draw the notebook's figure between two quantiles, as a PNG of n * h * scale pixels a side.

        It is drawn once, also for those who ask while it is being drawn: after a change of version all do.
        """
        self._check_manifold(model, n, scale, dims)
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
        """Draw a contact sheet of digits (n, h, w) as a PNG."""
        if scale > self.settings.max_scale:
            raise InvalidParameter(f"scale is {scale}; at most {self.settings.max_scale} is drawn.")
        if columns is not None and columns > len(digits):
            raise InvalidParameter(f"columns is {columns}, but there are {len(digits)} digits.")
        if len(digits) == 1 and scale == 1:
            return encode_png(digits[0])
        sheet = contact_sheet(digits, columns)
        return encode_png(enlarge(sheet, scale, self.settings.max_picture_pixels))

    async def render_png(self, digits: ByteArray, columns: int | None, scale: int) -> bytes:
        """As `picture`, in a thread once it is more than a moment's work."""
        if len(digits) * scale * scale <= 4:
            return self.picture(digits, columns, scale)
        return await self._executor.run(lambda: self.picture(digits, columns, scale))

    async def serialize(self, write: Callable[[], T], *arrays: FloatArray) -> T:
        """Serialize arrays with `write`, in a worker thread above QUICK_NUMBERS numbers.

        Raises:
            AnswerTooLarge: it would be more than is sent.
            Overloaded: too much is drawn or written already.
        """
        size, most = sum(array.size for array in arrays), self.settings.max_response_bytes
        if size * NUMBER_BYTES > most:
            raise AnswerTooLarge(f"The answer is {size:,} numbers: more than {most:,} bytes. Ask for fewer rows.")
        if size <= QUICK_NUMBERS:
            return write()
        return await self._executor.run(write)

    def check_ready(self) -> None:
        """Return if new callers are welcome.

        Raises:
            ShuttingDown: the service was told to stop.
            ModelFailing: the model fails on every call, or a call does not return.
        """
        if self.draining:
            raise ShuttingDown("The service is stopping; it answers what it has.")
        if self.health.trouble is not None:
            raise ModelFailing(self.health.trouble)

    async def probe(self) -> None:
        """Call the model in every way that requests do, on one row of nothing.

        Raises:
            EngineError: it fails.
            Unavailable: there is no room for the calls.
        """
        with self.model as model:  # as a request: it is not freed meanwhile
            engine = model.engine
            levels, z = np.zeros((1, *engine.image_shape), np.uint8), np.zeros((1, engine.latent_dim), np.float32)
            posterior = Posterior(*await self._batcher.submit(engine.encode_uint8, levels))
            (images,) = await self._batcher.submit(engine.generate, z)
            (digits,) = await self._batcher.submit(engine.generate_uint8, z)
        check_outputs(engine, 1, posterior, images, digits)

    def can_run_inline(self) -> bool:
        """Whether a single row would be answered here and now."""
        return self._batcher.can_run_inline(1)

    def running_batch(self) -> object | None:
        """See Batcher.running_batch."""
        return self._batcher.running_batch()

    def on_model_hang(self) -> None:
        """Fail the requests that wait for a model call that will not return, and report not ready."""
        self.health.on_model_hang()
        self._batcher.abort(ModelFailing(HANGING))

    async def close(self) -> None:
        """Answer what waits, then free the model."""
        self.health.close()
        await self._batcher.close()
        self._executor.close()
        self.model.engine.close()

    def _inline_rows(self, model: LoadedModel) -> int:
        return min(model.engine.max_inline_batch, self.settings.max_inline_rows)

    async def _posterior(
        self, model: LoadedModel, batch: FloatArray, is_disconnected: IsDisconnected | None
    ) -> Posterior:
        return Posterior(*await self._batcher.submit(model.engine.encode, batch, is_disconnected))

    def _checked(self, model: LoadedModel, z: FloatArray) -> FloatArray:
        d = model.engine.latent_dim
        if z.ndim != 2 or z.shape[1] != d or not len(z):
            raise InvalidLatent(f"A latent vector of this model is {d} numbers; got the shape {z.shape}.")
        if len(z) > max(self.settings.max_rows, self.settings.max_manifold_n**2):
            raise InvalidLatent(f"There are {len(z)} latent vectors; at most {self.settings.max_rows} are taken.")
        return z

    def _check_manifold(self, model: LoadedModel, n: int, scale: int, dims: tuple[int, int]) -> None:
        if n > self.settings.max_manifold_n:
            raise InvalidParameter(f"n is {n}; at most {self.settings.max_manifold_n} digits a side are drawn.")
        if scale > self.settings.max_scale:
            raise InvalidParameter(f"scale is {scale}; at most {self.settings.max_scale} is drawn.")
        d = model.engine.latent_dim
        if max(dims) >= d or dims[0] == dims[1]:
            raise InvalidParameter(f"dims must be two different coordinates of 0 .. {d - 1}.")


def _drawn(model: LoadedModel, key: tuple[object, ...], drawing: asyncio.Task[bytes]) -> None:
    """Keep what was drawn, unless it failed, or is so large that others would have to go for it."""
    del model.drawing[key]
    if not drawing.cancelled() and drawing.exception() is None and len(drawing.result()) <= MANIFOLD_CACHE_BYTES // 8:
        model.manifolds[key] = drawing.result()
