"""Parsing of requests: query, body, content encoding, and whether the client is still connected."""

import zlib
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Any, TypeVar, cast

import starlette.requests
from pydantic import BaseModel, ValidationError
from starlette.types import Message, Receive, Scope, Send

from app.api import json_limits
from app.api.schemas import rejection
from app.errors import (
    BodyTooLarge,
    CallerLeft,
    EmptyBody,
    InvalidLatent,
    InvalidParameter,
    MalformedBody,
    UnsupportedMediaType,
)
from app.inference.service import Service
from app.models.loaded_model import LoadedModel

M = TypeVar("M", bound=BaseModel)
JSON = "application/json"
MULTIPART = "multipart/form-data"


class Request(starlette.requests.Request):
    """Starlette's request, with the service that answers it and the model version that it began on.

    Later requests may use another version. `fields` are the header fields by name, of equal ones the last.
    """

    service: Service
    model: LoadedModel

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self.fields: dict[bytes, bytes] = dict(scope["headers"])
        if "service" in scope:  # from the start of the lifespan
            self.service, self.model = scope["service"], scope["model"]


def disconnect_check(receive: Receive) -> Callable[[], bool]:
    """Return a function that tells whether the client has disconnected; the body must have been read before.

    ASGI reports a disconnect by a message from `receive`. The function takes the first step of that coroutine and
    closes it, so that a check costs two microseconds and no task.
    """

    def is_disconnected() -> bool:
        step = cast(Coroutine[Any, Any, Message], receive())
        try:
            step.send(None)
        except StopIteration as told:
            return bool(told.value["type"] == "http.disconnect")
        finally:
            step.close()
        return False

    return is_disconnected


def query(request: Request, model: type[M]) -> M:
    """Validate the query string as `model`.

    Raises:
        InvalidParameter: a parameter is unknown or out of range.
    """
    if not request.scope["query_string"]:
        return cast(M, _defaults(model))
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as exc:
        known = ", ".join(model.model_fields) or "none"
        raise InvalidParameter(f"{rejection(exc.errors())}. Parameters: {known}.") from exc


@lru_cache
def _defaults(model: type[BaseModel]) -> BaseModel:
    return model()


async def read_body(request: Request) -> bytes:
    """Read the body.

    Raises:
        EmptyBody: the body has no bytes.
        CallerLeft: the client disconnected before its end.
    """
    message = await request.receive()
    parts = [message.get("body", b"")]
    while message.get("more_body", False):
        message = await request.receive()
        parts.append(message.get("body", b""))
    if message["type"] == "http.disconnect":
        raise CallerLeft("The caller hung up in the middle of the body.")
    body = b"".join(parts)
    if not body:
        raise EmptyBody("The body is empty. /docs shows what this route reads.")
    return body


async def read_json(request: Request) -> bytes:
    """Read a body that is to be parsed as JSON.

    Raises:
        EmptyBody: the body has no bytes.
        JsonTooLarge: the body has more than `max_json_values` values.
    """
    body = await read_body(request)
    if len(body) <= json_limits.SHORT:
        return body
    return json_limits.within(body, request.service.settings.max_json_values)


async def read_decoded_body(request: Request, max_bytes: int) -> bytes:
    """Read the body and undo its Content-Encoding, gzip or deflate, as model servers do.

    Raises:
        EmptyBody: the body has no bytes, or unpacks to none.
        BodyTooLarge: the body unpacks to more than `max_bytes`.
        MalformedBody: the body does not match its Content-Encoding, or that is neither gzip, deflate nor identity.
    """
    body = await read_body(request)
    encoding = request.fields.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "deflate"):
        raise MalformedBody(f"The content encoding {encoding[:40]!r} is not read here; send gzip, deflate or none.")
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)  # tells the two apart itself
    try:
        plain = unpacking.decompress(body, max_bytes + 1)
    except zlib.error as exc:
        raise MalformedBody(f"The body is not {encoding}: it does not unpack.") from exc
    if len(plain) > max_bytes:
        raise BodyTooLarge(f"The body unpacks to more than the {max_bytes:,} bytes that are read.")
    if not unpacking.eof or unpacking.unused_data:
        raise MalformedBody(f"The body is not {encoding}: it breaks off, or something follows it.")
    if not plain:
        raise EmptyBody("The body unpacks to nothing.")
    return plain


def content_type(request: Request, known: tuple[str, ...]) -> str:
    """Return the media type of the body in lower case, without its parameters.

    Raises:
        UnsupportedMediaType: the header is missing, or names none of the `known` types.
    """
    kind = _media_type(request.fields.get(b"content-type", b""))
    if kind not in known:
        got = f"The content type {kind[:80]!r} is not read here" if kind else "The content type is missing"
        raise UnsupportedMediaType(f"{got}. Send one of: {', '.join(known)}.")
    return kind


@lru_cache(256)
def _media_type(content_type: bytes) -> str:
    return content_type.decode("latin-1").partition(";")[0].strip().lower()


def body_error(exc: ValidationError, hint: str) -> MalformedBody | InvalidLatent | InvalidParameter:
    """Convert pydantic's error for a JSON body to an error of the service."""
    errors = exc.errors()
    if errors[0]["type"] == "json_invalid":
        return MalformedBody(f"The body is not JSON: {errors[0]['msg'].removeprefix('Invalid JSON: ')}.")
    kind = InvalidLatent if errors[0]["loc"][:1] == ("z",) else InvalidParameter
    return kind(f"{rejection(list(errors))}; {hint}.")
