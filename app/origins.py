"""Which other sites' pages may call from a browser (VAE_CORS_ORIGINS): Starlette's middleware, where any may.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

import re

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

ALL = "*"
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?")
METHODS = ("GET", "HEAD", "POST")
ASKED = ("Authorization", "If-None-Match", "Inference-Header-Content-Length", "X-API-Key")
TOLD = ("ETag", "Inference-Header-Content-Length", "Retry-After", "WWW-Authenticate", "X-Model-Version")


def parse(text: str) -> tuple[str, ...]:
    """Origins, between them commas, or * for any.

    Raises:
        ValueError: one is not an origin as browsers send it, with which it would never agree.
    """
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    if origins == (ALL,):
        return origins
    if not origins or not all(ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError(
            "origins are like https://example.org or http://localhost:3000, in small letters and without a path or "
            "a slash at the end, between them commas; or a single * for any"
        )
    return origins


def shared(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """The application with the headers that let pages of `origins` read its answers.

    Cookies are not among what a page may send: a key is a header, which no browser adds by itself.
    """
    return CORSMiddleware(
        app, allow_origins=origins, allow_methods=METHODS, allow_headers=ASKED, expose_headers=TOLD, max_age=7200
    )
