"""Check the outputs of a version: before it serves, and again after a call has failed."""

import numpy as np

from app.errors import EngineError
from app.imaging.types import ByteArray, FloatArray
from app.models.engine import Engine, Posterior

PROBES = 8


def probe(engine: Engine, n: int = PROBES) -> None:
    """Call an engine on n random images and on n samples from the prior.

    Raises:
        EngineError: a call fails, or `check_outputs` rejects its output.
    """
    random = np.random.default_rng(0)
    images = random.random((n, *engine.image_shape), np.float32)
    z = random.standard_normal((n, engine.latent_dim), np.float32)
    (generated,), (levels,) = engine.generate(z), engine.generate_uint8(z)
    check_outputs(engine, n, engine.encode(images), generated, levels)


def check_outputs(engine: Engine, n: int, posterior: Posterior, images: FloatArray, levels: ByteArray) -> None:
    """Check the outputs of an engine's calls on n rows.

    Args:
        engine: the engine, which has the expected shapes.
        n: number of rows of each output.
        posterior: output of `encode` or `encode_uint8`.
        images: output of `generate`.
        levels: output of `generate_uint8`.

    Raises:
        EngineError: a shape differs from the expected one, a number is not finite, or a pixel is outside of 0 .. 1.
    """
    of_latents, of_images = (n, engine.latent_dim), (n, *engine.image_shape)
    outputs: tuple[tuple[str, FloatArray | ByteArray, tuple[int, ...]], ...] = (
        ("z_mean", posterior.z_mean, of_latents),
        ("z_log_var", posterior.z_log_var, of_latents),
        ("image", images, of_images),
        ("image in grey levels", levels, of_images),
    )
    for name, array, shape in outputs:
        if array.shape != shape:
            raise EngineError(f"The model's {name} has the shape {array.shape}; its manifest promises {shape}.")
        if not np.isfinite(array).all():
            raise EngineError(f"The model's {name} is not finite.")
    if images.min() < 0 or images.max() > 1:
        raise EngineError("The model's image has pixels outside of 0 .. 1.")
