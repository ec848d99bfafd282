"""Responses of routes: content negotiation, serialization, and the header with the model version."""

import base64
from functools import lru_cache
from typing import Any

import mimeparse
import numpy as np
from fastapi import Response
from pydantic_core import to_json

from app.api.formats.json_arrays import dumps
from app.api.requests import JSON, Request
from app.errors import NotAcceptable
from app.imaging.png import encode_png
from app.imaging.types import ByteArray
from app.telemetry.response_recorder import MODEL_VERSION

PNG = "image/png"
FEW_ROWS = 8  # whose few numbers pydantic writes faster than orjson


class VersionedResponse(Response):
    """A response that the served model computed, with the header X-Model-Version.

    Its header fields are bytes as the server wants them: Starlette's own response would encode each one anew.
    """

    def __init__(self, request: Request, content: bytes, media_type: str, *more: tuple[bytes, bytes]) -> None:
        self.status_code = 200
        self.background = None
        self.body = content
        self.raw_headers = [
            (b"content-length", b"%d" % len(content)),
            (b"content-type", media_type.encode("ascii")),
            (MODEL_VERSION, b"%d" % request.model.version),
            *more,
        ]


def accepted(request: Request, *offers: str) -> str:
    """Return the offer that Accept prefers (RFC 9110, 12.5.1); the first one if there is no preference.

    Raises:
        NotAcceptable: Accept allows none of the offers, or does not parse.
    """
    return _best(request.fields.get(b"accept") or b"*/*", offers)


@lru_cache(256)
def _best(header: bytes, offers: tuple[str, ...]) -> str:
    accept = header.decode("latin-1")
    try:
        # Of offers liked equally mimeparse takes the last one.
        best: str = mimeparse.best_match(reversed(offers), accept)
    except mimeparse.MimeTypeParseException:
        best = ""
    if not best:
        raise NotAcceptable(f"Accept asks for {accept[:120]!r}; this route answers with {', '.join(offers)}.")
    return best


def matches(if_none_match: str, etag: str) -> bool:
    """Return whether the header If-None-Match holds this entity tag, compared weakly (RFC 9110, 13.1.2)."""
    return if_none_match.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))


def json_response(request: Request, rows: int, **fields: Any) -> Response:
    """Respond with a JSON document of these fields and the model version; arrays of so many rows become lists."""
    document = {"model_version": request.model.version, **fields}
    if rows > FEW_ROWS:
        return VersionedResponse(request, dumps(document), JSON)
    lists = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in document.items()}
    return VersionedResponse(request, to_json(lists, inf_nan_mode="null"), JSON)


def to_base64_pngs(digits: ByteArray) -> list[str]:
    """Encode each digit of an array, uint8 (n, h, w), as a PNG file in base64."""
    return [base64.b64encode(encode_png(digit)).decode() for digit in digits]
