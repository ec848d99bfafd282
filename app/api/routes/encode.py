"""POST /encode."""

from fastapi import APIRouter, Response

from app.api.formats import npy
from app.api.formats.images import read_images
from app.api.openapi import BINARY, IMAGE_BODIES, answers, operation, schema
from app.api.requests import JSON, Request, disconnect_check, query
from app.api.responses import VersionedResponse, accepted, json_response
from app.api.schemas import EncodeResponse, PreparationQuery

router = APIRouter(tags=["inference"])


@router.post(
    "/encode",
    summary="Images to latent vectors",
    responses=answers(
        "A row per image, in order.", {JSON: schema(EncodeResponse), npy.MEDIA_TYPE: BINARY}, *(406, 413, 415, 422)
    ),
    openapi_extra=operation(PreparationQuery, IMAGE_BODIES),
)
async def encode(request: Request) -> Response:
    """Compute the mean and log-variance of q(z | image) for every image of the body."""
    kind = accepted(request, JSON, npy.MEDIA_TYPE)
    service = request.service
    options = query(request, PreparationQuery)
    found = await read_images(request, service.settings.max_images)
    z_mean, z_log_var = await service.encode(
        request.model, found, options.preparation, disconnect_check(request.receive)
    )
    if kind == npy.MEDIA_TYPE:
        return VersionedResponse(request, npy.dumps(z_mean), kind)
    return json_response(request, len(z_mean), z_mean=z_mean, z_log_var=z_log_var)
