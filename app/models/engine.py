"""The interface of a loaded model. The inference room knows this interface and nothing behind it."""

from typing import NamedTuple, Protocol

from app.imaging.types import ByteArray, FloatArray


class Posterior(NamedTuple):
    """q(z | image), a diagonal Gaussian per image."""

    z_mean: FloatArray  # (n, d)
    z_log_var: FloatArray  # (n, d)


class Engine(Protocol):
    """One loaded version of the model.

    Every call takes a batch and returns a tuple of arrays with a row per row of the batch, in order.

    Threads: `encode`, `encode_uint8`, `generate`, `generate_uint8` and `decode_png` are thread-safe, and may run in
    several threads at once. The service calls them from the event loop (batches of at most `max_inline_batch` rows, and
    `decode_png`), from the batcher's thread (longer batches), and from the threads of a ParallelEngine (parts of one
    batch). `warm_up` is called once, in the thread that loads the version, before any other call; `close` is called
    once, after all calls have returned.
    """

    @property
    def latent_dim(self) -> int:
        """Length of z."""

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of an image."""

    @property
    def max_inline_batch(self) -> int:
        """The largest batch, in rows, that is faster than waking a thread for it; 0 if none is. Set by `warm_up`."""

    def encode(self, images: FloatArray) -> Posterior:
        """Encode images, float32 (n, h, w) in [0, 1], light strokes on dark."""

    def encode_uint8(self, levels: ByteArray) -> Posterior:
        """Encode grey levels 0 .. 255, uint8 (n, h, w)."""

    def decode_png(self, png: bytes) -> ByteArray | None:
        """Decode a PNG that `is_minimal_png` accepts to grey levels, uint8 (h, w); None if it is damaged.

        Pillow takes longer to open such a file than the model to encode it.
        """

    def generate(self, z: FloatArray) -> tuple[FloatArray]:
        """Decode latent vectors, float32 (n, d), to images, float32 (n, h, w) in [0, 1]."""

    def generate_uint8(self, z: FloatArray) -> tuple[ByteArray]:
        """Decode latent vectors, float32 (n, d), to grey levels 0 .. 255, uint8 (n, h, w)."""

    def warm_up(self) -> None:
        """Run each call with the batch sizes that occur, so that no request pays for compilation.

        Raises:
            EngineError: the model does not do what its manifest says.
        """

    def close(self) -> None:
        """Free the weights; no call may follow."""
