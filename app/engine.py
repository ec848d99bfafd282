"""What a model must offer to be served. service and batching know this interface and nothing behind it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from app.images import ByteArray, FloatArray


class Posterior(NamedTuple):
    """q(z | image), a diagonal Gaussian per image."""

    z_mean: FloatArray  # (n, d)
    z_log_var: FloatArray  # (n, d)


class Engine(Protocol):
    """One loaded version of the model. Calls come from one thread at a time.

    Every call takes a batch and returns a tuple of arrays with a row per row of the batch, in order.
    """

    @property
    def latent_dim(self) -> int:
        """Length of z."""

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of an image."""

    def encode(self, images: FloatArray) -> Posterior:
        """Images (n, h, w) in [0, 1], light on dark, to their posteriors."""

    def generate(self, z: FloatArray) -> tuple[FloatArray]:
        """Latent vectors (n, d) to images (n, h, w) in [0, 1]."""

    def render(self, z: FloatArray) -> tuple[ByteArray]:
        """As `generate`, in grey levels 0 .. 255."""

    def warm_up(self) -> None:
        """Run each call once, so that the first request pays for nothing.

        Raises:
            EngineError: the model does not do what its manifest says.
        """

    def close(self) -> None:
        """Free what the model holds; no call may follow."""
