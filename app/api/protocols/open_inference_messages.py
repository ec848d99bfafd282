"""The messages of the Open Inference Protocol v2: parsing of inference requests and serialization of responses.

body and Inference-Header-Content-Length --read--> InferRequest and a value per input;  outputs --write--> body

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError

from app.api import json_limits
from app.api.formats.json_arrays import dumps
from app.api.protocols import tensors
from app.api.protocols.tensors import BYTES, NUMBERS, Array, Shape
from app.api.schemas import Described, rejection
from app.errors import InvalidParameter, MalformedBody
from app.imaging.decode import from_base64
from app.imaging.types import FloatArray

Value = Array | list[bytes]  # numbers; or picture files, of a BYTES tensor
Size = Annotated[int, Field(ge=0, lt=2**100)]  # far beyond memory; the product of eight can still be told

# Ways to get an output that are not offered; ignoring them would give the caller something else than it asked for.
NOT_OFFERED = ("classification", "shared_memory_region")


class _Message(Described):
    # Members that are not known are left alone: the protocol lets extensions add some.
    model_config = ConfigDict(strict=True, extra="ignore")


class InputParameters(_Message):
    """Parameters of an input: the binary tensor data extension."""

    binary_data_size: Size | None = None
    """Bytes of this tensor behind the JSON, in place of data."""


class InferInput(_Message):
    """An input tensor of a request."""

    name: str
    datatype: str
    """For image FP16, FP32, FP64 (0 to 1), UINT8 (0 to 255) or BYTES (files)."""

    shape: list[Size] = Field(min_length=1, max_length=8)
    """[n, 28, 28] for image ([n] if BYTES)."""

    parameters: InputParameters = InputParameters()
    data: list[Any] | None = None
    """Row by row, nested or flat; for BYTES files in base64."""

    @property
    def label(self) -> str:
        """The name, quoted and cut to 80 characters, for error messages."""
        return repr(self.name[:80])


class OutputParameters(_Message):
    """Parameters of an output: the binary tensor data extension."""

    model_config = ConfigDict(strict=True, extra="allow")

    binary_data: bool | None = None
    """Send this output behind the JSON."""


class InferOutput(_Message):
    """An output tensor that a request asks for."""

    name: str
    parameters: OutputParameters = OutputParameters()


class RequestParameters(_Message):
    """Parameters of a request: the binary tensor data extension."""

    binary_data_output: bool = False
    """Send all outputs behind the JSON, unless one says else."""


class InferRequest(_Message):
    """The JSON of POST .../infer: the whole body, or its first part."""

    id: str | None = None
    """Comes back with the answer."""

    parameters: RequestParameters = RequestParameters()
    inputs: list[InferInput] = Field(min_length=1, max_length=16)
    outputs: list[InferOutput] = Field([], max_length=16)
    """By default all."""

    def binary(self, output: str) -> bool:
        """Return whether an output is sent as raw bytes behind the JSON."""
        asked = next((each.parameters.binary_data for each in self.outputs if each.name == output), None)
        return self.parameters.binary_data_output if asked is None else asked


class TensorMetadata(Described):
    """Name, datatype and shape of a model's input or output."""

    name: str
    datatype: str
    shape: list[int]
    """-1 is the number of rows."""


class ModelMetadata(Described):
    """The response of GET /v2/models/NAME."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(Described):
    """The response of GET /v2."""

    name: str
    version: str
    extensions: list[str]


class Live(Described):
    """The response of GET /v2/health/live."""

    live: bool


class Ready(Described):
    """The response of GET /v2/health/ready."""

    ready: bool


class ModelReady(Ready):
    """The response of GET /v2/models/NAME/ready."""

    name: str


class IndexEntry(Described):
    """A model in the response of POST /v2/repository/index."""

    name: str
    version: str
    state: str = "READY"
    reason: str = ""


class OutputTensor(Described):
    """An output tensor of a response."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float] | None = None
    """Row by row and flat; absent if it is behind the JSON."""

    parameters: dict[str, int] | None = None
    """binary_data_size, if it is behind the JSON."""


class InferResponse(Described):
    """The JSON of a response."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


def read(
    body: bytes, header_length: str | None, most_files: int, most_values: int
) -> tuple[InferRequest, dict[str, Value]]:
    """Parse an inference request; return it with the values of its inputs by name.

    Args:
        body: JSON, followed by the raw bytes of the inputs that have a binary_data_size, in order.
        header_length: Inference-Header-Content-Length, the number of bytes of JSON; None if the whole body is JSON.
        most_files: maximum number of elements of a BYTES tensor.
        most_values: maximum number of JSON values.

    Raises:
        JsonTooLarge, MalformedBody, InvalidParameter, InvalidImage: with the reason as its detail.
    """
    length = _header_length(header_length, len(body))
    try:
        request = InferRequest.model_validate_json(json_limits.within(body[:length], most_values))
    except ValidationError as exc:
        raise MalformedBody(f"The JSON is not an inference request: {rejection(list(exc.errors()))}.") from exc
    rest = memoryview(body)[length:]
    values: dict[str, Value] = {}
    for tensor in request.inputs:
        if tensor.name in values:
            raise InvalidParameter(f"The input {tensor.label} is there twice.")
        raw, rest = _taken(tensor, rest)
        values[tensor.name] = _value(tensor, raw, most_files)
    if len(rest):
        raise MalformedBody(f"{len(rest)} bytes follow what the inputs announce as their binary_data_size.")
    return request, values


def _header_length(text: str | None, total: int) -> int:
    if text is None:
        return total
    # isdigit() alone would take other scripts' digits, and int() refuses to read thousands of them.
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and int(text) <= total):
        raise MalformedBody(
            f"Inference-Header-Content-Length is {text[:40]!r}; it must be the bytes of JSON, at most {total} here."
        )
    return int(text)


def _taken(tensor: InferInput, rest: memoryview) -> tuple[memoryview | None, memoryview]:
    """Split `rest` into the tensor's raw bytes, None if its data is in the JSON, and the bytes behind them."""
    size = tensor.parameters.binary_data_size
    if (size is None) == (tensor.data is None):
        raise InvalidParameter(
            f"The input {tensor.label} needs either data, or parameters.binary_data_size and its bytes."
        )
    if size is None:
        return None, rest
    if size > len(rest):
        raise MalformedBody(
            f"The input {tensor.label} announces {size} bytes, but {len(rest)} follow the JSON, which ends where the "
            "header Inference-Header-Content-Length says."
        )
    return rest[:size], rest[size:]


def _value(tensor: InferInput, raw: memoryview | None, most_files: int) -> Value:
    shape = tuple(tensor.shape)
    if tensor.datatype == BYTES:
        return _files(tensor, shape, raw, most_files)
    if tensor.datatype not in NUMBERS:
        raise InvalidParameter(
            f"The datatype {tensor.datatype[:40]!r} is not read here; send {', '.join(NUMBERS)} or {BYTES}."
        )
    if raw is not None:
        return tensors.from_bytes(tensor.datatype, shape, raw)
    return tensors.from_list(tensor.datatype, shape, tensor.data or [])


def _files(tensor: InferInput, shape: Shape, raw: memoryview | None, most_files: int) -> list[bytes]:
    count = math.prod(shape)
    if shape not in ((count,), (count, 1)) or not count:
        raise InvalidParameter(f"A BYTES tensor has the shape [n], n at least 1; got {tensor.shape}.")
    if count > most_files:
        raise InvalidParameter(f"There are {count} files; at most {most_files} are taken in one request.")
    if raw is not None:
        return tensors.elements(count, raw)
    texts = [each[0] if isinstance(each, list) and len(each) == 1 else each for each in tensor.data or []]
    if len(texts) != count or not all(isinstance(text, str) for text in texts):
        raise MalformedBody(f"The data of this BYTES tensor must be {count} files, each a string in base64.")
    return [from_base64(text) for text in texts]


def wanted(request: InferRequest, offered: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the outputs to send, in the order of the request; all of them if it names none.

    Raises:
        InvalidParameter: an output is unknown, is named twice, or is asked for in a form that is not offered.
    """
    names = tuple(output.name for output in request.outputs)
    if len(set(names)) != len(names):
        raise InvalidParameter("An output is asked for twice.")
    for output in request.outputs:
        if output.name not in offered:
            raise InvalidParameter(f"There is no output {output.name[:80]!r}; there is {' and '.join(offered)}.")
        refused = sorted(set(NOT_OFFERED).intersection(output.parameters.model_extra or {}))
        if refused:
            raise InvalidParameter(f"The parameter {refused[0]} of an output is not offered here.")
    return names or offered


def write(request: InferRequest, model: str, version: int, outputs: Mapping[str, FloatArray]) -> tuple[bytes, int]:
    """Serialize a response; return its body and the number of bytes of it that are JSON."""
    raw = {name: tensors.to_bytes(array) for name, array in outputs.items() if request.binary(name)}
    document: dict[str, Any] = {"model_name": model, "model_version": str(version)}
    if request.id is not None:
        document["id"] = request.id
    document["outputs"] = [_tensor(name, array, raw.get(name)) for name, array in outputs.items()]
    head = dumps(document)
    return b"".join((head, *raw.values())), len(head)


def _tensor(name: str, array: FloatArray, raw: bytes | None) -> dict[str, Any]:
    held: dict[str, Any] = {"data": array.ravel()} if raw is None else {"parameters": {"binary_data_size": len(raw)}}
    return {"name": name, "datatype": "FP32", "shape": array.shape, **held}
