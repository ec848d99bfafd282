"""What operators and their machines ask: GET /model, /livez, /readyz."""

from __future__ import annotations

from fastapi import APIRouter, Request

from app.manifest import Manifest
from app.routes.documents import answers, operation, schema
from app.routes.reading import JSON, query, service_of
from app.schemas import NoQuery, State

router = APIRouter(tags=["operations"])


@router.get(
    "/model",
    summary="The served version's manifest",
    responses=answers("What it is, how it was trained, how good it is.", {JSON: schema(Manifest)}),
    openapi_extra=operation(),
)
async def model(request: Request) -> Manifest:
    """The manifest as training published it."""
    query(request, NoQuery)
    return service_of(request).model.manifest


@router.get("/livez", summary="Whether the process runs", openapi_extra=operation())
async def live() -> State:
    """Says yes as long as the event loop turns; depends on nothing else."""
    return State(status="alive")


@router.get("/readyz", summary="Whether requests can be answered", openapi_extra=operation())
async def ready(request: Request) -> State:
    """Says yes once the model is loaded and warm."""
    service_of(request)
    return State(status="ready")
