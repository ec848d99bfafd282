"""Responses for errors, rendered in this module only.

Errors are RFC 9457 problem documents; under /v1 and /v2, the paths of the two serving protocols, {"error": "text"}.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Message

from app.api.responses import SECURITY_HEADERS
from app.errors import (
    BodyTooLarge,
    CallerLeft,
    DigitVaeError,
    HeadersTooLarge,
    MethodNotAllowed,
    NotFound,
    RateLimited,
    RequestError,
    TooSlow,
    Unauthorized,
    Unavailable,
)
from app.telemetry.request_id import current_id

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
PROTOCOLS = ("/v1/", "/v2/")
# The protocols know 400 for whatever is wrong with a request, but for what is not about its content.
KEEP_STATUS = (
    Unauthorized,
    NotFound,
    MethodNotAllowed,
    TooSlow,
    BodyTooLarge,
    RateLimited,
    HeadersTooLarge,
    CallerLeft,
)

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem document, or the protocols' form of it."""
    app.add_exception_handler(DigitVaeError, _ours)
    app.add_exception_handler(HTTPException, _starlettes)
    app.add_exception_handler(Exception, _unforeseen)


def in_protocol(path: str) -> bool:
    """Return whether a path belongs to one of the serving protocols."""
    return path.startswith(PROTOCOLS) or path in ("/v1", "/v2")


def problem_response(error: DigitVaeError, protocol: bool = False, headers: dict[str, str] | None = None) -> Response:
    """Return the response for an error, in the protocols' form or as a problem document."""
    headers = {**SECURITY_HEADERS, **(headers or {})}
    if isinstance(error, Unavailable):
        headers = {"retry-after": str(RETRY_AFTER_S), **headers}
    if isinstance(error, TooSlow):
        headers = {"connection": "close", **headers}  # the rest of the body would be taken for a request
    if protocol:
        status = 400 if isinstance(error, RequestError) and not isinstance(error, KEEP_STATUS) else error.status
        return Response(json.dumps({"error": error.detail}), status, headers, "application/json")
    document = {
        "type": f"urn:digit-vae:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
    }
    if (request_id := current_id()) is not None:
        document["request_id"] = request_id
    return Response(json.dumps(document), error.status, headers, MEDIA_TYPE)


def with_request_id(start: Message, body: Message, request_id: str | None) -> tuple[Message, Message]:
    """Add a request's id to the ASGI messages of a problem document that was rendered without one."""
    member = f', "request_id": {json.dumps(request_id)}}}'.encode()
    content = body["body"][:-1] + member
    headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
    headers.append((b"content-length", b"%d" % len(content)))
    return {**start, "headers": headers}, {**body, "body": content}


def error_response(method: str, path: str, error: DigitVaeError) -> Response:
    """Return the response for an error of a request; log a fault of the service and leave its detail out."""
    if error.status >= 500 and not isinstance(error, Unavailable):
        log.error("%s %s: %s", method, path, error, exc_info=error)
        error = _without_detail(type(error))
    return problem_response(error, in_protocol(path))


async def _ours(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, DigitVaeError)
    return error_response(request.method, request.url.path, exc)


async def _starlettes(request: Request, exc: Exception) -> Response:
    """Convert an HTTPException of Starlette, which it raises for unknown paths and methods, to a response."""
    assert isinstance(exc, HTTPException)
    headers = dict(exc.headers or {})
    path = request.url.path
    protocol = in_protocol(path)
    if exc.status_code == 404:
        return problem_response(NotFound(f"Nothing is served at {path[:200]}. See /docs."), protocol, headers)
    if exc.status_code == 405:
        allowed = headers.get("Allow", "another method")
        return problem_response(
            MethodNotAllowed(f"{request.method} is not served at {path[:200]}; use {allowed}."), protocol, headers
        )
    response = problem_response(RequestError(exc.detail), protocol, headers)
    response.status_code = exc.status_code
    return response


async def _unforeseen(request: Request, exc: Exception) -> Response:
    """Answer an unexpected exception; Starlette logs its trace and raises it again."""
    return internal_error(request.url.path)


def internal_error(path: str) -> Response:
    """Return the response for a fault of the service itself."""
    return problem_response(_without_detail(DigitVaeError), in_protocol(path))


def _without_detail(kind: type[DigitVaeError]) -> DigitVaeError:
    return kind(f"{HTTPStatus(kind.status).phrase}: the fault is the service's, and its log has the reason.")
