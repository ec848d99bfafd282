"""POST /encode."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app.api.formats import npy
from app.api.formats.images import read_images
from app.api.openapi import BINARY, IMAGE_BODIES, answers, operation, schema
from app.api.requests import JSON, disconnect_check, query, served, service_of
from app.api.responses import accepted, json_response, to_lists, versioned_response
from app.api.schemas import EncodeResponse, PreparationQuery

router = APIRouter(tags=["inference"])


@router.post(
    "/encode",
    summary="Images to latent vectors",
    responses=answers(
        "A row per image, in order.",
        {JSON: schema(EncodeResponse), npy.MEDIA_TYPE: BINARY},
        *(406, 413, 415, 422),
    ),
    openapi_extra=operation(PreparationQuery, IMAGE_BODIES),
)
async def encode(request: Request) -> Response:
    """Compute the mean and log-variance of q(z | image) for every image of the body."""
    kind = accepted(request, JSON, npy.MEDIA_TYPE)
    service = service_of(request)
    options = query(request, PreparationQuery)
    found = await read_images(request, service.settings.max_images)
    z_mean, z_log_var = await service.encode(
        served(request), found, options.invert, options.fit, disconnect_check(request.receive)
    )
    if kind == npy.MEDIA_TYPE:
        return versioned_response(request, npy.dumps(z_mean), kind)
    return json_response(request, z_mean=to_lists(z_mean), z_log_var=to_lists(z_log_var))
