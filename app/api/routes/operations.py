"""Routes for operators and orchestrators: GET /model, /livez, /readyz, /metrics."""

from fastapi import APIRouter, Response

from app.api.openapi import TEXT, answers, operation, refusals
from app.api.requests import Request, query
from app.api.schemas import NoQuery, State
from app.models.manifest import Manifest
from app.telemetry import metrics

router = APIRouter(tags=["operations"])
counting = APIRouter(tags=["operations"])  # apart, since it can be left out


@router.get(
    "/model",
    summary="The served version's manifest",
    responses=answers("What it is, how it was trained, how good it is.", {}),  # FastAPI has it from the signature
    openapi_extra=operation(),
)
async def model(request: Request) -> Manifest:
    """Return the manifest of the served version, as training published it."""
    query(request, NoQuery)
    return request.model.manifest


@router.get("/livez", summary="Whether the process runs", responses=refusals(), openapi_extra=operation())
async def live(request: Request) -> State:
    """Report that the process is alive. Succeeds while the event loop runs, and depends on nothing else."""
    return State(status="alive")


@router.get("/readyz", summary="Whether requests can be answered", responses=refusals(), openapi_extra=operation())
async def ready(request: Request) -> State:
    """Report ready once the model is loaded and warm, unless the service is stopping or the model fails."""
    request.service.check_ready()
    return State(status="ready")


@counting.get(
    "/metrics",
    summary="Counts and times, for Prometheus",
    response_class=Response,
    responses=answers("Prometheus' text format, of all workers.", {"text/plain": TEXT}),
    openapi_extra=operation(),
)
async def counts(request: Request) -> Response:
    """Return requests by route and status, latencies, queue, batches, rejections, and the served version."""
    counted: metrics.Metrics = request.app.state.metrics
    return Response(counted.text(), media_type=metrics.MEDIA_TYPE)
