"""TensorFlow Serving's REST API: GET and POST under /v1/models.

https://www.tensorflow.org/tfx/serving/api_rest; see app/api/protocols/tensorflow_serving_messages.py for the messages.
"""

from typing import Any

from fastapi import APIRouter, Response

from app.api.openapi import NAME, VERSION, operation, protocol_refusals, schema
from app.api.protocols import tensorflow_serving_messages as tfs
from app.api.protocols.models import model_of
from app.api.requests import JSON, Request, disconnect_check, read_decoded_body
from app.api.responses import VersionedResponse
from app.errors import MethodNotAllowed

MODEL = "/v1/models/{name}"
MODEL_VERSION = "/v1/models/{name}/versions/{version}"

router = APIRouter(tags=["TensorFlow Serving"])

_OF_MODEL: dict[str, Any] = {"responses": protocol_refusals(404), "openapi_extra": operation(more=[NAME])}
_OF_VERSION = _OF_MODEL | {"openapi_extra": operation(more=[NAME, VERSION])}
_PREDICT: dict[str, Any] = {
    "summary": "Rows or columns of inputs to outputs",
    "responses": {
        200: {"description": "In the format of the request.", "model": tfs.PredictResponse},
        **protocol_refusals(404, 413),
    },
}
_BODY = {
    JSON: schema(
        tfs.PredictRequest, rows={"instances": [[0, 0], [1, -1]]}, columns={"inputs": {"z": [[0, 0], [1, -1]]}}
    )
}


# Before the routes without a verb, whose {name} would take the verb for a part of it.
@router.post(MODEL_VERSION + ":predict", openapi_extra=operation(body=_BODY, more=[NAME, VERSION]), **_PREDICT)
@router.post(MODEL + ":predict", openapi_extra=operation(body=_BODY, more=[NAME]), **_PREDICT)
async def predict(request: Request) -> Response:
    """Compute z_mean and z_log_var of images (encoder), or images of z (generator)."""
    model = model_of(request)
    service = request.service
    body = await read_decoded_body(request, service.settings.max_body_bytes)
    asked, value = tfs.read(body, model.takes, service.settings.max_images, service.settings.max_json_values)
    outputs = await model.run(service, request.model, model.checked(value), disconnect_check(request.receive))
    content = await service.serialize(lambda: tfs.write(asked, outputs), *outputs.values())
    return VersionedResponse(request, content, JSON)


@router.get(MODEL_VERSION + ":predict", include_in_schema=False)
@router.get(MODEL + ":predict", include_in_schema=False)
async def predict_is_a_post(request: Request) -> Response:
    """Refuse: the routes below would say "not found", taking ":predict" for a part of the model's name."""
    raise MethodNotAllowed(f"GET is not served at {request.url.path[:200]}; use POST.", {"allow": "POST"})


@router.get(MODEL_VERSION + "/metadata", summary="A version's signature", **_OF_VERSION)
@router.get(MODEL + "/metadata", summary="A model's signature", **_OF_MODEL)
async def metadata(request: Request) -> tfs.Metadata:
    """Return the signatures of a model."""
    model = model_of(request)
    return tfs.metadata(model.name, model.version, {model.takes: model.shape}, model.gives)


@router.get(MODEL_VERSION, summary="A version's state", **_OF_VERSION)
@router.get(MODEL, summary="A model's state", **_OF_MODEL)
async def status(request: Request) -> tfs.ModelStatus:
    """Report the one served version as available."""
    return tfs.ModelStatus(model_version_status=[tfs.VersionStatus(version=str(model_of(request).version))])
