"""Responses of routes: content negotiation, serialization, and the header with the model version."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

import mimeparse
from fastapi import Request, Response
from pydantic_core import to_json

from app.api.requests import JSON, served
from app.errors import NotAcceptable
from app.imaging.png import encode_png
from app.imaging.types import ByteArray, FloatArray

PNG = "image/png"

RawHeaders = tuple[tuple[bytes, bytes], ...]

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",  # what is no script or page is not taken for one
    "content-security-policy": "frame-ancestors 'none'",  # no other page shows it in a frame, to be clicked unseen
    "cross-origin-resource-policy": "same-origin",  # no other page loads it into its own process
    "referrer-policy": "no-referrer",  # no other host learns the address
}
SHOWN_HEADERS: RawHeaders = tuple((name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items())
SENT_HEADERS: RawHeaders = SHOWN_HEADERS[:1]


def accepted(request: Request, *offers: str) -> str:
    """Return the offer that Accept prefers (RFC 9110, 12.5.1); the first one if there is no preference.

    Raises:
        NotAcceptable: Accept allows none of the offers, or does not parse.
    """
    return _best(request.headers.get("accept") or "*/*", offers)


@lru_cache(256)
def _best(header: str, offers: tuple[str, ...]) -> str:
    try:
        # Of offers liked equally mimeparse takes the last one.
        best: str = mimeparse.best_match(reversed(offers), header)
    except mimeparse.MimeTypeParseException:
        best = ""
    if not best:
        raise NotAcceptable(f"Accept asks for {header[:120]!r}; this route answers with {', '.join(offers)}.")
    return best


def matches(if_none_match: str, etag: str) -> bool:
    """Return whether the header If-None-Match holds this entity tag, compared weakly (RFC 9110, 13.1.2)."""
    return if_none_match.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))


def json_response(request: Request, **fields: Any) -> Response:
    """Respond with a JSON document of these fields and the model version."""
    document = {"model_version": served(request).version, **fields}
    return versioned_response(request, to_json(document), JSON)


def versioned_response(request: Request, content: bytes | str, media_type: str) -> Response:
    """Respond with `content` and the version of the model that computed it."""
    version = str(served(request).version)
    return Response(content, headers={"x-model-version": version}, media_type=media_type)


def to_base64_pngs(digits: ByteArray) -> list[str]:
    """Encode each digit of an array, uint8 (n, h, w), as a PNG file in base64."""
    return [base64.b64encode(encode_png(digit)).decode() for digit in digits]


def to_lists(array: FloatArray) -> list[Any]:
    """Convert an array to nested lists; reading a number back as float32 gives the same bits."""
    listed: list[Any] = array.tolist()
    return listed
