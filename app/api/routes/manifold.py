"""Pictures of the latent space: GET /manifold.png and /latent.png."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.openapi import BINARY, answers, operation
from app.api.requests import query, served, service_of
from app.api.responses import accepted, matches
from app.api.schemas import ManifoldQuery, NoQuery
from app.errors import NotFound

PNG = "image/png"
MAX_CACHED_BYTES = 4 * 2**20
MAX_CACHED_QUERY = 128  # bytes of the query: the same picture can be asked for in endless ways, as n=1, n=01, n=001

router = APIRouter(tags=["pictures"])

_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "An ETag of an earlier answer; if it still holds, the answer is 304 without a body.",
}
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "The picture is the one the client has."}}


@router.head("/manifold.png", include_in_schema=False)
@router.get(
    "/manifold.png",
    summary="The digits over a square of the latent plane",
    responses=answers("8-bit grey, n * h * scale pixels a side.", {"image/png": BINARY}, 406, 422) | _UNCHANGED,
    openapi_extra=operation(ManifoldQuery, more=[_IF_NONE_MATCH]),
)
async def manifold(request: Request) -> Response:
    """Draw digits at even quantiles of the prior: the first coordinate of `dims` varies across, the second down."""
    accepted(request, PNG)
    service, model = service_of(request), served(request)
    part = query(request, ManifoldQuery)
    response = await _picture(
        request, part, lambda: service.manifold(model, part.n, part.scale, (part.low, part.high), part.axes)
    )
    asked: bytes = request.scope["query_string"]
    keeps = len(asked) <= MAX_CACHED_QUERY and len(response.body) <= MAX_CACHED_BYTES
    if request.method == "GET" and response.status_code == 200 and keeps:
        model.answers[asked] = (response.raw_headers, bytes(response.body))
    return response


@router.head("/latent.png", include_in_schema=False)
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
    drawn = served(request).latent_picture

    async def picture() -> bytes:
        if drawn is None:
            raise NotFound("The served version was published without a latent plot.")
        return drawn

    return await _picture(request, part, picture)


async def _picture(request: Request, part: ManifoldQuery | NoQuery, draw: Callable[[], Awaitable[bytes]]) -> Response:
    """Respond with a picture whose ETag covers the version and the parameters (RFC 9110, 8.8.3)."""
    manifest = served(request).manifest
    told = f"{request.url.path} {part!r} {manifest.version} {[file.sha256 for file in manifest.files]}"
    etag = f'"{hashlib.sha256(told.encode()).hexdigest()[:24]}"'
    headers = {"etag": etag, "cache-control": "no-cache", "x-model-version": str(manifest.version)}
    if matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    return Response(await draw(), headers=headers, media_type=PNG)
