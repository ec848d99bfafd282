"""The latent vectors of a request: JSON and arrays, or samples from the prior."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from app.api.formats import npy
from app.api.requests import JSON, Request, body_error, content_type, read_body, read_json
from app.api.schemas import GenerateRequest
from app.errors import InvalidLatent, InvalidParameter
from app.imaging.types import FloatArray

LATENT_TYPES = (JSON, npy.MEDIA_TYPE)


async def read_latents(request: Request, latent_dim: int, max_rows: int) -> FloatArray:
    """Read the latent vectors of a body, or draw as many samples from the prior as it asks for; float32 (n, d).

    Raises:
        UnsupportedMediaType, EmptyBody, MalformedBody, InvalidLatent, InvalidParameter: with the reason as its detail.
        JsonTooLarge: the JSON has too many values.
    """
    kind = content_type(request, LATENT_TYPES)
    if kind == npy.MEDIA_TYPE:
        return latents_from_array(npy.loads(await read_body(request)), latent_dim)
    return latents_from_json(await read_json(request), latent_dim, max_rows)


def latents_from_json(body: bytes, latent_dim: int, max_rows: int) -> FloatArray:
    """Read a JSON body as latent vectors, float32 (n, d); for `sample`, draw them from the prior.

    Raises:
        MalformedBody, InvalidLatent, InvalidParameter: with the reason as its detail.
    """
    try:
        wanted = GenerateRequest.model_validate_json(body)
    except ValidationError as exc:
        raise body_error(exc, f"z must be {latent_dim} finite numbers, or a list of such lists") from exc
    if (wanted.z is None) == (wanted.sample is None):
        raise InvalidParameter('Give exactly one of "z" and "sample".')
    if wanted.seed is not None and wanted.sample is None:
        raise InvalidParameter('"seed" goes with "sample".')
    if wanted.sample is not None:
        if wanted.sample > max_rows:
            raise InvalidParameter(f"sample is {wanted.sample}; at most {max_rows} are drawn in one request.")
        return sample_prior(wanted.sample, latent_dim, wanted.seed)
    return _latent_array(wanted.z or [], latent_dim, max_rows)


def sample_prior(n: int, latent_dim: int, seed: int | None) -> FloatArray:
    """Draw n samples from the prior N(0, I), float32 (n, d); equal seeds give equal samples."""
    return np.random.default_rng(seed).standard_normal((n, latent_dim), np.float32)


def _latent_array(z: list[Any], latent_dim: int, max_rows: int) -> FloatArray:
    rows = z if z and isinstance(z[0], list) else [z]
    if len(rows) > max_rows:
        raise InvalidLatent(f"There are {len(rows)} latent vectors; at most {max_rows} are taken.")
    for i, row in enumerate(rows):
        if len(row) != latent_dim:
            where = f"z[{i}]" if rows is z else "z"
            raise InvalidLatent(f"{where} has {len(row)} numbers; this model's latent vectors have {latent_dim}.")
    return np.asarray(rows, np.float32)


def latents_from_array(array: npt.NDArray[Any], latent_dim: int) -> FloatArray:
    """Convert an array of numbers to latent vectors, float32 (n, d).

    Raises:
        InvalidLatent: the array is not numeric, is not of the shape (n, d), or has a number outside [-1e6, 1e6].
    """
    if array.dtype.kind not in "fiu":
        raise InvalidLatent(f"z must be an array of numbers; got {array.dtype}.")
    if array.ndim != 2 or array.shape[1] != latent_dim:
        raise InvalidLatent(f"z must have the shape (n, {latent_dim}); got {array.shape}.")
    with np.errstate(invalid="ignore", over="ignore"):  # NumPy warns of some bits that are no number
        small = np.abs(array.astype(np.float64)) <= 1e6  # float16 has no million
    if not small.all():
        raise InvalidLatent("z must be finite, and no coordinate beyond a million.")
    return array.astype(np.float32)
