"""An engine whose arithmetic a test can predict, and the application on it."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import numpy as np

from app.imaging.types import ByteArray, FloatArray
from app.main import create_app
from app.models.engine import Posterior
from app.settings import Settings
from tests.support.fake_store import SHAPE, D


class FakeEngine:
    """z_mean is (mean of the left half, mean of the right half); generating paints the halves 0.5 + z / 10."""

    latent_dim = D
    image_shape = SHAPE
    max_inline_batch = 0  # every call in the inference thread, where the gate can hold it

    def __init__(self) -> None:
        self.batches: list[int] = []  # rows of every call
        self.threads: set[str] = set()
        self.warm = False
        self.closed = False
        self.gate: threading.Event | None = None  # calls wait for it

    def encode(self, images: FloatArray) -> Posterior:
        self._note(images)
        halves = np.stack([images[:, :, :14].mean((1, 2)), images[:, :, 14:].mean((1, 2))], 1)
        return Posterior(halves.astype(np.float32), np.full((len(images), D), -1, np.float32))

    def encode_uint8(self, levels: ByteArray) -> Posterior:
        return self.encode(levels / np.float32(255))

    def decode_png(self, png: bytes) -> ByteArray | None:
        return None

    def generate(self, z: FloatArray) -> tuple[FloatArray]:
        self._note(z)
        if (z == 666).any():
            raise RuntimeError("this z breaks the model")
        return (paint(z),)

    def generate_uint8(self, z: FloatArray) -> tuple[ByteArray]:
        (images,) = self.generate(z)
        return (np.rint(images * 255).astype(np.uint8),)

    def warm_up(self) -> None:
        self.warm = True
        self.batches.clear()  # what tried it out is no request
        self.threads.clear()

    def close(self) -> None:
        self.closed = True

    def _note(self, batch: FloatArray) -> None:
        self.batches.append(len(batch))
        self.threads.add(threading.current_thread().name)
        if self.gate and self.warm:
            self.gate.wait(10)


def paint(z: FloatArray) -> FloatArray:
    """What the fake generator makes of z."""
    halves = np.clip(np.float32(0.5) + z.astype(np.float32) / 10, 0, 1)
    return np.repeat(halves, 14, 1)[:, np.newaxis, :].repeat(28, 1).astype(np.float32)


@asynccontextmanager
async def connected(settings: Settings, engine: FakeEngine) -> AsyncIterator[httpx.AsyncClient]:
    """The whole application in this process, and a client of it."""
    app = create_app(settings, lambda stored, settings: engine)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield client
