"""The Open Inference Protocol v2 over HTTP, as KServe and Triton speak it: GET and POST under /v2.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, with the binary
tensor data extension; see app/api/protocols/open_inference_messages.py for the messages.
"""

from typing import Any

from fastapi import APIRouter, Response

from app.api.openapi import BINARY, NAME, VERSION, operation, parameter, protocol_refusals, schema
from app.api.protocols import open_inference_messages as oip
from app.api.protocols.models import model_of, models
from app.api.requests import JSON, Request, disconnect_check, read_decoded_body
from app.api.responses import VersionedResponse

OCTETS = "application/octet-stream"
HEADER_LENGTH = "Inference-Header-Content-Length"
MODEL = "/v2/models/{name}"
MODEL_VERSION = "/v2/models/{name}/versions/{version}"
EXTENSIONS = ["binary_tensor_data"]

router = APIRouter(tags=["Open Inference Protocol v2"])

_HEADER = parameter(
    HEADER_LENGTH, "header", "Bytes of JSON in front of raw tensors; without it all is JSON.", type="integer", minimum=0
)
_EXAMPLE = {"inputs": [{"name": "z", "shape": [1, 2], "datatype": "FP32", "data": [0, 0]}]}
_OF_SERVER: dict[str, Any] = {"responses": protocol_refusals(), "openapi_extra": operation()}
_OF_MODEL: dict[str, Any] = {"responses": protocol_refusals(404), "openapi_extra": operation(more=[NAME])}
_OF_VERSION = _OF_MODEL | {"openapi_extra": operation(more=[NAME, VERSION])}
_INFER: dict[str, Any] = {
    "summary": "Tensors in, tensors out",
    "responses": {
        200: {"description": "The outputs asked for, as JSON or behind it.", "model": oip.InferResponse},
        **protocol_refusals(404, 413),
    },
}
_BODY = {JSON: schema(oip.InferRequest, generator=_EXAMPLE), OCTETS: BINARY}


@router.get("/v2/", include_in_schema=False)
@router.get("/v2", summary="The server and its extensions", **_OF_SERVER)
async def server(request: Request) -> oip.ServerMetadata:
    """Return the server's name, version and extensions."""
    return oip.ServerMetadata(name="digit-vae", version=request.app.version, extensions=EXTENSIONS)


@router.get("/v2/health/live", summary="Whether the process runs", **_OF_SERVER)
async def live(request: Request) -> oip.Live:
    """Report that the process is alive, as /livez does."""
    return oip.Live(live=True)


@router.get("/v2/health/ready", summary="Whether requests can be answered", **_OF_SERVER)
async def ready(request: Request) -> oip.Ready:
    """Report whether requests can be answered, as /readyz does."""
    request.service.check_ready()
    return oip.Ready(ready=True)


@router.get(MODEL_VERSION + "/ready", summary="Whether a version can be used", **_OF_VERSION)
@router.get(MODEL + "/ready", summary="Whether a model can be used", **_OF_MODEL)
async def model_ready(request: Request) -> oip.ModelReady:
    """Report whether a model of this name and version can be used, as /readyz does for the service."""
    model = model_of(request)
    request.service.check_ready()
    return oip.ModelReady(name=model.name, ready=True)


@router.get(MODEL_VERSION, summary="What a version takes and gives", **_OF_VERSION)
@router.get(MODEL, summary="What a model takes and gives", **_OF_MODEL)
async def metadata(request: Request) -> oip.ModelMetadata:
    """Return the inputs and outputs of a model. It computes in FP32; other datatypes are converted."""
    model = model_of(request)
    return oip.ModelMetadata(
        name=model.name,
        versions=[str(model.version)],
        platform="tensorflow_savedmodel",
        inputs=[_tensor(model.takes, model.shape)],
        outputs=[_tensor(name, shape) for name, shape in model.gives.items()],
    )


@router.post(MODEL_VERSION + "/infer", openapi_extra=operation(body=_BODY, more=[NAME, VERSION, _HEADER]), **_INFER)
@router.post(MODEL + "/infer", openapi_extra=operation(body=_BODY, more=[NAME, _HEADER]), **_INFER)
async def infer(request: Request) -> Response:
    """Compute z_mean and z_log_var of images (encoder), or images of z (generator)."""
    model = model_of(request)
    service = request.service
    body = await read_decoded_body(request, service.settings.max_body_bytes)
    bounds = service.settings.max_images, service.settings.max_json_values
    asked, values = oip.read(body, request.headers.get(HEADER_LENGTH), *bounds)
    names = oip.wanted(asked, tuple(model.gives))
    found = await model.run(service, request.model, model.input_of(values), disconnect_check(request.receive))
    outputs = {name: found[name] for name in names}
    content, length = await service.serialize(
        lambda: oip.write(asked, model.name, model.version, outputs), *outputs.values()
    )
    if length == len(content):
        return VersionedResponse(request, content, JSON)
    return VersionedResponse(request, content, OCTETS, (HEADER_LENGTH.lower().encode(), b"%d" % length))


@router.post("/v2/repository/index", summary="The models that are served", **_OF_SERVER)
async def index(request: Request) -> list[oip.IndexEntry]:
    """List the served models, as Triton's model repository extension does. Loading and unloading are not offered."""
    return [oip.IndexEntry(name=model.name, version=str(model.version)) for model in models(request.model)]


def _tensor(name: str, shape: tuple[int, ...]) -> oip.TensorMetadata:
    return oip.TensorMetadata(name=name, datatype="FP32", shape=list(shape))
