"""The messages of TensorFlow Serving's REST API: parsing of prediction requests and serialization of responses.

body --read--> PredictRequest and the value of the model's one input;  outputs --write--> body

https://www.tensorflow.org/tfx/serving/api_rest
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from app.api import json_limits
from app.api.formats.json_arrays import dumps
from app.api.protocols import tensors
from app.api.protocols.tensors import Array, Shape
from app.api.schemas import Described, rejection
from app.errors import InvalidParameter, MalformedBody
from app.imaging.decode import from_base64
from app.imaging.types import FloatArray

SIGNATURE = "serving_default"


class PredictRequest(Described):
    """The JSON of POST ...:predict: exactly one of `instances` (row format) and `inputs` (columnar format)."""

    model_config = ConfigDict(strict=True, extra="forbid")

    signature_name: str = Field(SIGNATURE, description=f"{SIGNATURE}, the only one.")
    instances: list[Any] | None = None
    """A list of rows; each is the input itself, {"its name": input}, or {"b64": a picture file}."""

    inputs: list[Any] | dict[str, Any] | None = None
    """All rows in one tensor, or {"its name": that tensor}."""

    @model_validator(mode="after")
    def _one_format(self) -> Self:
        if (self.instances is None) == (self.inputs is None):
            raise ValueError('give exactly one of "instances" and "inputs"')
        if self.signature_name not in ("", SIGNATURE):
            raise ValueError(f'signature_name must be "{SIGNATURE}"')
        return self


class PredictResponse(Described):
    """The response: `predictions` for `instances`, `outputs` for `inputs`. The name of a single output is left out."""

    predictions: list[Any] | None = None
    """A row each: numbers, or an object with each output."""

    outputs: list[Any] | dict[str, Any] | None = None
    """The one output, or an object of them."""


class VersionError(Described):
    """The error of a version; OK if it has none."""

    error_code: str = "OK"
    error_message: str = ""


class VersionStatus(Described):
    """The state of a version."""

    version: str
    state: str = "AVAILABLE"
    status: VersionError = VersionError()


class ModelStatus(Described):
    """The response of GET /v1/models/NAME."""

    model_version_status: list[VersionStatus]


class ModelSpec(Described):
    """Name and version of the described model."""

    name: str
    signature_name: str = ""
    version: str


class Metadata(Described):
    """The response of GET .../metadata: the signatures of the SavedModel."""

    model_spec: ModelSpec
    metadata: dict[str, Any]


def read(body: bytes, name: str, most_files: int, most_values: int) -> tuple[PredictRequest, Array | list[bytes]]:
    """Parse a prediction request; return it with its one input: numbers, or picture files.

    Args:
        body: JSON.
        name: the input's name.
        most_files: maximum number of files per request.
        most_values: maximum number of JSON values.

    Raises:
        JsonTooLarge, MalformedBody, InvalidParameter, InvalidImage: with the reason as its detail.
    """
    try:
        request = PredictRequest.model_validate_json(json_limits.within(body, most_values))
    except ValidationError as exc:
        raise MalformedBody(f"The body is not a prediction request: {rejection(list(exc.errors()))}.") from exc
    rows = _column(request.inputs, name) if request.instances is None else _rows(request.instances, name)
    if not isinstance(rows, list) or not rows:
        raise InvalidParameter(f"{name} must be a list with at least one row.")
    return request, _files(rows, most_files) if any(map(_is_file, rows)) else tensors.numbers(rows)


def _rows(instances: list[Any], name: str) -> list[Any]:
    """Return the value of each row: the row itself, or its member named after the input."""
    return [_named(row, name) if _is_object(row) else row for row in instances]


def _column(inputs: Any, name: str) -> Any:
    """Return all rows: `inputs` itself, its member named after the input, or a list of one picture file."""
    given = _named(inputs, name) if _is_object(inputs) else inputs
    return [given] if _is_file(given) else given


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"}


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_file(value)


def _named(value: dict[str, Any], name: str) -> Any:
    if value.keys() != {name}:
        got = ", ".join(map(repr, value))[:80] or "none"
        raise InvalidParameter(f"The one input of this model is {name!r}; got {got}.")
    return value[name]


def _files(rows: list[Any], most_files: int) -> list[bytes]:
    if len(rows) > most_files:
        raise InvalidParameter(f"There are {len(rows)} files; at most {most_files} are taken in one request.")
    texts = [row["b64"] for row in rows if _is_file(row)]
    if len(texts) != len(rows) or not all(isinstance(text, str) for text in texts):
        raise MalformedBody('Either every row is numbers, or every row is {"b64": a file in base64}.')
    return [from_base64(text) for text in texts]


def write(request: PredictRequest, outputs: Mapping[str, FloatArray]) -> bytes:
    """Serialize the body of a response, in the format of the request."""
    by_row = request.inputs is None
    member = "predictions" if by_row else "outputs"
    if len(outputs) == 1:
        (array,) = outputs.values()
        return dumps({member: array})
    rows = [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
    return dumps({member: rows if by_row else outputs})


def metadata(model: str, version: int, takes: Mapping[str, Shape], gives: Mapping[str, Shape]) -> Metadata:
    """Describe the signatures of a model in the JSON form of protocol buffers."""
    signature = {
        "inputs": {name: _tensor_info(f"{SIGNATURE}_{name}:0", shape) for name, shape in takes.items()},
        "outputs": {
            name: _tensor_info(f"StatefulPartitionedCall:{i}", shape) for i, (name, shape) in enumerate(gives.items())
        },
        "method_name": "tensorflow/serving/predict",
    }
    return Metadata(
        model_spec=ModelSpec(name=model, version=str(version)),
        metadata={"signature_def": {"signature_def": {SIGNATURE: signature}}},
    )


def _tensor_info(name: str, shape: Shape) -> dict[str, Any]:
    # 64-bit numbers are strings in protocol buffers' JSON.
    dims = [{"size": str(size), "name": ""} for size in shape]
    return {"name": name, "dtype": "DT_FLOAT", "tensor_shape": {"dim": dims, "unknown_rank": False}}
