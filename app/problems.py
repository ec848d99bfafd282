"""Errors as RFC 9457 problem documents: the one place that renders them."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from app.errors import DigitVaeError, MethodNotAllowed, NotFound, RequestError, Unavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""
    app.add_exception_handler(DigitVaeError, _ours)
    app.add_exception_handler(HTTPException, _starlettes)
    app.add_exception_handler(Exception, _unforeseen)


def respond(error: DigitVaeError, headers: dict[str, str] | None = None) -> Response:
    """The response for an error."""
    document = {
        "type": f"urn:digit-vae:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
    }
    if isinstance(error, Unavailable):
        headers = {"retry-after": str(RETRY_AFTER_S), **(headers or {})}
    return Response(json.dumps(document), error.status, headers, MEDIA_TYPE)


def answer(method: str, path: str, error: DigitVaeError) -> Response:
    """The response for an error that a request met; a fault of the service is logged, and its detail kept back."""
    if error.status >= 500 and not isinstance(error, Unavailable):
        log.error("%s %s: %s", method, path, error, exc_info=error)
        return respond(_without_detail(type(error)))
    return respond(error)


async def _ours(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, DigitVaeError)
    return answer(request.method, request.url.path, exc)


async def _starlettes(request: Request, exc: Exception) -> Response:
    """Starlette raises its own errors for unknown paths and methods."""
    assert isinstance(exc, HTTPException)
    headers = dict(exc.headers or {})
    if exc.status_code == 404:
        return respond(NotFound(f"Nothing is served at {request.url.path[:200]}. See /docs."), headers)
    if exc.status_code == 405:
        allowed = headers.get("Allow", "another method")
        return respond(
            MethodNotAllowed(f"{request.method} is not served at {request.url.path[:200]}; use {allowed}."),
            headers,
        )
    error = RequestError(exc.detail)
    document = respond(error, headers)
    document.status_code = exc.status_code
    return document


async def _unforeseen(request: Request, exc: Exception) -> Response:
    """A fault of ours: its trace goes to the log (by Starlette, which raises it again), not to the caller."""
    return fault()


def fault() -> Response:
    """The response for a fault of the service itself."""
    return respond(_without_detail(DigitVaeError))


def _without_detail(kind: type[DigitVaeError]) -> DigitVaeError:
    return kind(f"{HTTPStatus(kind.status).phrase}: the fault is the service's, and its log has the reason.")
