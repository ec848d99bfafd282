"""Pictures of the latent space: GET /manifold.png and /latent.png."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Response

from app.api.openapi import BINARY, answers, operation, parameter
from app.api.requests import Request, query
from app.api.responses import PNG, VersionedResponse, accepted, matches
from app.api.schemas import ManifoldQuery, NoQuery
from app.errors import NotFound

router = APIRouter(tags=["pictures"])

_IF_NONE_MATCH = parameter(
    "If-None-Match", "header", "An ETag of an earlier answer; while it holds the answer is 304.", type="string"
)
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "The picture is the one the client has."}}


@router.get(
    "/manifold.png",
    summary="The digits over a square of the latent plane",
    responses=answers("8-bit grey, n * h * scale pixels a side.", {"image/png": BINARY}, 406, 422) | _UNCHANGED,
    openapi_extra=operation(ManifoldQuery, more=[_IF_NONE_MATCH]),
)
async def manifold(request: Request) -> Response:
    """Draw digits at even quantiles of the prior: the first coordinate of `dims` varies across, the second down."""
    accepted(request, PNG)
    service, model = request.service, request.model
    part = query(request, ManifoldQuery)
    return await _picture(
        request, part, lambda: service.manifold(model, part.n, part.scale, (part.low, part.high), part.axes)
    )


@router.get(
    "/latent.png",
    summary="The test set in the latent plane",
    responses=answers("Each test image's z_mean, coloured by class.", {"image/png": BINARY}, 404, 406) | _UNCHANGED,
    openapi_extra=operation(more=[_IF_NONE_MATCH]),
)
async def latent(request: Request) -> Response:
    """Return the plot of the test set in the latent plane, from the report of the served version."""
    accepted(request, PNG)
    part = query(request, NoQuery)
    drawn = request.model.latent_picture

    async def picture() -> bytes:
        if drawn is None:
            raise NotFound("The served version was published without a latent plot.")
        return drawn

    return await _picture(request, part, picture)


async def _picture(request: Request, part: ManifoldQuery | NoQuery, draw: Callable[[], Awaitable[bytes]]) -> Response:
    """Respond with a picture whose ETag covers the version and the parameters (RFC 9110, 8.8.3)."""
    told = f"{request.url.path} {part!r} {request.model.fingerprint}"
    etag = f'"{hashlib.sha256(told.encode()).hexdigest()[:24]}"'
    fields = ((b"etag", etag.encode()), (b"cache-control", b"no-cache"))
    if not matches(request.fields.get(b"if-none-match", b"").decode("latin-1"), etag):
        return VersionedResponse(request, await draw(), PNG, *fields)
    unchanged = VersionedResponse(request, b"", PNG, *fields)
    unchanged.status_code = 304
    return unchanged
