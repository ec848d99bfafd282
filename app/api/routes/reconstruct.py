"""POST /reconstruct."""

import numpy as np
from fastapi import APIRouter, Response

from app.api.formats.images import read_images
from app.api.openapi import BINARY, IMAGE_BODIES, answers, operation, schema
from app.api.requests import JSON, Request, disconnect_check, query
from app.api.responses import PNG, VersionedResponse, accepted, json_response, to_base64_pngs
from app.api.schemas import ReconstructQuery, ReconstructResponse
from app.imaging.sheets import to_uint8

router = APIRouter(tags=["inference"])


@router.post(
    "/reconstruct",
    summary="Images through the model and back, with their loss",
    responses=answers(
        "Each input and its reconstruction side by side, a row per image; or the numbers.",
        {PNG: BINARY, JSON: schema(ReconstructResponse)},
        *(406, 413, 415, 422),
    ),
    openapi_extra=operation(ReconstructQuery, IMAGE_BODIES),
)
async def reconstruct(request: Request) -> Response:
    """Reconstruct every image at z_mean; the loss, in nats, is an anomaly score."""
    kind = accepted(request, PNG, JSON)
    service = request.service
    options = query(request, ReconstructQuery)
    found = await read_images(request, service.settings.max_images)
    result = await service.reconstruct(request.model, found, options.preparation, disconnect_check(request.receive))
    if kind == PNG:
        pairs = np.stack([result.images, result.reconstruction], 1)  # (n, 2, h, w)
        levels = to_uint8(pairs.reshape(-1, *pairs.shape[2:]))
        return VersionedResponse(request, await service.render_png(levels, 2, options.scale), kind)
    return json_response(
        request,
        len(result.loss),
        z_mean=result.posterior.z_mean,
        z_log_var=result.posterior.z_log_var,
        reconstruction=to_base64_pngs(to_uint8(result.reconstruction)),
        xent=result.xent,
        kl=result.kl,
        loss=result.loss,
    )
