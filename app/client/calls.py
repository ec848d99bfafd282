"""Requests to the service as values, without their transport."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from app.client import npy
from app.client.inputs import Batch

JSON = "application/json"
PNG = "image/png"

Invert = Literal["auto", "true", "false"]
Fit = Literal["auto", "none"]
Files = tuple[tuple[str, tuple[str, bytes]], ...]

# By the first bytes; the service looks at the content itself, so anything else may be called a PNG.
SIGNATURES = ((b"\xff\xd8", "image/jpeg"), (b"RIFF", "image/webp"), (b"BM", "image/bmp"))


@dataclass(frozen=True)
class Call:
    """One request. No request changes the service's state, so each may be repeated."""

    method: str
    path: str  # relative to the service's address
    headers: Mapping[str, str]
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    content: bytes | None = None
    files: Files | None = None


def encode(batch: Batch, invert: Invert, fit: Fit) -> Call:
    """Build POST /encode with JSON as the response."""
    return _of_images("encode", batch, invert, fit)


def reconstruct(batch: Batch, invert: Invert, fit: Fit) -> Call:
    """Build POST /reconstruct with JSON as the response."""
    return _of_images("reconstruct", batch, invert, fit)


def generate(z: npt.NDArray[np.float32]) -> Call:
    """Build POST /generate of latent vectors (n, d), with npy as the response."""
    return Call("POST", "generate", {"accept": npy.MEDIA_TYPE, "content-type": npy.MEDIA_TYPE}, content=npy.dumps(z))


def sample(n: int, seed: int | None) -> Call:
    """Build POST /generate of n samples from the prior, with JSON as the response, which includes z."""
    body = {"sample": int(n)} | ({} if seed is None else {"seed": int(seed)})  # JSON knows none of NumPy's integers
    return Call("POST", "generate", {"accept": JSON, "content-type": JSON}, content=json.dumps(body).encode())


def manifold(n: int, scale: int, low: float, high: float, dims: tuple[int, int]) -> Call:
    """Build GET /manifold.png."""
    params: dict[str, str | int | float] = {
        "n": n,
        "scale": scale,
        "low": low,
        "high": high,
        "dims": f"{dims[0]},{dims[1]}",
    }
    return Call("GET", "manifold.png", {"accept": PNG}, params)


def model() -> Call:
    """Build GET /model."""
    return Call("GET", "model", {"accept": JSON})


def ready() -> Call:
    """Build GET /readyz."""
    return Call("GET", "readyz", {"accept": JSON})


def _of_images(path: str, batch: Batch, invert: Invert, fit: Fit) -> Call:
    # The defaults stay unsaid: the service answers a plain request by a shorter way.
    params: dict[str, str | int | float] = {}
    params |= {"invert": invert} if invert != "auto" else {}
    params |= {"fit": fit} if fit != "auto" else {}
    headers = {"accept": JSON}
    content = batch.content
    if isinstance(content, np.ndarray):
        return Call("POST", path, headers | {"content-type": npy.MEDIA_TYPE}, params, npy.dumps(content))
    if len(content) == 1:
        return Call("POST", path, headers | {"content-type": _media_type(content[0])}, params, content[0])
    # Names are the places in the batch: those of the caller's files are nobody's business.
    parts = tuple(("image", (str(i), file)) for i, file in enumerate(content))
    return Call("POST", path, headers, params, files=parts)


def _media_type(file: bytes) -> str:
    return next((kind for head, kind in SIGNATURES if file.startswith(head)), PNG)
