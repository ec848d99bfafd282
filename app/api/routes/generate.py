"""POST /generate."""

from fastapi import APIRouter, Response

from app.api.formats import npy
from app.api.formats.latents import read_latents
from app.api.openapi import BINARY, answers, operation, schema
from app.api.requests import JSON, Request, disconnect_check, query
from app.api.responses import PNG, VersionedResponse, accepted, json_response, to_base64_pngs
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
    service = request.service
    sheet = query(request, SheetQuery)
    z = await read_latents(request, request.model.engine.latent_dim, service.settings.max_rows)
    digits = await service.generate(request.model, z, disconnect_check(request.receive))
    if kind == PNG:
        return VersionedResponse(request, await service.render_png(digits, sheet.columns, sheet.scale), kind)
    if kind == npy.MEDIA_TYPE:
        return VersionedResponse(request, npy.dumps(digits), kind)
    return json_response(request, len(z), z=z, images=to_base64_pngs(digits))
