"""POST /generate."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app.api.formats import npy
from app.api.formats.latents import read_latents
from app.api.openapi import BINARY, answers, operation, schema
from app.api.requests import JSON, disconnect_check, query, served, service_of
from app.api.responses import PNG, accepted, json_response, to_base64_pngs, to_lists, versioned_response
from app.api.schemas import GenerateRequest, GenerateResponse, SheetQuery

router = APIRouter(tags=["inference"])


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
    """Decode the given points of the latent space, or samples from the prior, to digits."""
    kind = accepted(request, PNG, npy.MEDIA_TYPE, JSON)
    service = service_of(request)
    sheet = query(request, SheetQuery)
    z = await read_latents(request, served(request).engine.latent_dim, service.settings.max_rows)
    digits = await service.generate(served(request), z, disconnect_check(request.receive))
    if kind == PNG:
        return versioned_response(request, await service.render_png(digits, sheet.columns, sheet.scale), kind)
    if kind == npy.MEDIA_TYPE:
        return versioned_response(request, npy.dumps(digits), kind)
    return json_response(request, z=to_lists(z), images=to_base64_pngs(digits))
