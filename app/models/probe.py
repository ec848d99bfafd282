"""Check that a loaded version works, before it serves."""

from __future__ import annotations

import numpy as np

from app.errors import EngineError
from app.imaging.types import ByteArray, FloatArray
from app.models.engine import Engine

PROBES = 8


def probe(engine: Engine) -> None:
    """Have an engine answer a few images and points of the prior.

    Raises:
        EngineError: it fails, or answers with other shapes than it promises, or with numbers that are no answer.
    """
    random = np.random.default_rng(0)
    images = random.random((PROBES, *engine.image_shape), np.float32)
    z = random.standard_normal((PROBES, engine.latent_dim), np.float32)
    of_latents, of_images = (PROBES, engine.latent_dim), (PROBES, *engine.image_shape)
    z_mean, z_log_var = engine.encode(images)
    (generated,), (levels,) = engine.generate(z), engine.generate_uint8(z)
    answers: tuple[tuple[str, FloatArray | ByteArray, tuple[int, ...]], ...] = (
        ("z_mean", z_mean, of_latents),
        ("z_log_var", z_log_var, of_latents),
        ("image", generated, of_images),
        ("rendered image", levels, of_images),
    )
    for name, array, shape in answers:
        if array.shape != shape:
            raise EngineError(f"A probe's {name} has the shape {array.shape}, not {shape}.")
        if not np.isfinite(array).all():
            raise EngineError(f"A probe's {name} is not finite.")
    if generated.min() < 0 or generated.max() > 1:
        raise EngineError("A probe's image has pixels outside of 0 .. 1.")
