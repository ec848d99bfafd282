"""The model's own surface: POST /encode, /generate and /reconstruct."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from app import npy
from app.imaging.png import encode_png
from app.imaging.sheets import to_uint8
from app.imaging.types import ByteArray, FloatArray
from app.routes.documents import BINARY, answers, operation, schema
from app.routes.negotiation import accepted
from app.routes.reading import IMAGE_TYPES, JSON, MULTIPART, hung_up, latents, query, served, service_of, sources
from app.schemas import (
    EncodeRequest,
    EncodeResponse,
    GenerateRequest,
    GenerateResponse,
    PreparationQuery,
    ReconstructQuery,
    ReconstructResponse,
    SheetQuery,
)

PNG = "image/png"

router = APIRouter(tags=["inference"])

_FORM = {
    "schema": {
        "type": "object",
        "required": ["image"],
        "properties": {"image": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}},
        "additionalProperties": False,
    }
}
_IMAGES = dict.fromkeys(IMAGE_TYPES, BINARY) | {MULTIPART: _FORM, JSON: schema(EncodeRequest)}


@router.post(
    "/encode",
    summary="Images to latent vectors",
    responses=answers(
        "A row per image, in order.",
        {JSON: schema(EncodeResponse), npy.MEDIA_TYPE: BINARY},
        *(406, 413, 415, 422),
    ),
    openapi_extra=operation(PreparationQuery, _IMAGES),
)
async def encode(request: Request) -> Response:
    """The mean and log-variance of q(z | image) for every image of the body."""
    kind = accepted(request, JSON, npy.MEDIA_TYPE)
    service = service_of(request)
    options = query(request, PreparationQuery)
    found = await sources(request, service.settings.max_images)
    z_mean, z_log_var = await service.encode(
        served(request), found, options.invert, options.fit, hung_up(request.receive)
    )
    if kind == npy.MEDIA_TYPE:
        return _answer(request, npy.dumps(z_mean), kind)
    return _json(request, z_mean=numbers(z_mean), z_log_var=numbers(z_log_var))


@router.post(
    "/generate",
    summary="Latent vectors, or draws from the prior, to digits",
    responses=answers(
        "One digit, or all of them on a sheet; as npy uint8 (n, h, w); or each a PNG in base64.",
        {PNG: BINARY, npy.MEDIA_TYPE: BINARY, JSON: schema(GenerateResponse)},
        *(406, 413, 415, 422),
    ),
    openapi_extra=operation(
        SheetQuery,
        {
            JSON: schema(GenerateRequest, one={"z": [0, 0]}, several={"z": [[0, 0], [1, -1]]}, draws={"sample": 16}),
            npy.MEDIA_TYPE: BINARY,
        },
    ),
)
async def generate(request: Request) -> Response:
    """The digits at the given points of the latent space."""
    kind = accepted(request, PNG, npy.MEDIA_TYPE, JSON)
    service = service_of(request)
    sheet = query(request, SheetQuery)
    z = await latents(request, served(request).engine.latent_dim, service.settings.max_rows)
    digits = await service.generate(served(request), z, hung_up(request.receive))
    if kind == PNG:
        return _answer(request, await service.picture_off_loop(digits, sheet.columns, sheet.scale), kind)
    if kind == npy.MEDIA_TYPE:
        return _answer(request, npy.dumps(digits), kind)
    return _json(request, z=numbers(z), images=pngs(digits))


@router.post(
    "/reconstruct",
    summary="Images through the model and back, with their loss",
    responses=answers(
        "Each input and its reconstruction side by side, a row per image; or the numbers.",
        {PNG: BINARY, JSON: schema(ReconstructResponse)},
        *(406, 413, 415, 422),
    ),
    openapi_extra=operation(ReconstructQuery, _IMAGES),
)
async def reconstruct(request: Request) -> Response:
    """What the model makes of the images, at z_mean; the loss in nats says how well it knows them."""
    kind = accepted(request, PNG, JSON)
    service = service_of(request)
    options = query(request, ReconstructQuery)
    found = await sources(request, service.settings.max_images)
    result = await service.reconstruct(served(request), found, options.invert, options.fit, hung_up(request.receive))
    if kind == PNG:
        pairs = np.stack([result.images, result.reconstruction], 1)  # (n, 2, h, w)
        levels = to_uint8(pairs.reshape(-1, *pairs.shape[2:]))
        return _answer(request, await service.picture_off_loop(levels, 2, options.scale), kind)
    return _json(
        request,
        z_mean=numbers(result.posterior.z_mean),
        z_log_var=numbers(result.posterior.z_log_var),
        reconstruction=pngs(to_uint8(result.reconstruction)),
        xent=numbers(result.xent),
        kl=numbers(result.kl),
        loss=numbers(result.loss),
    )


def pngs(digits: ByteArray) -> list[str]:
    """Each digit of (n, h, w) as a PNG file in base64."""
    return [base64.b64encode(encode_png(digit)).decode() for digit in digits]


def numbers(array: FloatArray) -> list[Any]:
    """Nested lists; each number is the float32 itself, so that reading it back gives the same bits."""
    listed: list[Any] = array.tolist()
    return listed


def _json(request: Request, **fields: Any) -> Response:
    document = {"model_version": served(request).version, **fields}
    return _answer(request, to_json(document), JSON)


def _answer(request: Request, content: bytes | str, media_type: str) -> Response:
    """Every answer of the model says which version of it spoke."""
    version = str(served(request).version)
    return Response(content, headers={"x-model-version": version}, media_type=media_type)
