"""Responses for errors, rendered in this module only.

Errors are RFC 9457 problem documents; under /v1 and /v2, the paths of the two serving protocols, {"error": "text"}.
"""

import json
import logging
from http import HTTPStatus

from fastapi import Response
from starlette.types import Scope

from app.api.security_headers import SHOWN_HEADERS
from app.errors import DigitVaeError, ImageTooLarge, Unavailable
from app.telemetry.request_id import HEADER as REQUEST_ID
from app.telemetry.request_id import id_of

MEDIA_TYPE = "application/problem+json"
PROTOCOLS = ("/v1/", "/v2/")
# The protocols know 400 for whatever is wrong with the content of a request.
CONTENT = frozenset({406, 415, 422})

log = logging.getLogger(__name__)


def error_response(scope: Scope, error: Exception) -> Response:
    """Return the response for an error of a request; log a fault of the service and leave its detail out."""
    if not isinstance(error, DigitVaeError) or (error.status >= 500 and not isinstance(error, Unavailable)):
        log.error("%s %s: %s", scope["method"], scope["path"], error, exc_info=error)
        kind = type(error) if isinstance(error, DigitVaeError) else DigitVaeError
        error = kind(f"{HTTPStatus(kind.status).phrase}: the fault is the service's, and its log has the reason.")
    return problem_response(error, scope["path"], id_of(scope))


def problem_response(error: DigitVaeError, path: str, request_id: str | None = None) -> Response:
    """Return the response for an error of a request for `path`, as a problem document or in the protocols' form."""
    if in_protocol(path):
        status = 400 if error.status in CONTENT or isinstance(error, ImageTooLarge) else error.status
        return Response(json.dumps({"error": error.detail}), status, error.headers, "application/json")
    document = {
        "type": f"urn:digit-vae:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
    }
    if request_id is not None:
        document["request_id"] = request_id
    return Response(json.dumps(document), error.status, error.headers, MEDIA_TYPE)


def in_protocol(path: str) -> bool:
    """Return whether a path belongs to one of the serving protocols."""
    return path.startswith(PROTOCOLS) or path in ("/v1", "/v2")


def http_message(error: DigitVaeError, path: str, request_id: bytes = b"", keep_alive: bool = False) -> bytes:
    """Return the response for an error as a complete HTTP/1.1 message, for the server's protocol."""
    response = problem_response(error, path, request_id.decode("ascii") or None)
    fields = [*response.raw_headers, *SHOWN_HEADERS]
    if request_id:
        fields.append((REQUEST_ID, request_id))
    if not keep_alive:
        fields = [*(field for field in fields if field[0] != b"connection"), (b"connection", b"close")]
    line = b"HTTP/1.1 %d %b\r\n" % (response.status_code, HTTPStatus(response.status_code).phrase.encode())
    return b"".join((line, *(b"%b: %b\r\n" % field for field in fields), b"\r\n", response.body))
