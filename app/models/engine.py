"""What a model must offer to be served. service and batching know this interface and nothing behind it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from app.imaging.types import ByteArray, FloatArray


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

    @property
    def max_inline_batch(self) -> int:
        """A call of at most so many rows is over before a thread could be woken for it, or little later; 0 if none.

        Known once `warm_up` has run.
        """

    def encode(self, images: FloatArray) -> Posterior:
        """Images (n, h, w) in [0, 1], light on dark, to their posteriors."""

    def encode_uint8(self, levels: ByteArray) -> Posterior:
        """As `encode`, from grey levels 0 .. 255, uint8 (n, h, w)."""

    def decode_png(self, png: bytes) -> ByteArray | None:
        """The grey levels, uint8 (h, w), of a picture that `png.is_minimal_png` knows, if the engine can tell them.

        Pillow takes longer to open such a picture than the model to encode it.
        """

    def generate(self, z: FloatArray) -> tuple[FloatArray]:
        """Latent vectors (n, d) to images (n, h, w) in [0, 1]."""

    def generate_uint8(self, z: FloatArray) -> tuple[ByteArray]:
        """As `generate`, in grey levels 0 .. 255."""

    def warm_up(self) -> None:
        """Run each call with the batch sizes that occur, so that no request pays for being the first.

        Raises:
            EngineError: the model does not do what its manifest says.
        """

    def close(self) -> None:
        """Free what the model holds; no call may follow."""
